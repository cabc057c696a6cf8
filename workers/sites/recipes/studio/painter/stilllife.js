// Things on a table: vases, teapots, bottles, candles, books, fruit.

import { css, darken, hex, lighten } from "./colour.js";
import { lit } from "./light.js";
import { outline } from "./outline.js";
import { glow } from "./sky.js";

const WARES = {
  vase: ["#4c6c9c", "M42 20L58 20L56 34C74 46 78 80 62 100L38 100C22 80 26 46 44 34Z"],
  teapot: [
    "#b85c44",
    "M24 60C24 44 76 44 76 60C80 84 70 98 60 100L40 100C30 98 20 84 24 60ZM74 60L96 48L92 58L76 80ZM26 62C8 56 6 88 30 88L30 82C16 82 16 66 26 68ZM42 46L58 46L54 38L46 38Z",
  ],
  bottle: ["#3c5c44", "M44 4L56 4L56 34C68 42 70 52 70 62L70 100L30 100L30 62C30 52 32 42 44 34Z"],
  candle: ["#efe4c8", "M40 40L60 40L60 94L74 94L74 100L26 100L26 94L40 94Z"],
  book: ["#8c3c34", "M8 84L88 80L92 88L92 100L10 100ZM14 68L84 66L86 78L14 82Z"],
};

/** A still-life piece with a highlight and a cast shadow. */
export function paintWare(scene, kind, { x, y, size, colour = null }) {
  const { ctx, light } = scene,
    [usual, data] = WARES[kind],
    glaze = lit(light, colour ?? hex(usual));
  ctx.fillStyle = "rgba(20,12,20,0.36)";
  ctx.beginPath();
  ctx.ellipse(x + size * 0.14, y - size * 0.01, size * 0.42, size * 0.07, 0, 0, 7);
  ctx.fill();
  outline(ctx, css(glaze), data, x, y, size);
  ctx.save();
  ctx.translate(x, y);
  ctx.scale(size / 100, size / 100);
  ctx.translate(-50, -100);
  ctx.clip(new Path2D(data));
  const form = ctx.createLinearGradient(16, 0, 88, 0);
  form.addColorStop(0, "rgba(255,246,224,0.1)");
  form.addColorStop(0.22, "rgba(255,248,230,0.55)");
  form.addColorStop(0.45, "rgba(0,0,0,0)");
  form.addColorStop(1, "rgba(14,8,30,0.62)");
  ctx.fillStyle = form;
  ctx.fillRect(0, 0, 100, 100);
  ctx.restore();
  if (kind !== "candle") return;
  outline(ctx, css([255, 226, 140]), "M50 12C58 26 58 38 50 40C42 38 42 26 50 12Z", x, y, size);
  glow(ctx, x, y - size * 0.72, size * 1.3, [255, 190, 90], 0.85);
}

export function paintFruit(scene, { x, y, size, colour = null }) {
  const { ctx, light, rng } = scene,
    luck = rng.fork("fruit" + Math.round(x)),
    r = size * 0.2;
  for (const [dx, dy] of [
    [-1.6, 0],
    [1.5, 0],
    [-0.5, -0.3],
    [0.6, 0.12],
    [0.1, -1.5],
    [-1, -1.35],
  ]) {
    const skin = lit(light, colour ?? hex(luck.pick(["#c8342c", "#e8962c", "#e0c03c", "#7ca03c", "#b84c3c"]))),
      cx = x + dx * r,
      cy = y - r + dy * r;
    const form = ctx.createRadialGradient(cx - r * 0.35, cy - r * 0.4, r * 0.05, cx, cy, r * 1.05);
    form.addColorStop(0, css(lighten(skin, 0.7)));
    form.addColorStop(0.35, css(skin));
    form.addColorStop(1, css(darken(skin, 0.6)));
    ctx.fillStyle = form;
    ctx.beginPath();
    ctx.arc(cx, cy, r, 0, 7);
    ctx.fill();
    ctx.strokeStyle = css([64, 46, 30]);
    ctx.lineWidth = r * 0.09;
    ctx.beginPath();
    ctx.moveTo(cx, cy - r * 0.85);
    ctx.lineTo(cx + r * 0.12, cy - r * 1.2);
    ctx.stroke();
  }
}
