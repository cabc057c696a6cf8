// Trees, woods and the soft shadows things stand on.

import { css, darken, hex, lighten, mix } from "./colour.js";
import { lit } from "./light.js";

function trunk(ctx, x, y, size, width, colour, lean = 0) {
  ctx.fillStyle = css(colour);
  ctx.beginPath();
  ctx.moveTo(x - width, y);
  ctx.quadraticCurveTo(x - width * 0.4, y - size * 0.3, x + lean - width * 0.35, y - size);
  ctx.lineTo(x + lean + width * 0.35, y - size);
  ctx.quadraticCurveTo(x + width * 0.5, y - size * 0.3, x + width, y);
  ctx.fill();
}

/** A crown is a cloud of leaf dabs, dark below and lit towards the sun. */
function crown(scene, luck, { x, y, rx, ry, leaves, depth, dabs }) {
  const { ctx, light, sun } = scene,
    side = sun.x < x ? -1 : 1;
  for (let i = 0; i < dabs; i++) {
    const angle = luck.range(0, 6.283),
      reach = Math.sqrt(luck.next());
    const dx = Math.cos(angle) * reach,
      dy = Math.sin(angle) * reach,
      bright = -dy * 0.5 + dx * side * 0.32 + luck.bell() * 0.35 + (i / dabs - 0.5) * 0.5;
    const leaf = lit(light, leaves[Math.floor(luck.next() * leaves.length)], depth);
    ctx.fillStyle = css(
      bright > 0 ? mix(lighten(leaf, bright * 0.4), light.sun, bright * 0.12) : darken(leaf, -bright * 0.75),
      0.9,
    );
    const size = rx * luck.range(0.08, 0.2);
    ctx.beginPath();
    ctx.ellipse(x + dx * rx * (1 - size / rx / 2), y + dy * ry, size, size * 0.72, angle, 0, 7);
    ctx.fill();
  }
}

function branches(ctx, luck, x, y, length, angle, width, colour) {
  if (length < 3 || width < 0.3) return;
  const toX = x + Math.cos(angle) * length,
    toY = y + Math.sin(angle) * length;
  ctx.strokeStyle = css(colour);
  ctx.lineWidth = width;
  ctx.lineCap = "round";
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(toX, toY);
  ctx.stroke();
  for (let i = 0; i < 2 + (luck.chance(0.4) ? 1 : 0); i++)
    branches(
      ctx,
      luck,
      toX,
      toY,
      length * luck.range(0.62, 0.8),
      angle + luck.range(-0.65, 0.65),
      width * 0.66,
      colour,
    );
}

function broadleaf(scene, luck, x, y, size, depth, leaves) {
  const { ctx, light, u } = scene,
    bark = lit(light, hex("#5c4636"), depth),
    bare = light.season === "winter" && !leaves;
  trunk(ctx, x, y, size * 0.5, size * 0.045, bark, luck.bell() * size * 0.04);
  if (size > 26 * u || bare)
    branches(ctx, luck, x, y - size * 0.4, size * 0.2, -1.57 + luck.bell() * 0.2, size * 0.035, bark);
  if (bare) return;
  const family = leaves ?? light.leaf.slice(0, light.season === "spring" ? 2 : 3),
    dabs = Math.round(Math.min(190, 20 + (size / u) * 1.1));
  crown(scene, luck, { x, y: y - size * 0.66, rx: size * 0.34, ry: size * 0.32, leaves: family, depth, dabs });
  crown(scene, luck, {
    x: x - size * 0.16,
    y: y - size * 0.52,
    rx: size * 0.2,
    ry: size * 0.16,
    leaves: family,
    depth,
    dabs: dabs >> 1,
  });
  crown(scene, luck, {
    x: x + size * 0.17,
    y: y - size * 0.55,
    rx: size * 0.2,
    ry: size * 0.17,
    leaves: family,
    depth,
    dabs: dabs >> 1,
  });
}

function conifer(scene, luck, x, y, size, depth) {
  const { ctx, light, sun } = scene,
    needle = lit(light, hex("#2f5a44"), depth),
    side = sun.x < x ? -1 : 1;
  trunk(ctx, x, y, size * 0.3, size * 0.022, lit(light, hex("#4a382c"), depth));
  const tiers = 8;
  for (let i = 0; i < tiers; i++) {
    const up = i / tiers,
      half = size * 0.21 * (1 - up) * luck.range(0.85, 1.15),
      foot = y - size * (0.1 + up * 0.85),
      top = foot - size * 0.2;
    for (const [lean, colour] of [
      [0, darken(needle, 0.25)],
      [side, light.snowy ? lit(light, [236, 242, 248], depth) : mix(lighten(needle, 0.2), light.sun, 0.08)],
    ]) {
      ctx.fillStyle = css(colour, lean ? 0.65 : 1);
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x + (lean ? half * lean : half), foot + luck.bell() * size * 0.01);
      ctx.quadraticCurveTo(
        x,
        foot - size * (lean ? 0.06 : 0.025),
        x - (lean ? 0 : half),
        foot + (lean ? -size * 0.03 : 0),
      );
      ctx.fill();
    }
  }
}

function palm(scene, luck, x, y, size, depth) {
  const { ctx, light, u } = scene,
    lean = size * luck.range(-0.22, 0.22),
    bark = lit(light, hex("#7c644a"), depth),
    leaf = lit(light, hex("#4c8a44"), depth);
  ctx.strokeStyle = css(bark);
  ctx.lineWidth = size * 0.04;
  ctx.lineCap = "round";
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.quadraticCurveTo(x + lean * 0.2, y - size * 0.5, x + lean, y - size * 0.85);
  ctx.stroke();
  for (let i = 0; i < 11; i++) {
    const angle = -Math.PI * (i / 10),
      reach = size * luck.range(0.28, 0.38),
      tipX = x + lean + Math.cos(angle) * reach,
      tipY = y - size * 0.85 + Math.sin(angle) * reach * 0.4 + reach * 0.42;
    ctx.strokeStyle = css(luck.chance(0.5) ? lighten(leaf, 0.16) : darken(leaf, 0.3));
    ctx.lineWidth = Math.max(1.4 * u, size * 0.026);
    ctx.beginPath();
    ctx.moveTo(x + lean, y - size * 0.85);
    ctx.quadraticCurveTo(
      x + lean + Math.cos(angle) * reach * 0.6,
      y - size * 0.95 + Math.sin(angle) * reach * 0.6,
      tipX,
      tipY,
    );
    ctx.stroke();
  }
}

function cypress(scene, luck, x, y, size, depth) {
  crown(scene, luck, {
    x,
    y: y - size * 0.5,
    rx: size * 0.1,
    ry: size * 0.5,
    leaves: [hex("#2c4a34"), hex("#3c5a38")],
    depth,
    dabs: Math.round(60 + size / scene.u),
  });
}

function birch(scene, luck, x, y, size, depth) {
  const { ctx, light, u } = scene;
  trunk(ctx, x, y, size * 0.9, size * 0.022, lit(light, [232, 228, 218], depth), luck.bell() * size * 0.05);
  ctx.fillStyle = css(lit(light, [50, 46, 46], depth), 0.8);
  for (let i = 0; i < 12; i++)
    ctx.fillRect(
      x - size * 0.015 + luck.bell() * size * 0.01,
      y - size * luck.range(0.02, 0.8),
      size * 0.022,
      Math.max(u, size * 0.008),
    );
  const yellow = light.season === "autumn" ? ["#e8b83c", "#d89a2c"] : ["#8fb04c", "#b0c868"];
  if (light.season !== "winter")
    crown(scene, luck, {
      x,
      y: y - size * 0.72,
      rx: size * 0.2,
      ry: size * 0.3,
      leaves: yellow.map(hex),
      depth,
      dabs: Math.round(40 + (size / u) * 0.6),
    });
}

function willow(scene, luck, x, y, size, depth) {
  const { ctx, light, u } = scene,
    leaf = lit(light, hex("#8aa450"), depth);
  broadleaf(scene, luck, x, y, size, depth, [hex("#6f8c44"), hex("#9ab05c")]);
  for (let i = 0; i < 110; i++) {
    const from = luck.bell() * size * 0.36,
      top = y - size * (0.85 - Math.abs(from / size)),
      fall = size * luck.range(0.25, 0.55);
    ctx.strokeStyle = css(luck.chance(0.5) ? lighten(leaf, 0.2) : darken(leaf, 0.3), 0.75);
    ctx.lineWidth = u * luck.range(0.7, 1.5);
    ctx.beginPath();
    ctx.moveTo(x + from, top);
    ctx.quadraticCurveTo(x + from * 1.4, top + fall * 0.2, x + from * 1.5, top + fall);
    ctx.stroke();
  }
}

const blossom = (scene, luck, x, y, size, depth) =>
  broadleaf(scene, luck, x, y, size, depth, [hex("#f4b8cc"), hex("#f8d8e2"), hex("#e48cac")]);
const GROWERS = { tree: broadleaf, pine: conifer, palm, cypress, birch, willow, blossom };

/** Paint one tree standing at (x, y), `size` tall. A colour word changes its leaves. */
export function paintTree(scene, kind, { x, y, size, depth = 0, colour = null }) {
  const luck = scene.rng.fork(`${kind}${Math.round(x)}:${Math.round(y)}`),
    u = scene.u;
  if (depth < 0.3) softShadow(scene, x, y, size * 0.3, size * 0.05);
  const grow = GROWERS[kind] ?? broadleaf;
  grow(scene, luck, x, y, size, depth, colour ? [colour, lighten(colour, 0.2), darken(colour, 0.2)] : undefined, u);
}

export function softShadow({ ctx, sun }, x, y, rx, ry) {
  ctx.fillStyle = "rgba(14,14,34,0.26)";
  ctx.beginPath();
  ctx.ellipse(x + (x - sun.x) * 0.04, y, rx, ry, 0, 0, 7);
  ctx.fill();
}

/** Rows of trees from far to near along a ridge. */
export function paintWood(scene, { ridge, rows, kinds, tall, depth, label, gap = null, drop = 0 }) {
  const { w, u, rng } = scene,
    luck = rng.fork(label);
  for (let row = 0; row < rows; row++) {
    const near = rows > 1 ? row / (rows - 1) : 1,
      size = tall * (0.55 + 0.45 * near),
      step = size * 0.24;
    for (let x = -size * 0.2 + luck.range(0, step); x < w + size * 0.2; x += step * luck.range(0.6, 1.5)) {
      if (gap && Math.abs(x / w - gap.at) < gap.half * (0.6 + near)) continue;
      paintTree(scene, luck.pick(kinds), {
        x,
        y: ridge(x) + drop * near + 4 * u,
        size: size * luck.range(0.65, 1.15),
        depth: depth * (1 - near * 0.45),
      });
    }
  }
}
