// Water: reflections of what stands above, waves, foam, glints, rivers and falls.

import { clamp, css, hex, lighten, mix, smooth } from "./colour.js";
import { lit } from "./light.js";
import { release } from "./rasters.js";

const DEEP = {
  sea: "#1f5a74",
  lake: "#2a5a68",
  river: "#3a6a70",
  canal: "#3c5a54",
  harbour: "#27556c",
  swamp: "#4a5638",
  island: "#1a7c88",
  jungle: "#3a6a54",
};

/** Mirror the picture above `top` into the water down to `bottom`, bent by waves seen in perspective. */
export function paintWater(scene, { top, bottom, kind = "sea", rough = scene.light.rough }) {
  const { ctx, w, light, noise, sun } = scene;
  const start = Math.round(top),
    rows = Math.round(bottom) - start;
  if (rows < 2) return;
  const above = ctx.getImageData(0, 0, w, Math.max(2, start)).data,
    image = ctx.createImageData(w, rows),
    out = image.data;
  const deep = lit(light, hex(DEEP[kind] ?? DEEP.sea), 0),
    foam = lit(light, [246, 250, 250], 0.05),
    shift = scene.luck * 30;
  const bright = mix(light.sun, light.sky[3], 0.25),
    shining = sun.visible ? 1 : 0.2;
  for (let row = 0, i = 0; row < rows; row++) {
    const near = (row + 0.5) / rows,
      far = 1 / (near + 0.05),
      swell = rough * (0.25 + near * 1.6);
    const murk = 0.16 + 0.4 * near + 0.12 * rough;
    for (let x = 0; x < w; x++, i += 4) {
      const across = (x / w - 0.5) * far,
        wave = noise.at(across * 2.4 + shift, far * 5.5) * 0.65 + noise.at(across * 6.5, far * 15 + shift) * 0.35;
      const fromX = clamp(Math.round(x + wave * w * 0.035 * (0.2 + swell)), 0, w - 1);
      const fromY = clamp(Math.round(start - 1 - row * 0.92 + wave * rows * 0.12 * (0.15 + swell)), 0, start - 1);
      const from = (fromY * w + fromX) * 4,
        path = shining * Math.exp(-(((x - sun.x) / (w * (0.035 + near * 0.09))) ** 2));
      const spark = path * smooth(0.05, 0.35, wave + 0.1) * 0.85 + smooth(0.34, 0.55, wave) * 0.22;
      const crest = rough > 0.5 ? smooth(0.36, 0.6, wave) * smooth(0.1, 0.5, near) * rough * 0.8 : 0;
      const body = murk + clamp(-wave * swell) * 0.3;
      for (let c = 0; c < 3; c++) {
        let value = above[from + c] + (deep[c] - above[from + c]) * body;
        value += (bright[c] - value) * clamp(spark);
        out[i + c] = value + (foam[c] - value) * crest;
      }
      out[i + 3] = 255;
    }
  }
  ctx.putImageData(image, 0, start);
  release(above);
  release(out);
  hazeLine(scene, start);
}

function hazeLine({ ctx, w, u, light }, y) {
  const gradient = ctx.createLinearGradient(0, y - 5 * u, 0, y + 12 * u);
  gradient.addColorStop(0, css(light.hazeColour, 0));
  gradient.addColorStop(0.4, css(light.hazeColour, 0.3));
  gradient.addColorStop(1, css(light.hazeColour, 0));
  ctx.fillStyle = gradient;
  ctx.fillRect(0, y - 5 * u, w, 17 * u);
}

/** A winding strip of water through the ground: the ground is painted first, then water cut to the strip. */
export function paintRiver(scene, { top, bottom, mouth, kind }) {
  const { ctx, w, rng, u, light } = scene;
  const luck = rng.fork("river"),
    sway = luck.range(0.08, 0.16) * (luck.chance(0.5) ? 1 : -1),
    turns = luck.range(1.1, 1.7);
  const middle = (near) => w * (mouth + sway * Math.sin(near * near * Math.PI * turns * 1.6) * (0.3 + near));
  const half = (near) => w * (0.006 + 0.3 * near ** 1.7);
  const land = new OffscreenCanvas(ctx.canvas.width, ctx.canvas.height),
    copy = land.getContext("2d", { willReadFrequently: true });
  copy.drawImage(ctx.canvas, 0, 0);
  paintWater(scene, { top, bottom, kind, rough: light.rough * 0.35 });
  const bank = (side) =>
    Array.from({ length: 41 }, (_, i) => [middle(i / 40) + side * half(i / 40), top + (bottom - top) * (i / 40)]);
  const left = bank(-1),
    right = bank(1).reverse();
  copy.globalCompositeOperation = "destination-out";
  trace(copy, [...left, ...right]);
  copy.fill();
  ctx.drawImage(land, 0, 0);
  ctx.strokeStyle = css(lighten(lit(light, hex("#b8a888")), 0.1), 0.55);
  ctx.lineWidth = 2 * u;
  for (const side of [left, right]) {
    trace(ctx, side, false);
    ctx.stroke();
  }
  return { middle, half };
}

function trace(ctx, points, close = true) {
  ctx.beginPath();
  points.forEach(([x, y], index) => (index ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  if (close) ctx.closePath();
}

/** A wet edge: sand meeting the sea with two lines of foam. */
export function paintBeach(scene, { top, bottom }) {
  const { ctx, w, noise, light, u } = scene;
  const edge = (x, lift) =>
    top + (bottom - top) * (0.2 + 0.32 * (x / w) + 0.12 * noise.layered((x / w) * 1.6 + 4, scene.luck * 9, 3)) - lift;
  const sand = lit(light, hex("#e2c896")),
    wet = lit(light, hex("#a88c68"));
  const line = (lift) => Array.from({ length: 61 }, (_, i) => [(w * i) / 60, edge((w * i) / 60, lift)]);
  const gradient = ctx.createLinearGradient(0, top, 0, bottom);
  gradient.addColorStop(0.2, css(wet));
  gradient.addColorStop(0.62, css(sand));
  gradient.addColorStop(1, css(lighten(sand, 0.12)));
  ctx.fillStyle = gradient;
  trace(ctx, [...line(0), [w, bottom], [0, bottom]]);
  ctx.fill();
  ctx.lineJoin = "round";
  for (const [lift, width, alpha] of [
    [2, 5, 0.9],
    [14, 2.2, 0.7],
    [24, 1.6, 0.5],
  ]) {
    ctx.strokeStyle = css(lit(light, [252, 252, 248]), alpha);
    ctx.lineWidth = width * u;
    trace(ctx, line(lift * u), false);
    ctx.stroke();
  }
}

export function paintWaterfall(scene, { x, top, bottom, width }) {
  const { ctx, light, rng, u } = scene;
  const luck = rng.fork("fall"),
    white = lit(light, [240, 248, 252]),
    blue = lit(light, [130, 176, 196]);
  for (let i = 0; i < 150; i++) {
    const offset = luck.bell() * width * 0.5;
    ctx.strokeStyle = css(mix(blue, white, luck.next()), 0.55);
    ctx.lineWidth = luck.range(1, 3.5) * u;
    ctx.beginPath();
    ctx.moveTo(x + offset * 0.7, top + luck.range(0, 5) * u);
    ctx.quadraticCurveTo(x + offset * 0.8, top + 10 * u, x + offset, bottom - luck.range(-2, 6) * u);
    ctx.stroke();
  }
  for (let i = 0; i < 40; i++) {
    ctx.fillStyle = css(white, 0.1);
    ctx.beginPath();
    ctx.arc(x + luck.bell() * width * 1.3, bottom - luck.next() * 22 * u, luck.range(6, 18) * u, 0, 7);
    ctx.fill();
  }
}
