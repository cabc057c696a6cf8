// The city seen from afar: ranks of towers, their windows, the light they throw on the air.

import { css, darken, hex } from "./colour.js";
import { lit } from "./light.js";
import { block, pane, polygon } from "./masonry.js";

function skyscraper(scene, luck, x, base, width, height, depth) {
  const { ctx, light, u } = scene,
    wall = lit(light, hex(luck.pick(["#68788c", "#8c8c94", "#54647c", "#a09484", "#786c78"])), depth);
  block(scene, x, base, width, height, wall);
  const shape = luck.whole(0, 4);
  if (shape === 0) block(scene, x + width * 0.2, base - height, width * 0.6, height * 0.14, wall);
  if (shape === 1)
    polygon(
      ctx,
      css(darken(wall, 0.1)),
      [x, base - height],
      [x + width / 2, base - height - width * 0.8],
      [x + width, base - height],
    );
  if (shape === 2) {
    ctx.fillStyle = css(wall);
    ctx.fillRect(x + width * 0.47, base - height * 1.2, Math.max(u, width * 0.06), height * 0.2);
  }
  const cell = Math.max(6 * u, width / 5);
  for (let wy = base - height + cell * 0.7; wy < base - cell * 0.5; wy += cell * 1.25) {
    for (let wx = x + cell * 0.45; wx < x + width - cell * 0.6; wx += cell)
      pane(scene, wx, wy, cell * 0.5, cell * 0.62, 0.5 - depth * 0.3, luck);
  }
}

/** The light a city throws on the air behind it. */
function paintCityGlow({ ctx, w, style }, base, tall) {
  const colour = style.neon ? [255, 50, 170] : [236, 140, 84],
    air = ctx.createLinearGradient(0, base - tall * 1.35, 0, base);
  air.addColorStop(0, css(colour, 0));
  air.addColorStop(1, css(colour, 0.72));
  ctx.save();
  ctx.globalCompositeOperation = "screen";
  ctx.fillStyle = air;
  ctx.fillRect(0, base - tall * 1.35, w, tall * 1.35);
  ctx.restore();
}

/** Three ranks of towers, the farthest melting into the haze. */
export function paintSkyline(scene, { base, tall, label }) {
  const { w, rng, light, ctx } = scene;
  if (light.lamps > 0.4) paintCityGlow(scene, base, tall);
  for (const [rank, depth, scale] of [
    [0, 0.8, 0.75],
    [1, 0.45, 0.9],
    [2, 0.12, 0.62],
  ]) {
    const luck = rng.fork(label + rank),
      centre = luck.range(0.3, 0.7);
    for (let x = -w * 0.02; x < w;) {
      const width = w * luck.range(0.035, 0.085),
        swell = 0.45 + 0.75 * Math.exp(-(((x / w - centre) / 0.24) ** 2));
      skyscraper(scene, luck, x, base + 2, width, tall * scale * swell * luck.range(0.5, 1.1), depth);
      x += width * luck.range(0.85, 1.35);
    }
    const mist = ctx.createLinearGradient(0, base - tall * 0.35, 0, base);
    mist.addColorStop(0, css(light.hazeColour, 0));
    mist.addColorStop(1, css(light.hazeColour, 0.32 * depth + light.haze * 0.16));
    ctx.fillStyle = mist;
    ctx.fillRect(0, base - tall * 0.35, w, tall * 0.35);
  }
}
