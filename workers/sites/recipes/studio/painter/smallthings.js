// Small things of nature and the edges of scenes: comets, cacti, mushrooms, rocks, fences, lotus, leaping sea animals.

import * as creatures from "./creatures.js";
import { css, darken, hex, lighten } from "./colour.js";
import { lit } from "./light.js";

export function paintBreaching(kind) {
  return (scene, at) => {
    const { ctx, light, rng, u } = scene,
      luck = rng.fork("splash" + Math.round(at.x)),
      foam = lit(light, [244, 250, 252]);
    creatures.paintSilhouette(scene, kind, {
      ...at,
      y: at.y + at.size * 0.03,
      shadow: false,
      turn: kind === "fish" ? -0.5 : 0,
    });
    for (let i = 0; i < 46; i++) {
      ctx.fillStyle = css(foam, luck.range(0.3, 0.85));
      ctx.beginPath();
      ctx.ellipse(
        at.x + luck.bell() * at.size * 0.6,
        at.y - Math.abs(luck.bell()) * at.size * 0.1,
        u * luck.range(1, 5),
        u * luck.range(0.6, 2),
        0,
        0,
        7,
      );
      ctx.fill();
    }
  };
}

export function paintComet({ ctx, u }, { x, y, size }) {
  const tail = ctx.createLinearGradient(x, y, x + size, y - size * 0.7);
  tail.addColorStop(0, "rgba(236,246,255,0.95)");
  tail.addColorStop(1, "rgba(150,190,255,0)");
  ctx.fillStyle = tail;
  ctx.beginPath();
  ctx.moveTo(x - 3 * u, y);
  ctx.lineTo(x + size, y - size * 0.78);
  ctx.lineTo(x + size * 1.05, y - size * 0.66);
  ctx.lineTo(x, y + 4 * u);
  ctx.fill();
  ctx.fillStyle = "#ffffff";
  ctx.beginPath();
  ctx.arc(x, y, 4.5 * u, 0, 7);
  ctx.fill();
}

export function paintCactus({ ctx, light }, { x, y, size, depth = 0, colour = null }) {
  const green = lit(light, colour ?? hex("#4c8050"), depth);
  ctx.lineCap = "round";
  ctx.lineJoin = "round";
  for (const [tone, shift, width] of [
    [darken(green, 0.35), 0, 0.13],
    [green, -0.016, 0.095],
    [lighten(green, 0.22), -0.035, 0.03],
  ]) {
    ctx.strokeStyle = css(tone);
    ctx.lineWidth = size * width;
    const at = x + shift * size;
    ctx.beginPath();
    ctx.moveTo(at, y);
    ctx.lineTo(at, y - size * 0.94);
    ctx.moveTo(at, y - size * 0.36);
    ctx.quadraticCurveTo(at - size * 0.26, y - size * 0.36, at - size * 0.25, y - size * 0.66);
    ctx.moveTo(at, y - size * 0.48);
    ctx.quadraticCurveTo(at + size * 0.24, y - size * 0.48, at + size * 0.23, y - size * 0.8);
    ctx.stroke();
  }
}

export function paintMushroom({ ctx, light }, { x, y, size, depth = 0, colour = null }) {
  const cap = lit(light, colour ?? hex("#c8382c"), depth);
  ctx.fillStyle = css(lit(light, hex("#f0e4cc"), depth));
  ctx.beginPath();
  ctx.moveTo(x - size * 0.14, y);
  ctx.quadraticCurveTo(x - size * 0.06, y - size * 0.4, x - size * 0.08, y - size * 0.6);
  ctx.lineTo(x + size * 0.08, y - size * 0.6);
  ctx.quadraticCurveTo(x + size * 0.06, y - size * 0.4, x + size * 0.14, y);
  ctx.fill();
  const form = ctx.createLinearGradient(x, y - size, x, y - size * 0.5);
  form.addColorStop(0, css(lighten(cap, 0.2)));
  form.addColorStop(1, css(darken(cap, 0.35)));
  ctx.fillStyle = form;
  ctx.beginPath();
  ctx.ellipse(x, y - size * 0.54, size * 0.44, size * 0.44, 0, Math.PI, 0);
  ctx.quadraticCurveTo(x, y - size * 0.44, x - size * 0.44, y - size * 0.54);
  ctx.fill();
  ctx.fillStyle = css(lit(light, [250, 246, 238], depth));
  for (const [dx, dy, r] of [
    [-0.22, -0.68, 0.05],
    [0.02, -0.82, 0.065],
    [0.22, -0.66, 0.05],
    [-0.04, -0.64, 0.035],
  ]) {
    ctx.beginPath();
    ctx.ellipse(x + dx * size, y + dy * size, r * size, r * size * 0.8, 0, 0, 7);
    ctx.fill();
  }
}

export function paintRock({ ctx, light, rng }, { x, y, size, depth = 0, colour = null }) {
  const luck = rng.fork("rock" + Math.round(x)),
    stone = lit(light, colour ?? hex("#8a8480"), depth);
  for (let i = 0; i < 5; i++) {
    const cx = x + luck.bell() * size * 0.7,
      r = size * luck.range(0.25, 0.55);
    ctx.fillStyle = css(darken(stone, 0.4));
    ctx.beginPath();
    ctx.moveTo(cx - r, y);
    ctx.lineTo(cx - r * 0.6, y - r * 0.8);
    ctx.lineTo(cx + r * 0.2, y - r);
    ctx.lineTo(cx + r * 0.9, y - r * 0.4);
    ctx.lineTo(cx + r, y);
    ctx.fill();
    ctx.fillStyle = css(lighten(stone, 0.15));
    ctx.beginPath();
    ctx.moveTo(cx - r * 0.6, y - r * 0.8);
    ctx.lineTo(cx + r * 0.2, y - r);
    ctx.lineTo(cx + r * 0.4, y - r * 0.5);
    ctx.lineTo(cx - r * 0.4, y - r * 0.4);
    ctx.fill();
  }
}

export function paintFence({ ctx, w, light, noise, u }, { y, size, colour = null }) {
  const wood = lit(light, colour ?? hex("#8c7458"));
  ctx.fillStyle = css(wood);
  ctx.strokeStyle = css(darken(wood, 0.25));
  ctx.lineWidth = 2.2 * u;
  for (const rail of [0.35, 0.75]) {
    ctx.beginPath();
    for (let x = 0; x <= w; x += w / 24) ctx.lineTo(x, y - size * rail + noise.at((x / w) * 4, 1) * size * 0.4);
    ctx.stroke();
  }
  for (let x = w / 40; x < w; x += w / 13) {
    const foot = y + noise.at((x / w) * 4, 1) * size * 0.4;
    ctx.fillRect(x, foot - size, 5 * u, size);
  }
}

export function paintLotus({ ctx, light }, { x, y, size, depth = 0, colour = null }) {
  const leaf = lit(light, hex("#4c8a54"), depth),
    petal = lit(light, colour ?? hex("#f4b8d0"), depth);
  ctx.fillStyle = css(leaf);
  for (const [dx, r] of [
    [-0.8, 0.8],
    [0.9, 0.7],
    [0, 1],
  ]) {
    ctx.beginPath();
    ctx.ellipse(x + dx * size, y + r * size * 0.12, size * r * 0.8, size * r * 0.24, 0, 0, 7);
    ctx.fill();
  }
  for (let i = -3; i <= 3; i++) {
    ctx.fillStyle = css(i % 2 ? lighten(petal, 0.3) : petal);
    ctx.beginPath();
    ctx.ellipse(
      x + i * size * 0.11,
      y - size * 0.3 + Math.abs(i) * size * 0.05,
      size * 0.14,
      size * 0.4,
      i * 0.3,
      0,
      7,
    );
    ctx.fill();
  }
}
