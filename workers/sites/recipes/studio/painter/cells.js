// Media made of pieces: stained glass, mosaic, low poly. Each step adds pieces or settles them towards the forms.

import { clampByte, smooth } from "./colour.js";
import { edgesOf, readPixels, release, soften, tones } from "./rasters.js";

/** Scatter seeds, more of them where the study has edges, none crowding another. */
function scatterSeeds(count, w, h, edges, luck) {
  const seeds = [],
    apart = 0.5 * Math.sqrt((w * h) / count),
    columns = Math.ceil(w / apart),
    taken = new Map();
  const crowded = (x, y) => {
    for (let dy = -1; dy <= 1; dy++)
      for (let dx = -1; dx <= 1; dx++) {
        const other = taken.get((Math.floor(y / apart) + dy) * columns + Math.floor(x / apart) + dx);
        if (other && (other.x - x) ** 2 + (other.y - y) ** 2 < apart * apart) return true;
      }
    return false;
  };
  for (let tries = 0; seeds.length < count && tries < count * 16; tries++) {
    const x = luck.next() * w,
      y = luck.next() * h;
    if (luck.next() > 0.14 + edges[Math.floor(y) * w + Math.floor(x)] * 1.6 || crowded(x, y)) continue;
    seeds.push({ x, y });
    taken.set(Math.floor(y / apart) * columns + Math.floor(x / apart), seeds[seeds.length - 1]);
  }
  return seeds;
}

/** For every pixel its nearest seed and how much farther the second is (small on a border). */
function nearestSeeds(seeds, w, h) {
  const size = Math.max(4, Math.sqrt((w * h) / seeds.length)),
    columns = Math.ceil(w / size),
    rows = Math.ceil(h / size),
    bins = Array.from({ length: columns * rows }, () => []);
  seeds.forEach(({ x, y }, index) =>
    bins[Math.min(rows - 1, Math.floor(y / size)) * columns + Math.min(columns - 1, Math.floor(x / size))].push(index),
  );
  const owner = new Int32Array(w * h),
    border = new Float32Array(w * h);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const near = neighbours(bins, columns, rows, column, row),
        bottom = Math.min(h, Math.ceil((row + 1) * size)),
        right = Math.min(w, Math.ceil((column + 1) * size));
      for (let y = Math.ceil(row * size); y < bottom; y++)
        for (let x = Math.ceil(column * size); x < right; x++) {
          let first = 1e9,
            second = 1e9,
            best = 0;
          for (let k = 0; k < near.length; k++) {
            const seed = seeds[near[k]],
              distance = (seed.x - x) ** 2 + (seed.y - y) ** 2;
            if (distance < first) {
              second = first;
              first = distance;
              best = near[k];
            } else if (distance < second) second = distance;
          }
          owner[y * w + x] = best;
          border[y * w + x] = Math.sqrt(second) - Math.sqrt(first);
        }
    }
  return { owner, border };
}

function neighbours(bins, columns, rows, column, row) {
  for (let reach = 2; ; reach++) {
    const near = [];
    for (let r = Math.max(0, row - reach); r <= Math.min(rows - 1, row + reach); r++)
      for (let c = Math.max(0, column - reach); c <= Math.min(columns - 1, column + reach); c++)
        near.push(...bins[r * columns + c]);
    if (near.length > 3 || reach > columns + rows) return near;
  }
}

function averageColours(owner, pixels, count) {
  const sums = new Float64Array(count * 6);
  for (let i = 0, p = 0; i < owner.length; i++, p += 4) {
    const at = owner[i] * 6;
    sums[at] += pixels[p];
    sums[at + 1] += pixels[p + 1];
    sums[at + 2] += pixels[p + 2];
    sums[at + 3]++;
  }
  return sums;
}

const pixelsOf = (job) => {
  const pixels = readPixels(job.study);
  return { pixels, edges: edgesOf(tones(pixels), job.w, job.h) };
};

/** Pieces with leads or grout between them. */
export function createPieces(
  job,
  { finest = 1500, coarsest = 60, joint = 2.4, colour = "#17141c", vivid = 1.35, vary = 16, bevel = 0.3, form = 0 },
) {
  const { ctx, w, h, u, rng } = job,
    { pixels, edges } = pixelsOf(job),
    luck = rng.fork("pieces"),
    all = scatterSeeds(finest, w, h, edges, luck),
    lead = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)),
    shifts = all.map(() => luck.bell() * vary);
  const soft = soften(pixels, w, h, 1.6 * u),
    outlines = edgesOf(tones(soft), w, h);
  return (from, to) => {
    const seeds = all.slice(0, Math.round(Math.min(all.length, coarsest + (all.length - coarsest) * to ** 1.5)));
    const { owner, border } = nearestSeeds(seeds, w, h),
      sums = averageColours(owner, pixels, seeds.length),
      drawn = form * to,
      image = ctx.createImageData(w, h),
      out = image.data,
      wide = joint * u;
    for (let i = 0, p = 0; i < owner.length; i++, p += 4) {
      const at = owner[i] * 6,
        n = sums[at + 3],
        grey = (sums[at] * 0.3 + sums[at + 1] * 0.59 + sums[at + 2] * 0.11) / n,
        seed = seeds[owner[i]],
        x = i % w,
        y = (i / w) | 0;
      const pane = border[i] < wide ? Math.max(0, (border[i] - wide * 0.55) / (wide * 0.45)) : 1,
        cut = drawn ? pane * (1 - smooth(0.16, 0.3, outlines[i]) * drawn) : pane,
        light = shifts[owner[i]] + ((seed.x - x + seed.y - y) / u) * bevel;
      for (let c = 0; c < 3; c++)
        out[p + c] =
          lead[c] +
          (clampByte(
            grey + (sums[at + c] / n - grey) * vivid + light + (soft[p + c] - sums[at + c] / n) * form * 0.75,
          ) -
            lead[c]) *
            cut;
      out[p + 3] = 255;
    }
    ctx.putImageData(image, 0, 0);
    for (const used of [owner, border, out]) release(used);
  };
}

/** Triangles over a jittered grid that grows finer, each filled with the colour beneath it. */
export function createLowPoly(job, { finest = 26, coarsest = 5, vary = 10 } = {}) {
  const { ctx, w, h, rng } = job,
    { pixels, edges } = pixelsOf(job);
  return (from, to) => {
    const luck = rng.fork("poly"),
      across = Math.round(coarsest + (finest - coarsest) * to),
      size = w / across,
      down = Math.ceil(h / size),
      points = [];
    for (let row = 0; row <= down + 1; row++)
      for (let column = 0; column <= across + 1; column++)
        points.push(settlePoint(column, row, size, w, h, edges, luck));
    for (let row = 0; row <= down; row++)
      for (let column = 0; column <= across; column++) {
        const a = row * (across + 2) + column,
          b = a + 1,
          c = a + across + 2,
          d = c + 1;
        for (const corners of luck.chance(0.5)
          ? [
              [a, b, c],
              [b, d, c],
            ]
          : [
              [a, b, d],
              [a, d, c],
            ])
          fillTriangle(
            ctx,
            corners.map((k) => points[k]),
            pixels,
            w,
            h,
            luck.bell() * vary,
          );
      }
  };
}

/** A grid corner moves to the strongest edge nearby, so triangles meet along the forms. */
function settlePoint(column, row, size, w, h, edges, luck) {
  let best = { x: (column - 0.5 + luck.bell() * 0.24) * size, y: (row - 0.5 + luck.bell() * 0.24) * size },
    strongest = 0.12;
  for (let i = 0; i < 26; i++) {
    const x = (column - 0.5 + luck.bell() * 0.38) * size,
      y = (row - 0.5 + luck.bell() * 0.38) * size;
    if (x < 0 || y < 0 || x >= w || y >= h) continue;
    const edge = edges[Math.floor(y) * w + Math.floor(x)];
    if (edge > strongest) {
      strongest = edge;
      best = { x, y };
    }
  }
  return best;
}

function fillTriangle(ctx, [a, b, c], pixels, w, h, shift) {
  const sum = [0, 0, 0];
  let seen = 0;
  for (let i = 0; i <= 6; i++)
    for (let j = 0; j <= 6 - i; j++, seen++) {
      const s = i / 6,
        t = j / 6,
        x = a.x + (b.x - a.x) * s + (c.x - a.x) * t,
        y = a.y + (b.y - a.y) * s + (c.y - a.y) * t,
        p = (Math.min(h - 1, Math.max(0, y | 0)) * w + Math.min(w - 1, Math.max(0, x | 0))) * 4;
      sum[0] += pixels[p];
      sum[1] += pixels[p + 1];
      sum[2] += pixels[p + 2];
    }
  const fill = `rgb(${sum.map((value) => Math.round(clampByte(value / seen + shift))).join(",")})`;
  ctx.fillStyle = fill;
  ctx.strokeStyle = fill;
  ctx.lineWidth = 0.8;
  ctx.beginPath();
  ctx.moveTo(a.x, a.y);
  ctx.lineTo(b.x, b.y);
  ctx.lineTo(c.x, c.y);
  ctx.closePath();
  ctx.fill();
  ctx.stroke();
}
