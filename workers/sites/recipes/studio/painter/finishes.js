// Effects on a whole picture: colour grades before painting, surface and frame after it. Styles name them.

import { clamp, clampByte, hex, luminance, ramp, saturateInto, smooth } from "./colour.js";
import { readPixels, release } from "./rasters.js";

const WORN = [228, 214, 190];
const CRACK = [96, 76, 60];

/** Call change(colour, x, y) for each pixel, which changes the colour in place: an array for each would be much. */
function eachPixel(canvas, change) {
  const ctx = canvas.getContext("2d", { willReadFrequently: true }),
    w = canvas.width,
    image = ctx.getImageData(0, 0, w, canvas.height),
    data = image.data,
    colour = [0.5, 0.5, 0.5];
  for (let p = 0, i = 0; p < data.length; p += 4, i++) {
    colour[0] = data[p];
    colour[1] = data[p + 1];
    colour[2] = data[p + 2];
    change(colour, i % w, (i / w) | 0);
    data[p] = colour[0];
    data[p + 1] = colour[1];
    data[p + 2] = colour[2];
  }
  ctx.putImageData(image, 0, 0);
  release(data);
}

function add(colour, value) {
  colour[0] += value;
  colour[1] += value;
  colour[2] += value;
}

function dim(colour, by) {
  colour[0] *= by;
  colour[1] *= by;
  colour[2] *= by;
}

/** The colour becomes what `mix` returns for it as the first of the two. */
function mixInto(colour, to, amount) {
  for (let c = 0; c < 3; c++) colour[c] += (to[c] - colour[c]) * amount;
}

/** Recolour the study: a ramp by tone, and how vivid and contrasty it stays. */
export function gradeStudy(canvas, { stops = null, blend = 1, vivid = 1, contrast = 1, lift = 0 }) {
  const table = stops && ramp(stops.map(([at, colour]) => [at, hex(colour)]));
  eachPixel(canvas, (colour) => {
    if (vivid !== 1) saturateInto(colour, vivid);
    if (table) {
      const at = Math.round(clamp(luminance(colour)) * 255) * 3;
      for (let c = 0; c < 3; c++) colour[c] += (table[at + c] - colour[c]) * blend;
    }
    for (let c = 0; c < 3; c++) colour[c] = clampByte((colour[c] - 128) * contrast + 128 + lift);
  });
}

/** Light raking over thick paint: differences in tone become ridges. */
function relief(canvas, strength) {
  const source = readPixels(canvas),
    w = canvas.width,
    h = canvas.height,
    tone = (p) => source[p] * 0.3 + source[p + 1] * 0.59 + source[p + 2] * 0.11;
  eachPixel(canvas, (colour, x, y) => {
    const back = (Math.max(0, y - 1) * w + Math.max(0, x - 1)) * 4,
      ahead = (Math.min(h - 1, y + 1) * w + Math.min(w - 1, x + 1)) * 4,
      ridge = clamp((tone(ahead) - tone(back)) / 60, -1, 1) * strength;
    add(colour, ridge);
  });
  release(source);
}

function weave(canvas, job, strength) {
  const pitch = Math.max(2, 2.6 * job.u);
  eachPixel(canvas, (colour, x, y) => {
    const thread =
      (Math.sin((x / pitch) * Math.PI) * Math.sin((y / pitch) * Math.PI) + job.noise.at(x / 3, y / 3) * 0.6) * strength;
    add(colour, thread);
  });
}

function paperTooth(canvas, job, strength) {
  const { noise, u } = job;
  eachPixel(canvas, (colour, x, y) => {
    const tooth = (noise.at(x / (1.9 * u), y / (1.9 * u)) + noise.layered(x / (40 * u), y / (40 * u), 3)) * strength;
    add(colour, tooth);
  });
}

function grain(canvas, job, strength) {
  const luck = job.rng.fork("grain");
  eachPixel(canvas, (colour) => {
    const speck = luck.bell() * strength;
    add(colour, speck);
  });
}

/** Unpainted paper with an uneven edge all round. */
function deckle(canvas, job, { width, colour, rough = 1 }) {
  const { noise, u } = job,
    w = canvas.width,
    h = canvas.height,
    paper = hex(colour),
    reach = width * Math.min(w, h);
  eachPixel(canvas, (colour, x, y) => {
    const wander =
        (noise.layered(x / (30 * u), y / (30 * u), 3) * 14 + noise.at(x / (4 * u), y / (4 * u)) * 4) * u * rough,
      inside = Math.min(x, y, w - 1 - x, h - 1 - y) + wander - reach;
    const shown = smooth(-1.2 * u, 1.2 * u, inside);
    for (let c = 0; c < 3; c++) colour[c] = paper[c] + (colour[c] - paper[c]) * shown;
  });
}

function vignette(canvas, strength) {
  const w = canvas.width,
    h = canvas.height;
  eachPixel(canvas, (colour, x, y) => {
    const away = Math.hypot(x / w - 0.5, y / h - 0.5),
      keep = 1 - smooth(0.32, 0.78, away) * strength;
    dim(colour, keep);
  });
}

function scanlines(canvas, job, strength) {
  const pitch = Math.max(2, Math.round(3 * job.u));
  eachPixel(canvas, (colour, x, y) => {
    const keep = y % pitch === 0 ? 1 - strength : 1;
    dim(colour, keep);
  });
}

/** Fine dark cracks, as in old plaster. */
function cracks(canvas, job, strength) {
  const { noise, u } = job;
  eachPixel(canvas, (colour, x, y) => {
    const vein = Math.abs(noise.layered(x / (62 * u), y / (62 * u), 5)),
      worn = smooth(0.12, 0.45, noise.layered(x / (90 * u) + 40, y / (90 * u), 5)),
      crack = smooth(0.014, 0, vein) * strength;
    mixInto(colour, WORN, worn * 0.4 * strength);
    mixInto(colour, CRACK, crack);
  });
}

function bloom(canvas, strength) {
  const w = canvas.width,
    h = canvas.height,
    small = new OffscreenCanvas(Math.ceil(w / 10), Math.ceil(h / 10)),
    local = small.getContext("2d", { willReadFrequently: true }),
    ctx = canvas.getContext("2d");
  local.imageSmoothingQuality = "high";
  local.drawImage(canvas, 0, 0, small.width, small.height);
  local.globalCompositeOperation = "multiply";
  local.drawImage(small, 0, 0);
  ctx.save();
  ctx.imageSmoothingQuality = "high";
  ctx.globalCompositeOperation = "screen";
  ctx.globalAlpha = strength;
  ctx.drawImage(small, 0, 0, w, h);
  ctx.restore();
}

/** A white instant-film card around a smaller picture. */
function card(canvas, { side, foot, colour }) {
  const w = canvas.width,
    h = canvas.height,
    edge = Math.round(side * Math.min(w, h)),
    base = Math.round(foot * Math.min(w, h)),
    ctx = canvas.getContext("2d"),
    copy = new OffscreenCanvas(w, h);
  copy.getContext("2d").drawImage(canvas, 0, 0);
  ctx.fillStyle = colour;
  ctx.fillRect(0, 0, w, h);
  const innerW = w - edge * 2,
    innerH = h - edge - base,
    scale = Math.max(innerW / w, innerH / h);
  ctx.drawImage(
    copy,
    (w - innerW / scale) / 2,
    (h - innerH / scale) / 2,
    innerW / scale,
    innerH / scale,
    edge,
    edge,
    innerW,
    innerH,
  );
  ctx.strokeStyle = "rgba(30,26,30,0.35)";
  ctx.lineWidth = 1;
  ctx.strokeRect(edge + 0.5, edge + 0.5, innerW - 1, innerH - 1);
}

/** Apply the surface treatments in a fixed order, so styles only name strengths. */
export function finishPicture(canvas, job, finish) {
  if (finish.relief) relief(canvas, finish.relief);
  if (finish.cracks) cracks(canvas, job, finish.cracks);
  if (finish.bloom) bloom(canvas, finish.bloom);
  if (finish.weave) weave(canvas, job, finish.weave);
  if (finish.tooth) paperTooth(canvas, job, finish.tooth);
  if (finish.vignette) vignette(canvas, finish.vignette);
  if (finish.scanlines) scanlines(canvas, job, finish.scanlines);
  if (finish.deckle) deckle(canvas, job, finish.deckle);
  if (finish.card) card(canvas, finish.card);
  if (finish.grain) grain(canvas, job, finish.grain);
}
