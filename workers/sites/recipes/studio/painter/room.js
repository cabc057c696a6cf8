// A room: a window with the weather, a wall, a table and the things on it.

import { arrange, stands } from "./arranging.js";
import { clamp, css, darken, hex, lighten, mix, smooth } from "./colour.js";
import { paintFlower } from "./flowers.js";
import { paintMountains, paintRolling } from "./land.js";
import { lit } from "./light.js";
import { glow, paintPixels, paintSky } from "./sky.js";
import { paintSubject, placeOf } from "./subjects.js";

/** A window on the evening, a wall, a table. */
export function paintRoom(outside) {
  paintOutlook(outside);
  const scene = lightInside(outside),
    { ctx, w, h, light, rng, u, noise } = scene,
    luck = rng.fork("room"),
    table = h * 0.7,
    left = w * luck.range(0.06, 0.4);
  const view = new OffscreenCanvas(w, h);
  view.getContext("2d").drawImage(ctx.canvas, 0, 0);
  const wall = lit(
    light,
    light.accent
      ? mix(hex("#b8a898"), light.accent, 0.35)
      : hex(luck.pick(["#a8947c", "#7c8c84", "#9c7c74", "#7c8498", "#b09c6c"])),
  );
  const grain = 1 / (40 * u),
    box = { x: left, y: h * 0.08, w: w * 0.48, h: h * 0.5 };
  paintPixels(ctx, 0, 0, w, table, (x, y, out) => {
    const away = Math.hypot((x - box.x - box.w / 2) / w, (y - box.y - box.h / 2) / h),
      face = clamp(0.9 - away * 1.1 + noise.layered(x * grain, y * grain, 4) * 0.22);
    for (let i = 0; i < 3; i++) out[i] = wall[i] * (0.32 + 0.75 * face);
  });
  ctx.drawImage(view, 0, 0, w, scene.horizon * 1.08, box.x, box.y, box.w, box.h);
  frameWindow(scene, box);
  paintTableTop(scene, table, box);
  const pieces = scene.brief.subjects.filter(stands("table", "ground")),
    flowers = scene.brief.subjects.filter(stands("flower", "landmark", "water"));
  const kinds =
    pieces.length || flowers.length
      ? pieces
      : ["vase", "fruit", "bottle"].slice(luck.whole(0, 1)).map((kind) => ({ kind, colour: null, count: 1 }));
  const vase = kinds.find(({ kind }) => kind === "vase"),
    holds = flowers.length > 0 || vase;
  if (holds)
    paintBouquet(scene, flowers, { x: w * (left > w * 0.2 ? 0.34 : 0.62), y: h * 0.84, colour: vase?.colour ?? null });
  arrange(scene, {
    kinds: kinds.filter((piece) => piece !== vase),
    y: h * 0.85,
    spread: 0.25,
    scale: 1.3,
    drift: 0.03,
  });
  glow(ctx, box.x + box.w / 2, box.y + box.h / 2, w * 0.6, light.sun, 0.16);
}

/** After dark somebody has lit a lamp. */
const lightInside = (scene) =>
  scene.light.lamps > 0.4
    ? {
        ...scene,
        light: {
          ...scene.light,
          ambient: [0.86, 0.68, 0.52],
          sun: [255, 206, 140],
          hazeColour: [120, 80, 60],
          lamps: 0.3,
        },
      }
    : scene;

function paintOutlook(scene) {
  paintSky(scene);
  paintMountains(scene, { base: scene.horizon * 1.05, tall: scene.h * 0.16, depth: 0.7, label: "outlook" });
  paintRolling(scene, {
    base: scene.horizon * 1.04,
    tall: scene.h * 0.08,
    bottom: scene.horizon * 1.2,
    depth: 0.35,
    colour: scene.light.grass,
    label: "garden",
  });
}

function frameWindow({ ctx, light, u, sun, w }, box) {
  const wood = lit(light, hex("#e6dccb")),
    bar = 9 * u;
  ctx.fillStyle = css(wood);
  ctx.fillRect(box.x - bar, box.y - bar, box.w + bar * 2, bar);
  ctx.fillRect(box.x - bar, box.y, bar, box.h);
  ctx.fillRect(box.x + box.w, box.y, bar, box.h);
  ctx.fillRect(box.x + box.w / 2 - bar * 0.3, box.y, bar * 0.6, box.h);
  ctx.fillRect(box.x, box.y + box.h * 0.42, box.w, bar * 0.6);
  ctx.fillStyle = css(lighten(wood, 0.2));
  ctx.fillRect(box.x - bar * 2, box.y + box.h, box.w + bar * 4, bar * 1.3);
  ctx.fillStyle = css(darken(wood, 0.45));
  ctx.fillRect(box.x - bar * 2, box.y + box.h + bar * 1.3, box.w + bar * 4, bar * 0.5);
  for (const side of [0, 1]) {
    const x = side ? box.x + box.w + bar * 2.5 : box.x - bar * 2.5,
      cloth = lit(light, light.accent ?? hex("#c8b08c"));
    for (let fold = 0; fold < 6; fold++) {
      ctx.fillStyle = css(fold % 2 ? darken(cloth, 0.22) : lighten(cloth, 0.12), 0.92);
      ctx.fillRect(x - 21 * u + fold * 7 * u, box.y - bar * 1.6, 7.5 * u, box.h * 1.22);
    }
  }
  return sun.x / w;
}

function paintTableTop(scene, top, box) {
  const { ctx, w, h, light, noise, u } = scene,
    wood = lit(light, hex("#8a5c3c"));
  paintPixels(
    ctx,
    0,
    top,
    w,
    h - top,
    (x, y, out) => {
      const grain = noise.layered(x / (90 * u), y / (5 * u), 4) * 0.3,
        shine = Math.exp(-(((x - box.x - box.w * 0.5) / (w * 0.3)) ** 2)) * smooth(h, top, y) * 0.5;
      for (let i = 0; i < 3; i++) out[i] = wood[i] * (0.72 + grain) + (light.sun[i] - wood[i] * 0.5) * shine * 0.8;
    },
    1,
  );
  ctx.fillStyle = css(darken(wood, 0.5), 0.6);
  ctx.fillRect(0, top, w, 2.5 * u);
}

function paintBouquet(scene, flowers, { x, y, colour: glaze }) {
  const { rng, unit } = scene,
    luck = rng.fork("bouquet"),
    kinds = flowers.filter(({ kind }) => placeOf(kind) === "flower" || kind === "lotus"),
    choice = kinds.length ? kinds : [{ kind: "flower", colour: null }];
  for (let i = 0; i < 17; i++) {
    const { kind, colour } = choice[i % choice.length];
    paintFlower(scene, kind, {
      x: x + luck.bell() * unit * 0.15,
      y: y - unit * 0.28 + luck.bell() * unit * 0.06,
      size: unit * luck.range(0.17, 0.27),
      colour,
    });
  }
  paintSubject(scene, "vase", { x, y, size: unit * 0.36, colour: glaze });
}
