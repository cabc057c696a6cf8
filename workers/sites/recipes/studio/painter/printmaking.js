// Printed and drawn media computed per pixel: linocut, woodblock, risograph, halftone, charcoal, photographs.
// Each step sharpens the image, as a print gains passes or a plate develops.

import { clamp, clampByte, hex, mix, ramp, smooth } from "./colour.js";
import { combedGrain, edgesOf, flowField, readPixels, release, soften, stretchTones, tones } from "./rasters.js";

/** Run `shade` every step on a study that comes into focus; shade(frame, out) fills RGBA bytes. */
function evolving(job, prepare) {
  const { ctx, w, h, u } = job,
    source = readPixels(job.study),
    kit = prepare(source);
  return (from, to) => {
    const blur = 15 * u * (1 - to) ** 1.6,
      pixels = blur < 0.6 ? source : soften(source, w, h, blur),
      image = ctx.createImageData(w, h);
    const flat = tones(pixels),
      tone = stretchTones(flat);
    kit.shade({ pixels, tone, ready: to }, image.data);
    ctx.putImageData(image, 0, 0);
    for (const used of [flat, tone, image.data]) release(used);
    if (pixels !== source) release(pixels);
  };
}

const put = (out, p, colour) => {
  out[p] = colour[0];
  out[p + 1] = colour[1];
  out[p + 2] = colour[2];
  out[p + 3] = 255;
};
const flowOf = (job, source, swirl = 0.6) => flowField(source, job.w, job.h, job.noise, 1, swirl * 4, 4 * job.u);

/** Carved lines follow the forms; their width is the tone. */
export function createLinocut(job, { inks = ["#1c2428"], paper = "#f2ead8", reach = 11, bands = [0.42] } = {}) {
  return evolving(job, (source) => {
    const { w, h, u } = job,
      grain = combedGrain(flowOf(job, source), w, h, job.rng.fork("gouge"), reach * u, Math.max(1, 1.8 * u)),
      colours = inks.map(hex),
      ground = hex(paper);
    return {
      shade({ tone, ready }, out) {
        const edges = edgesOf(tone, w, h);
        for (let i = 0, p = 0; i < tone.length; i++, p += 4) {
          let seen = ground;
          const value = tone[i] - edges[i] * 0.35 * ready;
          for (let k = 0; k < colours.length; k++) {
            const limit = bands[k],
              carved = smooth(-0.06, 0.06, limit + (grain[i] - 0.5) * 0.52 * (0.35 + 0.65 * ready) - value);
            if (carved > 0) seen = mix(seen, colours[k], carved);
          }
          put(out, p, seen);
        }
      },
    };
  });
}

/** Flat colour blocks with graded skies, dark key lines and wood grain. */
export function createWoodblock(job, { levels = 6 } = {}) {
  return evolving(job, (source) => {
    const { w, h, u, noise } = job,
      wash = soften(source, w, h, 2.2 * u);
    return {
      shade({ pixels, tone, ready }, out) {
        const edges = edgesOf(tones(soften(pixels, w, h, Math.max(1, 1.1 * u))), w, h),
          paper = [240, 228, 200];
        for (let i = 0, p = 0; i < tone.length; i++, p += 4) {
          const x = i % w,
            y = (i / w) | 0,
            stepTone = Math.round(tone[i] * levels) / levels,
            factor = (0.25 + stepTone * 0.85) / (0.25 + tone[i] * 0.85),
            wood = noise.at(x / (70 * u), y / (2.6 * u)) * 9;
          const line = smooth(0.17, 0.34, edges[i] * (0.75 + 0.25 * noise.at(x / (9 * u), y / (9 * u)))) * ready;
          for (let c = 0; c < 3; c++) {
            const flat = (wash[p + c] * 0.5 + pixels[p + c] * 0.5) * factor * 0.93 + paper[c] * 0.1;
            out[p + c] = flat + wood + ([32, 36, 60][c] - flat) * line * 0.82;
          }
          out[p + 3] = 255;
        }
      },
    };
  });
}

/** Screens of dots, one per ink, each at its own angle and slightly out of register. */
export function createScreenprint(job, { inks, paper = "#f4eee0", cell = 5.2, misregister = 0, grainy = 0 }) {
  return evolving(job, () => {
    const { w, h, u } = job,
      plates = inks.map(([colour, angle, reads, gain = 1], order) => ({
        colour: hex(colour).map((v) => v / 255),
        cos: Math.cos(angle),
        sin: Math.sin(angle),
        reads,
        gain,
        dx: Math.round(misregister * u * (order - 1)),
        dy: Math.round(misregister * u * (order % 2)),
      }));
    const size = Math.max(2.2, cell * u),
      sheet = hex(paper),
      luck = job.rng.fork("screen"),
      speck = Float32Array.from({ length: grainy ? w * h : 0 }, () => luck.next());
    return {
      shade({ pixels, tone }, out) {
        for (let i = 0, p = 0; i < tone.length; i++, p += 4) {
          const x = i % w,
            y = (i / w) | 0;
          let r = sheet[0],
            g = sheet[1],
            b = sheet[2];
          for (const plate of plates) {
            const from = clamp(y + plate.dy, 0, h - 1) * w + clamp(x + plate.dx, 0, w - 1),
              ink = plateTone(pixels, tone, from, plate.reads) * plate.gain;
            const cover = grainy
              ? clamp(ink * 1.04 + (speck[i] - 0.5) * 0.46 * smooth(0.02, 0.3, ink))
              : dotCover(x, y, plate, size, ink);
            r *= 1 - cover * (1 - plate.colour[0]);
            g *= 1 - cover * (1 - plate.colour[1]);
            b *= 1 - cover * (1 - plate.colour[2]);
          }
          out[p] = r;
          out[p + 1] = g;
          out[p + 2] = b;
          out[p + 3] = 255;
        }
      },
    };
  });
}

function dotCover(x, y, { cos, sin }, size, ink) {
  const u = ((x * cos + y * sin) / size) * Math.PI,
    v = ((y * cos - x * sin) / size) * Math.PI;
  return smooth(-0.22, 0.22, (ink - 0.5) * 2.05 - Math.cos(u) * Math.cos(v) * 0.94 + 0.02);
}

function plateTone(pixels, tone, i, reads) {
  if (reads === "key") return clamp((0.62 - tone[i]) * 1.5);
  if (reads === "dark") return 1 - tone[i];
  const p = i * 4,
    channel = { cyan: 0, magenta: 1, yellow: 2 }[reads];
  if (reads === "warm") return clamp((pixels[p] - pixels[p + 2]) / 190 + (1 - tone[i]) * 0.25 + 0.05);
  return clamp(1 - pixels[p + channel] / 255);
}

/** Soft black on toothy paper: smudged masses first, then grain along the forms. */
export function createCharcoal(job, { paper = "#efe8da", ink = "#1e1c1e", tooth = 0.62 } = {}) {
  return evolving(job, (source) => {
    const { w, h, u, noise } = job,
      comb = combedGrain(flowOf(job, source, 0.4), w, h, job.rng.fork("stick"), 6 * u, Math.max(1, u)),
      luck = job.rng.fork("tooth"),
      speck = Float32Array.from({ length: w * h }, () => luck.next()),
      sheet = hex(paper),
      black = hex(ink);
    return {
      shade({ tone, ready }, out) {
        const edges = edgesOf(tone, w, h);
        for (let i = 0, p = 0; i < tone.length; i++, p += 4) {
          const x = i % w,
            y = (i / w) | 0,
            fade = smooth(
              0,
              0.09,
              Math.min(x, w - x, y, h - y) / Math.min(w, h) + noise.at(x / (24 * u), y / (24 * u)) * 0.035,
            );
          const dark = (1 - tone[i]) * 0.98 + edges[i] * 0.5 * ready,
            grain = (comb[i] * 0.65 + speck[i] * 0.35 - 0.5) * tooth * (0.3 + 0.7 * ready);
          put(out, p, mix(sheet, black, clamp(smooth(0.1, 0.98, dark + grain * (1.15 - dark)) * fade * 0.96)));
        }
      },
    };
  });
}

/** Pen lines in up to four directions; each darker band of tone adds a direction. */
export function createHatching(job, { ink = "#2a2430", paper = "#f6f0e2", gap = 4.6 } = {}) {
  return evolving(job, () => {
    const { w, h, u, noise } = job,
      sets = [
        [0.78, 0.8],
        [-0.7, 0.58],
        [0.06, 0.38],
        [1.5, 0.22],
      ],
      black = hex(ink),
      sheet = hex(paper),
      pitch = Math.max(2.4, gap * u);
    return {
      shade({ tone, ready }, out) {
        const edges = edgesOf(tone, w, h);
        for (let i = 0, p = 0; i < tone.length; i++, p += 4) {
          const x = i % w,
            y = (i / w) | 0,
            shake = noise.at(x / (34 * u), y / (34 * u)) * 2.2 * u;
          let ink01 = smooth(0.2, 0.5, edges[i]) * ready * 0.9;
          for (let k = 0; k < 4 * Math.min(1, ready * 1.25); k++) {
            const [angle, limit] = sets[k],
              under = limit - tone[i];
            if (under <= 0) continue;
            const across = (x * Math.sin(angle) + y * Math.cos(angle) + shake) / pitch,
              line = Math.abs(across - Math.floor(across) - 0.5) * 2,
              pressure = 0.85 + 0.35 * noise.at(x / (6 * u) + k * 40, y / (6 * u));
            ink01 = Math.max(
              ink01,
              smooth(0.28, 0, 1 - line - Math.min(0.55, under * 1.7) * 0.6 + 0.12) * pressure * smooth(0, 0.05, under),
            );
          }
          put(out, p, mix(sheet, black, clamp(ink01 * 0.92)));
        }
      },
    };
  });
}

/** A plate in the developer: the image rises out of the paper, shadows first, with silver grain. */
export function createPhotograph(job, { stops, coarse = 0.07, keep = 0, curve = 1.12, base = null }) {
  return evolving(job, () => {
    const { w, h, noise, u } = job,
      table = ramp(stops.map(([at, colour]) => [at, hex(colour)])),
      luck = job.rng.fork("silver"),
      speck = Float32Array.from({ length: w * h }, () => luck.bell());
    return {
      shade({ pixels, tone, ready }, out) {
        for (let i = 0, p = 0; i < tone.length; i++, p += 4) {
          const x = i % w,
            y = (i / w) | 0,
            spread = 0.2 * noise.layered(x / (150 * u), y / (150 * u), 2),
            rise = smooth(0, 1, clamp(ready * 1.35 - (tone[i] + spread) * 0.35 * (1 - ready)));
          const toned = clamp(0.5 + (tone[i] - 0.5) * curve + speck[i] * coarse),
            at = Math.round((1 - (1 - toned) * rise) * 255) * 3;
          for (let c = 0; c < 3; c++) {
            const plate = table[at + c];
            out[p + c] = keep ? clampByte(plate + (255 + (pixels[p + c] - 255) * rise - plate) * keep) : plate;
          }
          out[p + 3] = 255;
        }
        return base;
      },
    };
  });
}
