// Media made only of lines: contour maps and blueprints. Each step adds levels or tightens the drawing.

import { clamp, hex, mix, ramp, smooth } from "./colour.js";
import { edgesOf, readPixels, release, soften, stretchTones, tones } from "./rasters.js";

/** Lines of equal tone, as heights on a map, over softly layered paper. */
export function createContours(job, { levels = 22, stops, ink = "#2c2430" }) {
  const { ctx, w, h, u } = job,
    source = readPixels(job.study),
    table = ramp(stops.map(([at, colour]) => [at, hex(colour)])),
    line = hex(ink);
  return (from, to) => {
    const pixels = soften(source, w, h, (2.4 + 11 * (1 - to)) * u),
      tone = tones(pixels),
      smoothTone = stretchTones(tone),
      image = ctx.createImageData(w, h),
      count = Math.max(3, Math.round(levels * (0.25 + 0.75 * to)));
    for (let i = 0, p = 0; i < smoothTone.length; i++, p += 4) {
      const x = i % w,
        level = smoothTone[i] * count,
        right = smoothTone[x < w - 1 ? i + 1 : i] * count,
        below = smoothTone[i + w < smoothTone.length ? i + w : i] * count;
      const slope = Math.hypot(right - level, below - level) + 1e-4,
        distance = Math.abs(level - Math.round(level)) / slope,
        bold = Math.round(level) % 5 === 0 ? 1.5 : 0.85;
      const at = Math.round(clamp(Math.floor(level + 0.5) / count) * 255) * 3,
        cover = smooth(bold * Math.max(0.7, u), 0, distance) * smooth(0.004, 0.02, slope);
      for (let c = 0; c < 3; c++) image.data[p + c] = table[at + c] + (line[c] - table[at + c]) * cover * 0.85;
      image.data[p + 3] = 255;
    }
    ctx.putImageData(image, 0, 0);
    for (const used of [pixels, tone, smoothTone, image.data]) release(used);
  };
}

/** White construction lines on blue, with a measured grid. */
export function createBlueprint(job, { paper = "#153f7c", chalk = "#e6f0fb" } = {}) {
  const { ctx, w, h, u, noise } = job,
    source = readPixels(job.study),
    ground = hex(paper),
    white = hex(chalk);
  return (from, to) => {
    const pixels = soften(source, w, h, (0.8 + 5 * (1 - to)) * u),
      flat = tones(pixels),
      tone = stretchTones(flat),
      edges = edgesOf(tone, w, h),
      image = ctx.createImageData(w, h),
      grid = Math.max(8, Math.round(16 * u));
    for (let i = 0, p = 0; i < tone.length; i++, p += 4) {
      const x = i % w,
        y = (i / w) | 0,
        rule = x % (grid * 4) === 0 || y % (grid * 4) === 0 ? 0.2 : x % grid === 0 || y % grid === 0 ? 0.09 : 0;
      const stroke = smooth(0.1, 0.3, edges[i]) * (0.8 + 0.3 * noise.at(x / (5 * u), y / (5 * u))),
        fold = noise.layered(x / (120 * u), y / (120 * u), 3) * 14;
      const diagonal = ((x + y) / (5 * u)) % 1 < 0.22 ? smooth(0.42, 0.1, tone[i]) * 0.28 * to : 0;
      const seen = mix(ground, white, clamp(Math.max(rule, stroke * 0.95, diagonal) + tone[i] * 0.1));
      for (let c = 0; c < 3; c++) image.data[p + c] = seen[c] + fold;
      image.data[p + 3] = 255;
    }
    ctx.putImageData(image, 0, 0);
    for (const used of [pixels, flat, tone, edges, image.data]) release(used);
  };
}
