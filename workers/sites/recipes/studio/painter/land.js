// The ground seen from afar: mountains, hills, dunes, cliffs, meadows, snow, and their foregrounds.

import { clamp, css, darken, hex, lighten, mix, smooth } from "./colour.js";
import { lit } from "./light.js";
import { paintPixels } from "./sky.js";

/** Fill below `ridge(x)` with a per-pixel shade, cut along a crisp edge. */
export function paintBelowRidge(scene, ridge, bottom, shade, scale = 2) {
  const { ctx, w } = scene;
  const step = Math.max(1, Math.round(w / 320));
  let top = bottom;
  ctx.save();
  ctx.beginPath();
  ctx.moveTo(-4, bottom);
  for (let x = -4; x <= w + 4; x += step) {
    const y = ridge(x);
    top = Math.min(top, y);
    ctx.lineTo(x, y);
  }
  ctx.lineTo(w + 4, bottom);
  ctx.closePath();
  ctx.clip();
  const start = Math.max(0, Math.floor(top) - 2);
  if (bottom > start) paintPixels(ctx, 0, start, w, bottom - start, shade, scale);
  ctx.restore();
}

/** One chain of rocky peaks. depth 1 is the farthest. */
export function paintMountains(scene, { base, tall, depth, peaks = 2.2, label, volcano = false }) {
  const { w, noise, light, rng, sun, u } = scene;
  const shift = rng.fork(label).range(0, 60),
    centre = rng.fork(label + "c").range(0.3, 0.7);
  const envelope = (x) => 0.55 + 0.45 * Math.exp(-(((x / w - centre) / 0.3) ** 2));
  const cone = (x) => {
    const away = Math.abs(x / w - centre);
    return away < 0.035 ? 0.9 + noise.at((x / w) * 60, 3) * 0.04 : Math.max(0, 1.02 - away * 2.6 - away * 0.3);
  };
  const ridge = (x) =>
    base -
    tall *
      (volcano
        ? cone(x) + 0.05 * noise.layered((x / w) * 9, shift, 3)
        : envelope(x) * Math.max(0.02, noise.ridged((x / w) * peaks + shift, shift * 0.3, 6) - 0.3) * 1.62);
  const rock = lit(light, mix([88, 82, 104], light.dry > 0.3 ? [126, 88, 66] : [70, 92, 92], 0.4), depth * 0.85);
  const bright = mix(lighten(rock, 0.3 * (1 - depth * 0.6)), light.sun, 0.22),
    dark = darken(rock, 0.42 * (1 - depth * 0.75));
  const snow = lit(light, [246, 248, 252], depth * 0.7),
    snowShade = lit(light, [126, 150, 198], depth * 0.8);
  const snowDepth = tall * (light.snowy ? 0.32 : light.season === "summer" ? 0.16 : 0.26);
  const side = sun.x < w / 2 ? 1 : -1,
    grain = 5 / (160 * u);
  paintBelowRidge(scene, ridge, base + 3, (x, y, out) => {
    const nx = x * grain + shift,
      ny = y * grain * 0.75,
      here = noise.ridged(nx + ny * 0.5, ny, 4);
    const slope = clamp(0.5 + (here - noise.ridged(nx + ny * 0.5 + 0.12 * side, ny + 0.03, 4)) * 3.2);
    const foot = smooth(base - tall * 0.5, base, y) * (0.2 + light.haze * 0.4);
    const white = volcano ? 0 : smooth(0, 0.2, (snowDepth * (0.6 + here * 0.8) - (y - ridge(x))) / tall);
    for (let i = 0; i < 3; i++) {
      const stone = dark[i] + (bright[i] - dark[i]) * slope;
      const cold = snowShade[i] + (snow[i] - snowShade[i]) * slope;
      const colour = stone + (cold - stone) * white;
      out[i] = colour + (light.hazeColour[i] - colour) * foot;
    }
  });
  if (volcano) paintEruption(scene, w * centre, base - tall * 0.92);
}

function paintEruption({ ctx, u, rng, light }, x, y) {
  const luck = rng.fork("eruption");
  for (let i = 0; i < 46; i++) {
    const rise = i / 46;
    ctx.fillStyle = css(
      mix([255, 140, 60], mix([70, 62, 72], light.hazeColour, rise * 0.5), Math.min(1, rise * 4)),
      0.34,
    );
    ctx.beginPath();
    ctx.arc(x + luck.bell() * 60 * u * rise + rise * rise * 70 * u, y - rise * 130 * u, (8 + 34 * rise) * u, 0, 7);
    ctx.fill();
  }
  ctx.lineCap = "round";
  for (let i = 0; i < 7; i++) {
    ctx.strokeStyle = css(
      luck.pick([
        [255, 176, 60],
        [255, 92, 40],
        [230, 50, 30],
      ]),
      0.9,
    );
    ctx.lineWidth = luck.range(1.5, 4) * u;
    ctx.beginPath();
    ctx.moveTo(x + luck.bell() * 10 * u, y + 2 * u);
    ctx.quadraticCurveTo(x + luck.bell() * 26 * u, y + 40 * u, x + luck.bell() * 90 * u, y + luck.range(60, 130) * u);
    ctx.stroke();
  }
}

/** Soft rolling ground in one colour family; used for hills, meadows, snow and dunes. */
export function paintRolling(
  scene,
  { base, tall, bottom, depth, colour, label, bumps = 1.4, texture = 1, stretch = 3.2, outline = null },
) {
  const { w, noise, light, rng, u, sun } = scene;
  const shift = rng.fork(label).range(0, 80);
  const ridge = outline ?? ((x) => base - tall * (0.5 + 0.9 * noise.layered((x / w) * bumps + shift, shift, 3)));
  const near = lit(light, colour, depth),
    bright = mix(lighten(near, 0.22), light.sun, 0.16),
    dark = darken(near, 0.32 * (1 - depth * 0.6));
  const grain = 1 / (26 * u * (1.2 - depth)),
    side = (sun.x / w - 0.5) * 0.5;
  paintBelowRidge(scene, ridge, bottom, (x, y, out) => {
    const below = (y - ridge(x)) / (bottom - base + tall);
    const mottled = noise.layered(x * grain * 0.5 + shift, y * grain * stretch * 0.5, 4) * texture;
    const slope = noise.at((x / w) * bumps * 1.7 + shift + side, shift + below * 2) * 0.5;
    const face = clamp(0.62 - below * 0.6 + mottled * 0.55 + slope);
    for (let i = 0; i < 3; i++) out[i] = dark[i] + (bright[i] - dark[i]) * face;
  });
  return ridge;
}

export function paintDunes(scene, { base, tall, bottom, depth, label, crests = 1.1 }) {
  const { w, noise, light, rng, sun } = scene;
  const shift = rng.fork(label).range(0, 90),
    side = sun.x < w / 2 ? 1 : -1;
  const sand = lit(light, hex("#dcb078"), depth);
  const bright = mix(lighten(sand, 0.25), light.sun, 0.2),
    dark = mix(darken(sand, 0.42), light.sky[0], 0.18);
  const swell = (across) => noise.layered(across * crests + shift, shift, 2);
  const ridge = (x) => base - tall * (0.5 + 1.3 * swell(x / w));
  paintBelowRidge(
    scene,
    ridge,
    bottom,
    (x, y, out) => {
      const below = (y - ridge(x)) / (bottom - base + tall),
        across = x / w + side * below * (0.5 + 0.4 * noise.at((x / w) * 1.3 + shift, below * 2));
      const fall = (swell(across + 0.012) - swell(across - 0.012)) * side,
        slope = smooth(-0.016, 0.016, -fall);
      const ripple =
        noise.at((x / w) * 4 + below * 6, below * 60 + noise.at((x / w) * 6, below * 5) * 4) * 0.1 * (1 - depth);
      const face = clamp(0.14 + slope * (0.8 - below * 0.35) + below * 0.12 + ripple);
      for (let i = 0; i < 3; i++) out[i] = dark[i] + (bright[i] - dark[i]) * face;
    },
    depth < 0.4 ? 1 : 2,
  );
  return ridge;
}

/** A headland with a flat top falling to the water: `side` -1 grows from the left edge, 1 from the right. */
export function paintHeadland(scene, { base, tall, reach, side, depth, label, green = true }) {
  const { w, noise, light, rng, u } = scene;
  const shift = rng.fork(label).range(0, 50);
  const inward = (x) => (side < 0 ? x / w : 1 - x / w) / reach;
  const ridge = (x) =>
    inward(x) > 1
      ? base + 9
      : base -
        tall *
          (smooth(1, 0.72, inward(x)) * (0.82 + 0.25 * noise.layered((x / w) * 5 + shift, 1, 3)) +
            0.1 * smooth(1, 0.86, inward(x)));
  const rock = lit(light, hex("#8a7c70"), depth),
    bright = mix(lighten(rock, 0.25), light.sun, 0.2),
    dark = darken(rock, 0.5);
  const turf = lit(light, light.snowy ? hex("#e8eef2") : light.grass, depth),
    grain = 1 / (30 * u);
  paintBelowRidge(scene, ridge, base + 2, (x, y, out) => {
    const below = (y - ridge(x)) / tall,
      strata = noise.layered(x * grain * 1.4 + shift, y * grain * 0.5, 4);
    const face = clamp(0.55 + strata * 0.9 - below * 0.35),
      grassy = green ? smooth(0.34, 0.12, below + strata * 0.25) : 0;
    for (let i = 0; i < 3; i++) {
      const stone = dark[i] + (bright[i] - dark[i]) * face;
      out[i] = stone + (turf[i] * (0.75 + face * 0.35) - stone) * grassy;
    }
  });
  return ridge;
}

/** Flat-topped red rock for canyons. */
export function paintMesas(scene, { base, tall, depth, label }) {
  const { w, noise, light, rng } = scene;
  const shift = rng.fork(label).range(0, 70);
  const block = (x) => smooth(0.02, 0.14, noise.layered((x / w) * 2.2 + shift, 3, 3) + 0.06);
  const ridge = (x) =>
    base - tall * (0.12 + block(x) * (0.68 + (0.2 * Math.round(noise.at((x / w) * 3 + shift, 8) * 3)) / 3));
  const rock = lit(light, hex("#b8623c"), depth),
    bright = mix(lighten(rock, 0.28), light.sun, 0.15),
    dark = darken(rock, 0.45);
  paintBelowRidge(scene, ridge, base + 4, (x, y, out) => {
    const band = noise.at((x / w) * 3, (y / tall) * 17) * 0.4,
      cleft = noise.ridged((x / w) * 16 + shift, (y / tall) * 1.4, 3);
    const face = clamp(0.1 + cleft * 0.65 + band * 0.6);
    for (let i = 0; i < 3; i++) out[i] = dark[i] + (bright[i] - dark[i]) * face;
  });
}

/** Blades and stems standing up from the bottom edge. */
export function paintGrass(scene, { top, bottom, colour, count, tall }) {
  const { ctx, w, light, rng, u } = scene;
  const luck = rng.fork("grass" + Math.round(top)),
    lean = light.wind ? 0.7 : 0.15;
  ctx.lineCap = "round";
  for (let i = 0; i < count; i++) {
    const near = i / count,
      x = luck.range(-10, w + 10),
      y = top + (bottom - top) * near,
      size = tall * (0.3 + near) * luck.range(0.5, 1.2);
    const shade = lit(
      light,
      mix(colour, luck.chance(0.5) ? lighten(colour, 0.3) : darken(colour, 0.4), luck.next()),
      0.15 * (1 - near),
    );
    ctx.strokeStyle = css(shade, 0.85);
    ctx.lineWidth = u * (0.6 + 1.1 * near);
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.quadraticCurveTo(
      x + luck.bell() * size * 0.2,
      y - size * 0.6,
      x + (luck.bell() * 0.5 + lean) * size * 0.7,
      y - size,
    );
    ctx.stroke();
  }
}

/** A road of packed earth winding to the horizon, with two worn tracks. */
export function paintRoad(scene, { top, bottom, mouth }) {
  const { ctx, w, rng, light, u } = scene,
    luck = rng.fork("road"),
    sway = luck.range(0.05, 0.12) * (luck.chance(0.5) ? 1 : -1);
  const earth = lit(light, light.snowy ? hex("#c8ccd2") : hex("#c0a484")),
    centre = (near) => w * (mouth + (0.5 - mouth) * near + sway * Math.sin(near * 5)),
    half = (near) => w * (0.004 + 0.17 * near ** 1.5);
  const strip = (from, to, colour, alpha) => {
    ctx.beginPath();
    for (let i = 0; i <= 40; i++) ctx.lineTo(centre(i / 40) + from * half(i / 40), top + (bottom - top) * (i / 40));
    for (let i = 40; i >= 0; i--) ctx.lineTo(centre(i / 40) + to * half(i / 40), top + (bottom - top) * (i / 40));
    ctx.fillStyle = css(colour, alpha);
    ctx.fill();
  };
  strip(-1, 1, mix(earth, light.hazeColour, 0.1), 1);
  strip(-1, -0.86, darken(earth, 0.3), 0.5);
  strip(0.86, 1, darken(earth, 0.3), 0.5);
  strip(-0.6, -0.3, darken(earth, 0.25), 0.45);
  strip(0.3, 0.6, darken(earth, 0.25), 0.45);
  strip(-0.12, 0.12, lighten(earth, 0.2), 0.5);
  return u;
}
