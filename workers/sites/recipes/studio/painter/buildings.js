// Single buildings: houses, villages, churches, lighthouses, castles, towers, windmills.

import { css, darken, hex } from "./colour.js";
import { lit } from "./light.js";
import { block, pane, polygon } from "./masonry.js";
import { glow } from "./sky.js";

const WALLS = ["#e8dcc8", "#d8b894", "#c88c6c", "#b8c0b8", "#e0c478", "#cfd6d8", "#c8705c"];
const ROOFS = ["#a8482c", "#8c3c2c", "#6c4a44", "#54606c", "#b8643c"];

export function paintHouse(scene, { x, y, size, depth = 0, colour = null, wood = false, label = "" }) {
  const { ctx, light, rng } = scene,
    luck = rng.fork(`house${Math.round(x)}${label}`);
  const width = size * luck.range(0.85, 1.2),
    wallHeight = size * 0.52,
    left = x - width / 2;
  const wall = lit(light, colour ?? hex(wood ? "#7c5638" : luck.pick(WALLS)), depth),
    roof = lit(light, light.snowy ? [236, 242, 248] : hex(luck.pick(ROOFS)), depth);
  block(scene, left, y, width, wallHeight, wall);
  ctx.fillStyle = css(lit(light, hex("#7c5444"), depth));
  ctx.fillRect(left + width * 0.7, y - size * 1.02, width * 0.1, size * 0.3);
  const eave = width * 0.08,
    top = y - wallHeight;
  polygon(
    ctx,
    css(roof),
    [left - eave, top],
    [left + width * 0.2, y - size],
    [left + width * 0.8, y - size],
    [left + width + eave, top],
  );
  polygon(
    ctx,
    css(darken(roof, 0.25)),
    [left - eave, top],
    [left + width + eave, top],
    [left + width, top - size * 0.05],
    [left, top - size * 0.05],
  );
  for (const at of [0.12, 0.62])
    pane(scene, left + width * at, y - wallHeight * 0.75, width * 0.2, wallHeight * 0.36, 0.8, luck);
  ctx.fillStyle = css(lit(light, hex("#54382c"), depth));
  ctx.fillRect(left + width * 0.41, y - wallHeight * 0.62, width * 0.14, wallHeight * 0.62);
}

/** A cluster of houses around a church. */
export function paintVillage(scene, { ground, centre, spread, size, depth, church = true, count = 15 }) {
  const { w, rng, u } = scene,
    luck = rng.fork("village" + Math.round(centre * 99));
  if (church) paintChurch(scene, { x: w * centre, y: ground(w * centre) + 2 * u, size: size * 3, depth });
  for (let i = 0; i < count; i++) {
    const x = w * (centre + luck.bell() * spread),
      near = i / count;
    paintHouse(scene, {
      x,
      y: ground(x) + near * size * 1.1,
      size: size * (0.75 + 0.5 * near) * luck.range(0.85, 1.15),
      depth: depth * (1 - near * 0.4),
      label: String(i),
    });
  }
}

export function paintChurch(scene, { x, y, size, depth = 0, colour = null }) {
  const { ctx, light, rng } = scene,
    luck = rng.fork("church"),
    wall = lit(light, colour ?? hex("#d8ccb8"), depth),
    roof = lit(light, hex("#5c5258"), depth);
  block(scene, x, y, size * 0.5, size * 0.3, wall);
  polygon(
    ctx,
    css(roof),
    [x - size * 0.02, y - size * 0.3],
    [x + size * 0.06, y - size * 0.46],
    [x + size * 0.46, y - size * 0.46],
    [x + size * 0.53, y - size * 0.3],
  );
  block(scene, x - size * 0.12, y, size * 0.2, size * 0.58, wall);
  polygon(
    ctx,
    css(roof),
    [x - size * 0.15, y - size * 0.57],
    [x - size * 0.02, y - size],
    [x + size * 0.11, y - size * 0.57],
  );
  for (const at of [0.14, 0.26, 0.38]) pane(scene, x + size * at, y - size * 0.22, size * 0.05, size * 0.12, 0.9, luck);
  pane(scene, x - size * 0.05, y - size * 0.48, size * 0.06, size * 0.1, 0.9, luck);
}

export function paintLighthouse(scene, { x, y, size, depth = 0, colour = null }) {
  const { ctx, light, u } = scene,
    white = lit(light, hex("#f2ece0"), depth),
    band = lit(light, colour ?? hex("#c23a30"), depth),
    foot = size * 0.115,
    head = size * 0.07;
  paintHouse(scene, { x: x + size * 0.2, y, size: size * 0.22, depth });
  const half = (t) => foot + (head - foot) * t,
    shaft = size * 0.78;
  for (let i = 0; i < 6; i++)
    polygon(
      ctx,
      css(i % 2 ? band : white),
      [x - half(i / 6), y - (shaft * i) / 6],
      [x + half(i / 6), y - (shaft * i) / 6],
      [x + half((i + 1) / 6), y - (shaft * (i + 1)) / 6 - 1],
      [x - half((i + 1) / 6), y - (shaft * (i + 1)) / 6 - 1],
    );
  const side = scene.sun.x < x ? 1 : -1;
  polygon(
    ctx,
    css([20, 18, 44], 0.36),
    [x + side * foot * 0.15, y],
    [x + side * foot, y],
    [x + side * head, y - shaft],
    [x + side * head * 0.15, y - shaft],
  );
  ctx.fillStyle = css(lit(light, hex("#2c2c34"), depth));
  ctx.fillRect(x - head * 1.5, y - shaft - size * 0.02, head * 3, size * 0.025);
  ctx.fillRect(x - head * 0.85, y - shaft - size * 0.11, head * 1.7, size * 0.1);
  ctx.fillStyle = css(light.lamps > 0.2 ? [255, 240, 180] : [190, 214, 224]);
  ctx.fillRect(x - head * 0.62, y - shaft - size * 0.1, head * 1.24, size * 0.075);
  polygon(
    ctx,
    css(band),
    [x - head * 1.1, y - shaft - size * 0.105],
    [x, y - size],
    [x + head * 1.1, y - shaft - size * 0.105],
  );
  if (light.lamps > 0.2) paintBeam(scene, x, y - shaft - size * 0.06, size, u);
}

function paintBeam(scene, x, y, size) {
  const { ctx, w, light } = scene,
    reach = w * 0.95;
  glow(ctx, x, y, size * 0.42, [255, 230, 150], 0.95);
  ctx.save();
  ctx.globalCompositeOperation = "screen";
  for (const [angle, power] of [
    [Math.PI - 0.1, 0.62],
    [0.12, 0.3],
  ]) {
    const gradient = ctx.createRadialGradient(x, y, 2, x, y, reach * 0.75);
    gradient.addColorStop(0, css([255, 238, 180], power * Math.min(1, light.lamps)));
    gradient.addColorStop(1, css([255, 238, 180], 0));
    ctx.fillStyle = gradient;
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x + Math.cos(angle - 0.075) * reach, y + Math.sin(angle - 0.075) * reach);
    ctx.lineTo(x + Math.cos(angle + 0.075) * reach, y + Math.sin(angle + 0.075) * reach);
    ctx.fill();
  }
  ctx.restore();
}

function battlements(ctx, x, y, width, tooth) {
  for (let at = x; at < x + width - tooth * 0.5; at += tooth * 1.7) ctx.fillRect(at, y - tooth, tooth, tooth + 1);
}

function turret(scene, luck, x, y, width, height, wall, roof) {
  const { ctx } = scene;
  block(scene, x - width / 2, y, width, height, wall);
  ctx.fillStyle = css(wall);
  battlements(ctx, x - width * 0.6, y - height, width * 1.2, width * 0.2);
  if (roof)
    polygon(
      ctx,
      css(roof),
      [x - width * 0.68, y - height],
      [x, y - height - width * 1.7],
      [x + width * 0.68, y - height],
    );
  pane(scene, x - width * 0.1, y - height * 0.75, width * 0.18, width * 0.36, 0.9, luck);
}

export function paintCastle(scene, { x, y, size, depth = 0, colour = null }) {
  const { ctx, light, rng } = scene,
    luck = rng.fork("castle"),
    wall = lit(light, colour ?? hex("#b4a894"), depth),
    roof = lit(light, hex(luck.pick(["#4a5a78", "#8c4438", "#4c6860"])), depth);
  block(scene, x - size * 0.55, y, size * 1.1, size * 0.34, darken(wall, 0.08));
  ctx.fillStyle = css(wall);
  battlements(ctx, x - size * 0.55, y - size * 0.34, size * 1.1, size * 0.035);
  for (const [at, height, width] of [
    [-0.24, 0.62, 0.15],
    [0.22, 0.7, 0.16],
    [0, 0.86, 0.2],
    [-0.54, 0.5, 0.15],
    [0.54, 0.46, 0.15],
  ])
    turret(scene, luck, x + at * size, y, width * size, height * size, wall, roof);
  ctx.fillStyle = css(lit(light, hex("#38302c"), depth));
  ctx.beginPath();
  ctx.arc(x, y - size * 0.1, size * 0.06, Math.PI, 0);
  ctx.lineTo(x + size * 0.06, y);
  ctx.lineTo(x - size * 0.06, y);
  ctx.fill();
}

export function paintTower(scene, { x, y, size, depth = 0, colour = null }) {
  const luck = scene.rng.fork("tower"),
    wall = lit(scene.light, colour ?? hex("#b09c84"), depth);
  turret(scene, luck, x, y, size * 0.26, size * 0.74, wall, lit(scene.light, hex("#7c3c34"), depth));
  pane(scene, x - size * 0.03, y - size * 0.3, size * 0.05, size * 0.09, 0.9, luck);
}

export function paintWindmill(scene, { x, y, size, depth = 0, colour = null }) {
  const { ctx, light, rng } = scene,
    luck = rng.fork("mill"),
    wall = lit(light, colour ?? hex("#d8cbb4"), depth),
    dark = lit(light, hex("#4c3a30"), depth);
  polygon(
    ctx,
    css(wall),
    [x - size * 0.17, y],
    [x - size * 0.1, y - size * 0.6],
    [x + size * 0.1, y - size * 0.6],
    [x + size * 0.17, y],
  );
  polygon(
    ctx,
    css(darken(wall, 0.35)),
    [x + size * 0.04, y],
    [x + size * 0.02, y - size * 0.6],
    [x + size * 0.1, y - size * 0.6],
    [x + size * 0.17, y],
  );
  polygon(ctx, css(dark), [x - size * 0.12, y - size * 0.59], [x, y - size * 0.74], [x + size * 0.12, y - size * 0.59]);
  pane(scene, x - size * 0.03, y - size * 0.42, size * 0.05, size * 0.08, 0.9, luck);
  const turn = luck.range(0.2, 1.2);
  ctx.lineCap = "butt";
  for (let i = 0; i < 4; i++) {
    const angle = turn + (i * Math.PI) / 2,
      cos = Math.cos(angle),
      sin = Math.sin(angle),
      hubY = y - size * 0.62;
    ctx.strokeStyle = css(dark);
    ctx.lineWidth = size * 0.014;
    ctx.beginPath();
    ctx.moveTo(x, hubY);
    ctx.lineTo(x + cos * size * 0.45, hubY + sin * size * 0.45);
    ctx.stroke();
    polygon(
      ctx,
      css(lit(light, hex("#efe6d2"), depth), 0.88),
      [x + cos * size * 0.1, hubY + sin * size * 0.1],
      [x + cos * size * 0.44, hubY + sin * size * 0.44],
      [x + cos * size * 0.44 - sin * size * 0.09, hubY + sin * size * 0.44 + cos * size * 0.09],
      [x + cos * size * 0.1 - sin * size * 0.07, hubY + sin * size * 0.1 + cos * size * 0.07],
    );
  }
}
