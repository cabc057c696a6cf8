// Bridges, temples, gates, ruins, pyramids, street fronts and street lamps.

import { css, darken, hex, lighten, mix } from "./colour.js";
import { lit } from "./light.js";
import { polygon } from "./masonry.js";
import { glow } from "./sky.js";

/** An arched bridge across the whole picture, seen from the side. */
export function paintBridge(scene, { y, size, depth = 0.1, colour = null }) {
  const { ctx, w, light, u } = scene,
    stone = lit(light, colour ?? hex("#a89a88"), depth),
    arches = Math.max(3, Math.round(w / (size * 1.25))),
    span = w / arches;
  const top = (x) => y - size * (0.72 + 0.16 * Math.sin((x / w) * Math.PI));
  ctx.fillStyle = css(stone);
  ctx.beginPath();
  ctx.moveTo(0, y);
  for (let x = 0; x <= w; x += span / 8) ctx.lineTo(x, top(x));
  ctx.lineTo(w, y);
  for (let i = arches - 1; i >= 0; i--) {
    ctx.lineTo((i + 0.9) * span, y);
    ctx.ellipse((i + 0.5) * span, y, span * 0.4, size * 0.56, 0, 0, Math.PI, true);
  }
  ctx.closePath();
  ctx.fill();
  for (let i = 0; i < arches; i++) {
    ctx.strokeStyle = css(darken(stone, 0.4));
    ctx.lineWidth = size * 0.05;
    ctx.beginPath();
    ctx.ellipse((i + 0.5) * span, y, span * 0.4, size * 0.56, 0, Math.PI, 0);
    ctx.stroke();
  }
  ctx.strokeStyle = css(mix(lighten(stone, 0.3), light.sun, 0.2));
  ctx.lineWidth = Math.max(1.6 * u, size * 0.05);
  ctx.beginPath();
  for (let x = 0; x <= w; x += span / 8) ctx.lineTo(x, top(x));
  ctx.stroke();
  if (light.lamps > 0.4)
    for (let i = 0; i <= arches; i++)
      glow(ctx, i * span, top(i * span) - size * 0.12, size * 0.3, [255, 214, 130], 0.9);
}

export function paintPagoda(scene, { x, y, size, depth = 0, colour = null }) {
  const { ctx, light } = scene,
    wood = lit(light, colour ?? hex("#a8382c"), depth),
    roof = lit(light, light.snowy ? [236, 242, 248] : hex("#3c4650"), depth),
    wall = lit(light, hex("#efe2c8"), depth);
  for (let i = 0; i < 5; i++) {
    const foot = y - size * 0.175 * i,
      half = size * (0.2 - i * 0.023),
      height = size * 0.13;
    polygon(
      ctx,
      css(wall),
      [x - half * 0.72, foot],
      [x + half * 0.72, foot],
      [x + half * 0.72, foot - height],
      [x - half * 0.72, foot - height],
    );
    ctx.fillStyle = css(wood);
    for (const at of [-0.7, -0.3, 0.1, 0.5]) ctx.fillRect(x + at * half, foot - height, half * 0.16, height);
    if (light.lamps > 0.3) glow(ctx, x, foot - height * 0.4, half * 1.2, [255, 190, 100], 0.5);
    ctx.fillStyle = css(roof);
    ctx.beginPath();
    ctx.moveTo(x - half * 1.5, foot - height * 0.95);
    ctx.quadraticCurveTo(x - half * 0.8, foot - height * 1.02, x - half * 0.5, foot - size * 0.19);
    ctx.lineTo(x + half * 0.5, foot - size * 0.19);
    ctx.quadraticCurveTo(x + half * 0.8, foot - height * 1.02, x + half * 1.5, foot - height * 0.95);
    ctx.quadraticCurveTo(x, foot - height * 0.78, x - half * 1.5, foot - height * 0.95);
    ctx.fill();
  }
  ctx.fillStyle = css(lit(light, hex("#c8a04c"), depth));
  ctx.fillRect(x - size * 0.006, y - size * 1.04, size * 0.012, size * 0.17);
}

export function paintTorii(scene, { x, y, size, depth = 0, colour = null }) {
  const { ctx, light } = scene,
    red = lit(light, colour ?? hex("#d2452e"), depth),
    dark = darken(red, 0.35);
  for (const side of [-1, 1])
    polygon(
      ctx,
      css(side < 0 ? red : dark),
      [x + side * size * 0.4 - size * 0.04, y],
      [x + side * size * 0.4 + size * 0.04, y],
      [x + side * size * 0.36 + size * 0.035, y - size * 0.85],
      [x + side * size * 0.36 - size * 0.035, y - size * 0.85],
    );
  ctx.fillStyle = css(red);
  ctx.fillRect(x - size * 0.47, y - size * 0.68, size * 0.94, size * 0.06);
  ctx.fillRect(x - size * 0.03, y - size * 0.84, size * 0.06, size * 0.18);
  ctx.beginPath();
  ctx.moveTo(x - size * 0.6, y - size);
  ctx.quadraticCurveTo(x, y - size * 0.9, x + size * 0.6, y - size);
  ctx.lineTo(x + size * 0.55, y - size * 0.86);
  ctx.quadraticCurveTo(x, y - size * 0.79, x - size * 0.55, y - size * 0.86);
  ctx.fill();
}

export function paintPyramid(scene, { x, y, size, depth = 0.2, colour = null }) {
  const { ctx, light, sun, rng } = scene,
    sand = lit(light, colour ?? hex("#d8ae74"), depth),
    luck = rng.fork("pyramid");
  for (const [at, scale] of [
    [-0.85, 0.6],
    [0.8, 0.45],
    [0, 1],
  ]) {
    const px = x + at * size,
      s = size * scale,
      ridge = px + s * 0.12 * (sun.x < px ? 1 : -1),
      faces = sun.x < px ? [lighten(sand, 0.22), darken(sand, 0.38)] : [darken(sand, 0.38), lighten(sand, 0.22)];
    polygon(ctx, css(faces[0]), [px - s * 0.78, y], [px, y - s], [ridge, y]);
    polygon(ctx, css(faces[1]), [ridge, y], [px, y - s], [px + s * 0.78, y]);
    ctx.strokeStyle = css(darken(sand, 0.5), 0.16);
    for (let i = 1; i < 15; i++) {
      const t = i / 15;
      ctx.beginPath();
      ctx.moveTo(px - s * 0.78 * (1 - t), y - s * t);
      ctx.lineTo(px + s * 0.78 * (1 - t), y - s * t + luck.bell());
      ctx.stroke();
    }
  }
}

/** Columns, some broken, with what is left of the roof. */
export function paintRuins(scene, { x, y, size, depth = 0.05, colour = null }) {
  const { ctx, light, rng, sun } = scene,
    luck = rng.fork("ruins"),
    marble = lit(light, colour ?? hex("#ddd2bd"), depth),
    side = sun.x < x ? 1 : -1;
  ctx.fillStyle = css(darken(marble, 0.2));
  ctx.fillRect(x - size * 0.75, y - size * 0.08, size * 1.5, size * 0.1);
  ctx.fillStyle = css(marble);
  ctx.fillRect(x - size * 0.7, y - size * 0.13, size * 1.4, size * 0.06);
  for (let i = 0; i < 7; i++) {
    const px = x + (i - 3) * size * 0.2,
      whole = i < 4 || luck.chance(0.35),
      height = size * (whole ? 0.72 : luck.range(0.2, 0.55)),
      width = size * 0.075;
    ctx.fillStyle = css(marble);
    ctx.fillRect(px - width / 2, y - size * 0.12 - height, width, height);
    ctx.fillStyle = css(darken(marble, 0.4), 0.8);
    ctx.fillRect(side > 0 ? px + width * 0.1 : px - width / 2, y - size * 0.12 - height, width * 0.4, height);
    if (whole) {
      ctx.fillStyle = css(lighten(marble, 0.15));
      ctx.fillRect(px - width * 0.75, y - size * 0.16 - height, width * 1.5, size * 0.05);
    }
  }
  polygon(
    ctx,
    css(marble),
    [x - size * 0.7, y - size * 0.87],
    [x + size * 0.08, y - size * 0.87],
    [x + size * 0.05, y - size * 0.96],
    [x - size * 0.7, y - size * 0.96],
  );
}

export function paintLamp(scene, { x, y, size, colour = null }) {
  const { ctx, light, u } = scene,
    iron = lit(light, hex("#2c2c30")),
    flame = colour ?? [255, 208, 116];
  ctx.fillStyle = css(iron);
  ctx.fillRect(x - size * 0.014, y - size * 0.84, size * 0.028, size * 0.84);
  ctx.fillRect(x - size * 0.04, y - size * 0.04, size * 0.08, size * 0.04);
  polygon(
    ctx,
    css(flame),
    [x - size * 0.035, y - size * 0.84],
    [x + size * 0.035, y - size * 0.84],
    [x + size * 0.055, y - size * 0.96],
    [x - size * 0.055, y - size * 0.96],
  );
  polygon(
    ctx,
    css(iron),
    [x - size * 0.07, y - size * 0.955],
    [x, y - size * 1.02],
    [x + size * 0.07, y - size * 0.955],
  );
  glow(ctx, x, y - size * 0.9, size * (light.lamps > 0.2 ? 0.55 : 0.2), flame, 0.9);
  if (light.lamps > 0.5) {
    ctx.save();
    ctx.translate(x, y);
    ctx.scale(1, 0.22);
    glow(ctx, 0, 0, size * 0.5, flame, 0.5);
    ctx.restore();
  }
  return u;
}

/** Two walls of houses closing in on a vanishing point, and the paving between them. */
export function paintStreet(scene, { horizon, bottom }) {
  const { ctx, w, light, rng, u } = scene,
    luck = rng.fork("street"),
    vanish = w * luck.range(0.42, 0.58),
    road = lit(light, hex(light.rain ? "#4c545c" : "#8c8078"));
  const paving = ctx.createLinearGradient(0, horizon, 0, bottom);
  paving.addColorStop(0, css(mix(road, light.hazeColour, 0.55)));
  paving.addColorStop(1, css(darken(road, 0.3)));
  ctx.fillStyle = paving;
  ctx.fillRect(0, horizon, w, bottom - horizon);
  for (const side of [-1, 1]) {
    for (let i = 0; i < 9; i++) {
      const near = (i / 9) ** 1.5,
        next = ((i + 1) / 9) ** 1.5,
        edge = side < 0 ? -w * 0.02 : w * 1.02,
        depth = 0.75 * (1 - near);
      const x0 = vanish + side * w * 0.02 + (edge - vanish) * near,
        x1 = vanish + side * w * 0.02 + (edge - vanish) * next,
        foot = (t) => horizon + (bottom - horizon) * t * 0.82,
        tall = luck.range(0.8, 1.15);
      const roof = (t) => horizon - horizon * (0.1 + t * 0.95) * tall,
        wall = lit(light, hex(luck.pick(["#d8b894", "#c88c6c", "#b8a898", "#e0c890", "#a89c9c", "#c4786c"])), depth);
      polygon(
        ctx,
        css(side < 0 ? darken(wall, 0.15) : lighten(wall, 0.05)),
        [x0, foot(near)],
        [x1, foot(next)],
        [x1, roof(next)],
        [x0, roof(near)],
      );
      streetWindows(scene, luck, { x0, x1, near, next, foot, roof });
    }
  }
  for (let i = 0; i < 50; i++) {
    const near = luck.next() ** 0.6,
      x = vanish + luck.bell() * w * 0.5 * near;
    ctx.fillStyle = css(luck.chance(0.5) ? lighten(road, 0.25) : darken(road, 0.3), 0.35);
    ctx.fillRect(x, horizon + (bottom - horizon) * near, 20 * near * u, 2.4 * near * u);
  }
  for (const near of [0.28, 0.62])
    for (const side of [-1, 1])
      paintLamp(scene, {
        x: vanish + side * w * 0.4 * near,
        y: horizon + (bottom - horizon) * near * 0.85,
        size: horizon * (0.14 + near * 0.55),
      });
  return vanish;
}

function streetWindows(scene, luck, { x0, x1, near, next, foot, roof }) {
  const { ctx, light, style } = scene;
  for (let floor = 0; floor < 4; floor++) {
    for (const at of [0.2, 0.6]) {
      const t = near + (next - near) * at,
        x = x0 + (x1 - x0) * at,
        low = foot(t),
        high = roof(t),
        y = low + (high - low) * (0.18 + floor * 0.2),
        on = luck.next() < 0.62 * light.lamps;
      const warm = style.neon
        ? luck.pick([
            [255, 84, 170],
            [70, 230, 255],
            [190, 110, 255],
          ])
        : [255, 208, 120];
      ctx.fillStyle = css(on ? warm : lit(light, hex("#38404c"), 0.3 * (1 - t)), 0.9);
      ctx.fillRect(x, y, (x1 - x0) * 0.22, (low - high) * 0.09);
      if (on) glow(ctx, x + (x1 - x0) * 0.11, y, Math.abs(x1 - x0) * 0.5, warm, 0.3);
    }
  }
}
