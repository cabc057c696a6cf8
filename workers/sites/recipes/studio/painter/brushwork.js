// The brush engine: strokes laid where the picture differs most from the study, coarse to fine.

import { clampByte } from "./colour.js";
import { flowField, readPixels, release, soften } from "./rasters.js";

/** A stage painted in few steps still goes from coarse to fine: no pass covers more of it than this. */
const LONGEST_PASS = 0.125;
const USUAL = {
  coarse: 26,
  fine: 2,
  length: 5,
  bristles: 3,
  opacity: 0.92,
  vary: 14,
  follow: 1,
  swirl: 0.35,
  cap: "round",
  shape: "stroke",
  density: 1,
  ground: null,
  seedDots: 1,
};

/** Prepare a brush painting of job.study on job.ctx; returns advance(from, to) for stage fractions. */
export function createBrushwork(job, wanted) {
  const brush = { ...USUAL, ...wanted },
    { w, h, u, rng } = job;
  const sharp = readPixels(job.study),
    layers = [sharp, soften(sharp, w, h, 3 * u), soften(sharp, w, h, 9 * u)];
  const field = flowField(sharp, w, h, job.noise, brush.follow, brush.swirl * 4, 4 * u),
    easel = { brush, layers, field, luck: rng.fork("brush") };
  return (from, to) => {
    if (from === 0) primeGround(job, brush, layers[2]);
    const passes = Math.max(1, Math.round((to - from) / LONGEST_PASS)),
      pace = (to - from) / passes;
    for (let pass = 0; pass < passes; pass++) layStrokes(job, easel, from + pass * pace, from + (pass + 1) * pace);
  };
}

/** Toned ground with the large masses rubbed in; papers stay bare. */
function primeGround({ ctx, w, h, study }, { ground }, softened) {
  if (ground) {
    ctx.fillStyle = ground;
    ctx.fillRect(0, 0, w, h);
    return;
  }
  const step = 64,
    sum = [0, 0, 0];
  let seen = 0;
  for (let i = 0; i < softened.length; i += step * 4, seen++) for (let c = 0; c < 3; c++) sum[c] += softened[i + c];
  ctx.fillStyle = `rgb(${sum.map((value) => Math.round((value / seen) * 0.72 + 30)).join(",")})`;
  ctx.fillRect(0, 0, w, h);
  const masses = new OffscreenCanvas(14, 14);
  masses.getContext("2d", { willReadFrequently: true }).drawImage(study, 0, 0, 14, 14);
  ctx.globalAlpha = 0.72;
  ctx.drawImage(masses, 0, 0, w, h);
  ctx.globalAlpha = 1;
}

/** Brush radius shrinks as the stage goes on; the number of strokes keeps every step about equally long. */
function layStrokes(job, easel, from, to) {
  const { w, h, u } = job,
    { brush } = easel,
    middle = (from + to) / 2;
  const radius = Math.max(0.7, brush.coarse * (brush.fine / brush.coarse) ** Math.min(1, middle * 1.12) * u);
  const layer = easel.layers[radius > 10 * u ? 2 : radius > 4.2 * u ? 1 : 0];
  const current = job.ctx.getImageData(0, 0, w, h).data,
    cell = Math.max(2, radius * 1.15);
  const share = (w * h * brush.density * (to - from) * job.effort) / 12;
  const budget = Math.round(share / (0.8 + (radius * 0.055) / Math.max(u, 0.5)));
  const { chosen, xs, ys } = chooseSpots(job, easel, current, layer, cell, budget, middle);
  release(current);
  for (const spot of chosen) layStroke(job, easel, xs[spot], ys[spot], radius, layer);
}

/**
 * One candidate per cell at its worst pixel; the cells that are most wrong win, in a scattered order. Numbers in arrays
 * of their own: as objects they would fill the young heap, which then stays as large as it has grown.
 */
function chooseSpots({ w, h }, { luck, brush }, current, target, cell, budget, progress) {
  const columns = Math.ceil(w / cell),
    rows = Math.ceil(h / cell),
    xs = new Uint16Array(columns * rows),
    ys = new Uint16Array(columns * rows),
    ranks = new Float64Array(columns * rows);
  for (let row = 0, spot = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, spot++) {
      const x = Math.min(w - 1, Math.floor((column + luck.next()) * cell)),
        y = Math.min(h - 1, Math.floor((row + luck.next()) * cell)),
        i = (y * w + x) * 4;
      const error =
        Math.abs(current[i] - target[i]) +
        Math.abs(current[i + 1] - target[i + 1]) +
        Math.abs(current[i + 2] - target[i + 2]);
      xs[spot] = x;
      ys[spot] = y;
      ranks[spot] = error + luck.next() * (progress < 0.3 ? 160 : 26) * brush.seedDots;
    }
  }
  const chosen = Uint32Array.from(ranks, (_, spot) => spot)
    .sort((a, b) => ranks[b] - ranks[a])
    .subarray(0, budget);
  for (let i = chosen.length - 1; i > 0; i--) {
    const j = Math.floor(luck.next() * (i + 1)),
      moved = chosen[i];
    chosen[i] = chosen[j];
    chosen[j] = moved;
  }
  return { chosen, xs, ys };
}

function layStroke(job, easel, x, y, radius, layer) {
  const { brush, luck } = easel,
    at = (Math.floor(y) * job.w + Math.floor(x)) * 4,
    shift = luck.bell() * brush.vary;
  const colour = [
    layer[at] + shift + luck.bell() * brush.vary * 0.5,
    layer[at + 1] + shift,
    layer[at + 2] + shift + luck.bell() * brush.vary * 0.5,
  ];
  if (brush.shape === "dot")
    return dab(job.ctx, x, y, radius * luck.range(0.75, 1.1), radius, 0, colour, brush.opacity);
  if (brush.shape === "blob") return puddle(job, easel, x, y, radius, colour);
  if (brush.shape === "stitch") return stitch(job, easel, x, y, radius, colour);
  const points = followForm(job, easel, x, y, radius, layer, at);
  drawStroke(job.ctx, points, radius, colour, brush, luck);
}

/** Walk along the form until the stroke is long enough or its colour no longer fits. */
function followForm({ w, h }, { field, brush, luck }, x, y, radius, layer, start) {
  const points = [[x, y]],
    steps = Math.max(2, Math.round(brush.length * luck.range(0.6, 1.3))),
    stride = radius * 1.1;
  let lastX = 0,
    lastY = 0,
    heading = luck.chance(0.5) ? 1 : -1;
  for (let i = 0; i < steps; i++) {
    const cell =
      (Math.min(field.rows - 1, Math.floor(y / field.scale)) * field.columns +
        Math.min(field.columns - 1, Math.floor(x / field.scale))) *
      2;
    let dx = field.vectors[cell] * heading,
      dy = field.vectors[cell + 1] * heading;
    if (dx * lastX + dy * lastY < 0) {
      dx = -dx;
      dy = -dy;
    }
    x += dx * stride;
    y += dy * stride;
    lastX = dx;
    lastY = dy;
    if (x < 0 || y < 0 || x >= w || y >= h) break;
    const here = (Math.floor(y) * w + Math.floor(x)) * 4;
    if (
      i > 0 &&
      Math.abs(layer[here] - layer[start]) +
        Math.abs(layer[here + 1] - layer[start + 1]) +
        Math.abs(layer[here + 2] - layer[start + 2]) >
        66
    )
      break;
    points.push([x, y]);
  }
  return points;
}

const paint = (colour, shift, alpha) =>
  `rgba(${Math.round(clampByte(colour[0] + shift))},${Math.round(clampByte(colour[1] + shift))},${Math.round(clampByte(colour[2] + shift))},${alpha})`;

function drawStroke(ctx, points, radius, colour, brush, luck) {
  if (points.length < 2) return dab(ctx, points[0][0], points[0][1], radius, radius * 0.8, 0, colour, brush.opacity);
  ctx.lineCap = brush.cap;
  ctx.lineJoin = "round";
  curve(ctx, points, 0, 0);
  ctx.strokeStyle = paint(colour, 0, brush.opacity);
  ctx.lineWidth = radius * 2;
  ctx.stroke();
  if (radius < 1.6) return;
  const [ax, ay] = points[0],
    [bx, by] = points[points.length - 1],
    reach = Math.hypot(bx - ax, by - ay) || 1,
    nx = -(by - ay) / reach,
    ny = (bx - ax) / reach;
  for (let i = 0; i < brush.bristles; i++) {
    const offset = (luck.next() * 2 - 1) * radius * 0.8;
    curve(ctx, points, nx * offset, ny * offset);
    ctx.strokeStyle = paint(colour, luck.bell() * brush.vary * 1.9, brush.opacity * 0.6);
    ctx.lineWidth = radius * luck.range(0.14, 0.42);
    ctx.stroke();
  }
}

function curve(ctx, points, dx, dy) {
  ctx.beginPath();
  ctx.moveTo(points[0][0] + dx, points[0][1] + dy);
  for (let i = 1; i < points.length - 1; i++)
    ctx.quadraticCurveTo(
      points[i][0] + dx,
      points[i][1] + dy,
      (points[i][0] + points[i + 1][0]) / 2 + dx,
      (points[i][1] + points[i + 1][1]) / 2 + dy,
    );
  const end = points[points.length - 1];
  ctx.lineTo(end[0] + dx, end[1] + dy);
}

function dab(ctx, x, y, rx, ry, turn, colour, alpha) {
  ctx.fillStyle = paint(colour, 0, alpha);
  ctx.beginPath();
  ctx.ellipse(x, y, rx, ry, turn, 0, 7);
  ctx.fill();
}

/** Woven work: short upright threads snapped to a warp. */
function stitch({ ctx, u }, { luck }, x, y, radius, colour) {
  const warp = Math.max(2, Math.round(3 * u)),
    column = Math.floor(x / warp),
    width = warp * 0.92,
    left = column * warp,
    tall = Math.max(warp, radius * 2.2),
    top = Math.floor(y / warp) * warp + (column % 2 ? warp / 2 : 0);
  ctx.fillStyle = paint(colour, luck.bell() * 8, 1);
  ctx.fillRect(left, top, width, tall);
  ctx.fillStyle = "rgba(20,12,10,0.28)";
  ctx.fillRect(left + width * 0.72, top, width * 0.28, tall);
  ctx.fillStyle = "rgba(255,246,230,0.13)";
  ctx.fillRect(left, top, width * 0.3, tall);
}

/** A wet patch with an uneven rim, its pigment gathered at the edge. */
function puddle({ ctx, u }, { brush, luck }, x, y, radius, colour) {
  const corners = 11,
    turn = luck.next() * 6.283,
    stretch = luck.range(0.55, 1),
    wide = radius * 1.5;
  ctx.beginPath();
  for (let i = 0; i < corners; i++) {
    const angle = turn + (i / corners) * 6.283,
      reach = wide * luck.range(0.62, 1.15);
    ctx.lineTo(x + Math.cos(angle) * reach, y + Math.sin(angle) * reach * stretch);
  }
  ctx.closePath();
  ctx.fillStyle = paint(colour, 0, brush.opacity * luck.range(0.6, 1));
  ctx.fill();
  if (radius < 2.5 * u) return;
  ctx.strokeStyle = paint(colour, -34, brush.opacity * 0.42);
  ctx.lineWidth = Math.max(0.6, u * 0.9);
  ctx.lineJoin = "round";
  ctx.stroke();
}
