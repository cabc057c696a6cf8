// Fills a small drawing that is given as path data in a 100-unit box standing on y = 100.

export function outline(ctx, fill, data, x, y, size, flip = false) {
  ctx.save();
  ctx.translate(x, y);
  ctx.scale(((flip ? -1 : 1) * size) / 100, size / 100);
  ctx.translate(-50, -100);
  ctx.fillStyle = fill;
  ctx.fill(new Path2D(data));
  ctx.restore();
}
