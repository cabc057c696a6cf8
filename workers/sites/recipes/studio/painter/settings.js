// Scenes outdoors that are not open land: a street, the sea floor, outer space.

import { arrange, stands } from "./arranging.js";
import { css, darken, hex, lighten, mix, smooth } from "./colour.js";
import { paintSilhouette } from "./creatures.js";
import { paintRolling } from "./land.js";
import { paintStreet } from "./monuments.js";
import { glow, paintPixels, paintSky } from "./sky.js";
import { paintSubject, placeOf, sizeOf } from "./subjects.js";

export function paintTown(scene) {
  const { w, h, horizon } = scene;
  paintSky(scene);
  const vanish = paintStreet(scene, { horizon: horizon + h * 0.06, bottom: h });
  const walkers = scene.brief.subjects.filter(stands("ground", "landmark")).filter(({ kind }) => kind !== "lantern");
  const crowd =
    walkers.length || scene.without("person")
      ? walkers
      : [{ kind: scene.light.rain ? "umbrella" : "person", colour: null, count: 2 }];
  if (scene.light.rain) shineStreet(scene, horizon + h * 0.14);
  arrange(
    { ...scene, unit: scene.unit * (walkers.length ? 1 : 0.7) },
    { kinds: crowd, y: h * (walkers.length ? 0.93 : 0.85), spread: 0.17, drift: 0.03 },
  );
  arrange(scene, { kinds: scene.brief.subjects.filter(stands("air")), y: horizon * 0.6, spread: 0.22, drift: 0.1 });
  return vanish / w;
}

/** Wet paving repeats the picture above it, faintly and upside down. */
function shineStreet({ ctx, w, h, noise, u }, top) {
  const copy = new OffscreenCanvas(w, h);
  copy.getContext("2d").drawImage(ctx.canvas, 0, 0);
  for (let y = Math.round(top); y < h; y++) {
    ctx.globalAlpha = 0.34;
    ctx.drawImage(copy, 0, Math.max(0, top - (y - top) * 1.2), w, 1, noise.at(y / (5 * u), 1) * 5 * u, y, w, 1);
  }
  ctx.globalAlpha = 1;
}

export function paintUnderwater(scene) {
  const { ctx, w, h, rng, light, noise, u } = scene,
    luck = rng.fork("deep"),
    tint = light.accent ?? hex("#1c7c94");
  const top = lighten(tint, light.lamps > 0.6 ? 0.1 : 0.45),
    deep = darken(tint, 0.72);
  paintPixels(ctx, 0, 0, w, h, (x, y, out) => {
    const v = y / h,
      caustic = Math.max(0, noise.ridged((x / w) * 5 + (y / h) * 1.5, (y / h) * 7, 3) - 0.62) * (1 - v) * 1.4;
    for (let i = 0; i < 3; i++) out[i] = top[i] + (deep[i] - top[i]) * smooth(0, 1, v * 1.05) + caustic * 190;
  });
  ctx.save();
  ctx.globalCompositeOperation = "screen";
  for (let i = 0; i < 11; i++) {
    const x = w * luck.range(0, 1),
      lean = luck.range(-0.25, 0.1) * w,
      beam = ctx.createLinearGradient(0, 0, 0, h * 0.85);
    beam.addColorStop(0, css(light.sun, 0.26));
    beam.addColorStop(1, css(light.sun, 0));
    ctx.fillStyle = beam;
    ctx.beginPath();
    ctx.moveTo(x, 0);
    ctx.lineTo(x + 22 * u, 0);
    ctx.lineTo(x + lean + 80 * u, h);
    ctx.lineTo(x + lean, h);
    ctx.fill();
  }
  ctx.restore();
  const bed = paintRolling(scene, {
    base: h * 0.86,
    tall: h * 0.09,
    bottom: h,
    depth: 0,
    colour: mix(hex("#c8b48c"), tint, 0.55),
    label: "seabed",
  });
  paintCorals(scene, bed, luck);
  const swimmers = scene.brief.subjects.filter(({ kind }) =>
    ["fish", "whale", "dolphin", "turtle", "jellyfish", "dragon", "robot", "person"].includes(kind),
  );
  if (!swimmers.some(({ kind }) => kind === "fish") && !scene.without("fish"))
    swimmers.push({ kind: "fish", colour: null, count: 6 });
  swim(scene, swimmers, luck);
  for (let i = 0; i < 40; i++) {
    ctx.strokeStyle = css([230, 246, 250], luck.range(0.2, 0.6));
    ctx.lineWidth = u;
    ctx.beginPath();
    ctx.arc(luck.next() * w, luck.next() * h, luck.range(1, 5) * u, 0, 7);
    ctx.stroke();
  }
}

function paintCorals({ ctx, w, h, u, light }, bed, luck) {
  ctx.lineCap = "round";
  for (let i = 0; i < 46; i++) {
    const x = luck.next() * w,
      y = bed(x) + luck.next() * h * 0.1,
      size = luck.range(24, 86) * u,
      colour = mix(
        hex(luck.pick(["#e8645c", "#f0a04c", "#c85c9c", "#5cb08c", "#8c6cc8", "#e8c85c"])),
        light.sky[0],
        0.28,
      );
    for (let branch = 0; branch < 7; branch++) {
      ctx.strokeStyle = css(branch % 2 ? lighten(colour, 0.2) : darken(colour, 0.25), 0.9);
      ctx.lineWidth = size * 0.075;
      const lean = luck.bell() * size * 0.5;
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.quadraticCurveTo(x + lean * 0.3, y - size * 0.5, x + lean, y - size * luck.range(0.5, 1));
      ctx.stroke();
    }
  }
}

function swim(scene, swimmers, luck) {
  const { w, h, unit } = scene;
  swimmers.forEach(({ kind, colour, count }, order) => {
    for (let i = 0; i < count; i++) {
      const first = order + i === 0,
        size = unit * sizeOf(kind) * (first ? (kind === "fish" ? 2.4 : 1.4) : luck.range(0.45, 1)),
        at = {
          x: w * (first ? luck.range(0.36, 0.62) : luck.range(0.08, 0.92)),
          y: h * (first ? 0.52 : luck.range(0.18, 0.78)),
          size,
          colour,
          flip: luck.chance(0.5),
          shadow: false,
          depth: first ? 0 : 0.12,
        };
      if (["whale", "dolphin", "fish"].includes(kind)) paintSilhouette(scene, kind, at);
      else paintSubject(scene, kind, at);
    }
  });
}

export function paintSpace(scene) {
  const { ctx, w, h, rng, light, noise, u } = scene,
    luck = rng.fork("space"),
    first = light.accent ?? hex(luck.pick(["#6c3cb4", "#2c5cb8", "#b43c7c", "#1c8c94"])),
    second = hex(luck.pick(["#e8744c", "#e85c9c", "#4cc8d8", "#f0b45c"]));
  const shift = luck.range(0, 50),
    bright = mix(second, [255, 244, 230], 0.6);
  paintPixels(ctx, 0, 0, w, h, (x, y, out) => {
    const nx = (x / w) * 2.2 + shift,
      ny = (y / h) * 2.2 * (h / w),
      bend = noise.layered(nx, ny, 4),
      cloud = noise.layered(nx + bend * 1.4, ny - bend, 5),
      veil = noise.layered(nx * 1.6 + 9, ny * 1.6 + bend, 4);
    const a = smooth(-0.15, 0.5, cloud),
      b = smooth(0, 0.5, veil) * a,
      c = smooth(0.28, 0.6, cloud + veil * 0.5),
      dust = smooth(0.1, 0.5, noise.ridged(nx * 1.4 + 3, ny * 1.4 + bend, 4) - 0.52);
    for (let i = 0; i < 3; i++) {
      const base = [7, 8, 22][i];
      let v = base + (first[i] - base) * a * 0.85;
      v += (second[i] - v) * b * 0.8;
      v += (bright[i] - v) * c * 0.7;
      out[i] = v * (1 - dust * 0.65);
    }
  });
  for (let i = 0; i < 420; i++) {
    const x = luck.next() * w,
      y = luck.next() * h,
      size = u * (0.4 + 1.5 * luck.next() ** 6);
    ctx.fillStyle = css(
      luck.pick([
        [255, 255, 255],
        [200, 220, 255],
        [255, 226, 190],
      ]),
      luck.range(0.4, 1),
    );
    ctx.beginPath();
    ctx.arc(x, y, size, 0, 7);
    ctx.fill();
    if (size > 1.25 * u) glow(ctx, x, y, size * 10, [206, 222, 255], 0.6);
  }
  const bodies = scene.brief.subjects.filter(({ kind }) => placeOf(kind) !== "sky" && placeOf(kind) !== "flower");
  const planets =
    bodies.some(({ kind }) => kind === "planet") || scene.without("planet")
      ? bodies
      : [...bodies, { kind: "planet", colour: null, count: 1 + luck.whole(0, 1) }];
  arrange(scene, { kinds: planets, y: h * 0.52, spread: 0.3, scale: 1.25, drift: 0.34 });
}
