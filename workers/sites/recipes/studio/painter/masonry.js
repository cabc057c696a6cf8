// Parts that all buildings share: flat shapes, lit blocks, window panes.

import { css, darken, hex, lighten, mix } from "./colour.js";
import { lit } from "./light.js";
import { glow } from "./sky.js";

const LAMP = [255, 206, 110];

export function polygon(ctx, fill, ...points) {
  ctx.fillStyle = fill;
  ctx.beginPath();
  points.forEach(([x, y], index) => (index ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.closePath();
  ctx.fill();
}

/** A box lit from the sun's side, the other third in shade. */
export function block(scene, x, y, width, height, colour) {
  const { ctx, sun } = scene,
    fromLeft = sun.x < x + width / 2;
  ctx.fillStyle = css(colour);
  ctx.fillRect(x, y - height, width, height);
  ctx.fillStyle = css(darken(colour, 0.34));
  ctx.fillRect(fromLeft ? x + width * 0.66 : x, y - height, width * 0.34, height);
  ctx.fillStyle = css(mix(lighten(colour, 0.16), scene.light.sun, 0.15));
  ctx.fillRect(fromLeft ? x : x + width * 0.86, y - height, width * 0.14, height);
}

export function pane(scene, x, y, width, height, odds, luck) {
  const { ctx, light, style } = scene,
    on = luck.next() < odds * light.lamps;
  const colour = on
    ? style.neon
      ? luck.pick([
          [255, 84, 170],
          [70, 230, 255],
          [255, 210, 120],
        ])
      : mix(LAMP, [255, 246, 210], luck.next() * 0.5)
    : lit(light, hex("#2c3a4c"), 0.1);
  ctx.fillStyle = css(colour, on ? 1 : 0.75);
  ctx.fillRect(x, y, width, height);
  if (on && width > 4 * scene.u) glow(ctx, x + width / 2, y + height / 2, width * 3, colour, 0.35);
}
