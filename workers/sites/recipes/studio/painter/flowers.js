// Flowers, flower fields and planted rows.

import { css, darken, hex, lighten, mix } from "./colour.js";
import { lit } from "./light.js";

const BLOOMS = {
  rose: "#d8405a",
  tulip: "#e2524c",
  sunflower: "#f2c230",
  poppy: "#dc3a28",
  lotus: "#f0b4cc",
  flower: null,
  lavender: "#8a6cc0",
  cactus: "#e85c9a",
};
const WILD = ["#f2d24c", "#f4f0e6", "#d85c8c", "#8c6cc8", "#e8683c", "#6c9ce0"];

/** One flower head with stem. */
export function paintFlower(scene, kind, { x, y, size, colour, depth = 0 }) {
  const { ctx, light, rng, u } = scene,
    luck = rng.fork(`bloom${Math.round(x * 7 + y)}`),
    lean = luck.bell() * size * 0.14;
  const petal = lit(light, colour ?? (BLOOMS[kind] ? hex(BLOOMS[kind]) : hex(luck.pick(WILD))), depth),
    headY = y - size,
    head = size * (kind === "sunflower" ? 0.26 : 0.2);
  ctx.strokeStyle = css(lit(light, hex("#4c7a3c"), depth));
  ctx.lineWidth = Math.max(u * 0.8, size * 0.03);
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.quadraticCurveTo(x, y - size * 0.5, x + lean, headY);
  ctx.stroke();
  const petals = kind === "sunflower" ? 16 : kind === "rose" ? 12 : kind === "tulip" ? 3 : 7;
  for (let i = 0; i < petals; i++) {
    const angle = kind === "tulip" ? -1.57 + (i - 1) * 0.45 : (i / petals) * 6.283 + luck.next() * 0.3,
      reach = head * (kind === "rose" ? 0.3 + 0.5 * (1 - i / petals) : 0.62);
    ctx.fillStyle = css(luck.chance(0.5) ? lighten(petal, luck.range(0, 0.28)) : darken(petal, luck.range(0, 0.25)));
    ctx.beginPath();
    ctx.ellipse(
      x + lean + Math.cos(angle) * reach,
      headY + Math.sin(angle) * reach * 0.85,
      head * 0.52,
      head * (kind === "sunflower" ? 0.17 : 0.34),
      angle,
      0,
      7,
    );
    ctx.fill();
  }
  if (kind === "rose" || kind === "tulip") return;
  ctx.fillStyle = css(
    lit(light, hex(kind === "sunflower" ? "#4a2c18" : kind === "poppy" ? "#2a1c22" : "#e8b83c"), depth),
  );
  ctx.beginPath();
  ctx.arc(x + lean, headY, head * (kind === "sunflower" ? 0.42 : 0.24), 0, 7);
  ctx.fill();
}

/** A field of one kind of flower, far dots growing to near heads. */
export function paintFlowerField(scene, { kind, top, bottom, colour, count, tall = 60 }) {
  const { ctx, w, light, rng, u } = scene,
    luck = rng.fork("field" + kind);
  for (let i = 0; i < count; i++) {
    const near = (i / count) ** 1.1,
      y = top + (bottom - top) * near ** 1.6,
      x = luck.range(-0.03, 1.03) * w;
    if (near > 0.4) {
      paintFlower(scene, kind, {
        x,
        y: y + 8 * u,
        size: (8 + tall * near ** 2.6) * u,
        colour,
        depth: 0.2 * (1 - near),
      });
      continue;
    }
    const petal = lit(light, colour ?? (BLOOMS[kind] ? hex(BLOOMS[kind]) : hex(luck.pick(WILD))), 0.3 - 0.6 * near);
    ctx.fillStyle = css(luck.chance(0.5) ? lighten(petal, 0.15) : darken(petal, 0.15), 0.9);
    ctx.beginPath();
    ctx.ellipse(x, y, (1.2 + 5 * near) * u, (0.8 + 3 * near) * u, 0, 0, 7);
    ctx.fill();
  }
}

/** Planted rows that meet at the horizon: lavender, vines, wheat. */
export function paintRows(scene, { top, bottom, colour, between, vanish }) {
  const { ctx, w, light, rng, u } = scene,
    luck = rng.fork("rows");
  for (let row = -9; row <= 9; row++) {
    const foot = vanish + row * w * 0.17;
    for (let i = 0; i < 100; i++) {
      const near = (i / 100) ** 1.8,
        x = vanish + row * w * 0.006 + (foot - vanish) * near + luck.bell() * w * 0.045 * near,
        y = top + (bottom - top) * near * 1.05;
      const dab = lit(light, mix(colour, between, luck.next() * 0.3), 0.4 * (1 - near)),
        size = (1.2 + 13 * near) * u;
      ctx.fillStyle = css(luck.chance(0.5) ? lighten(dab, luck.next() * 0.3) : darken(dab, luck.next() * 0.35), 0.92);
      ctx.beginPath();
      ctx.ellipse(x, y - size * 0.4, size * 0.6, size, luck.bell() * 0.4, 0, 7);
      ctx.fill();
    }
  }
}
