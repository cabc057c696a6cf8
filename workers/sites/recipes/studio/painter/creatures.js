// Animals, people and the silhouettes they are cut from (100-unit boxes standing on y = 100).

import { css, darken, hex, lighten, mix } from "./colour.js";
import { lit } from "./light.js";
import { softShadow } from "./plants.js";
import { glow } from "./sky.js";

const SHAPES = {
  cat: [
    "M30 100C18 72 32 50 41 44L37 20L47 29C50 28 56 28 59 29L69 20L65 44C77 54 84 80 73 100Z",
    "M70 97C94 99 102 82 92 64C90 60 85 62 87 67C92 80 84 88 68 88Z",
  ],
  dog: [
    "M8 62C10 56 20 54 30 55L58 54L66 38C68 32 74 30 78 32L84 24L87 36L98 43C99 48 94 51 87 50L82 56C82 66 80 72 78 76L79 100L72 100L69 78L36 78L32 100L25 100L24 76L18 100L12 100L16 72C12 66 4 52 2 40C6 46 8 56 12 60Z",
  ],
  fox: [
    "M26 66C30 58 44 57 58 57L68 46L68 32L75 40L83 31L83 43L97 54L84 60L79 66L79 100L73 100L70 78L46 78L38 100L32 100L34 78L28 74C20 92 8 96 0 90C10 86 16 72 26 66Z",
  ],
  deer: [
    "M14 58C26 52 44 54 58 54L66 36L64 28L72 28L84 36C85 40 80 42 75 41L72 58C71 64 69 68 67 70L68 100L64 100L60 74L32 73L28 100L24 100L24 72L19 100L15 100L18 68C12 66 11 61 14 58Z",
    "M66 29L60 18L50 12L61 15L60 3L64 15L69 27L70 14L78 2L75 14L86 8L76 19L72 28Z",
  ],
  horse: [
    "M10 56C18 48 36 50 54 50L66 26L70 18L73 25C80 30 86 38 88 44C86 49 81 48 77 44L72 46C72 54 71 62 68 67L74 82L70 100L64 100L66 84L58 70L36 70L30 84L32 100L26 100L23 83L26 68L20 86L16 100L10 100L15 80L15 66C6 72 8 88 2 92C2 78 2 62 10 56Z",
    "M68 21C60 26 56 38 54 50L48 50C50 36 56 24 66 18Z",
  ],
  rabbit: [
    "M22 100C14 80 28 62 46 64C50 58 56 54 60 54L52 28C54 20 60 24 64 50L68 26C74 22 76 34 70 54C82 58 86 68 78 74C72 76 70 80 72 100Z",
  ],
  elephant: [
    "M4 60C6 34 26 28 46 30C54 22 72 20 82 32C90 40 90 54 90 66C90 78 92 88 98 90C92 96 84 92 83 80L82 62C78 66 74 66 72 66L72 100L60 100L58 78L36 78L34 100L20 100L18 76C8 74 4 70 4 60Z",
    "M56 32C50 42 52 56 62 62C70 56 72 42 66 32Z",
  ],
  cow: [
    "M8 46C20 42 50 44 70 44L78 36L74 30L82 34L90 33L88 39L98 52L92 58L82 55C80 64 78 70 74 74L74 100L68 100L66 76L32 76L28 100L22 100L22 74L18 100L12 100L14 72C8 66 6 54 8 46Z",
  ],
  sheep: [
    "M12 56C8 42 22 34 32 40C38 32 52 32 58 40C68 34 78 42 76 52L86 46C92 46 96 54 92 60L82 64C80 74 70 78 64 76L64 100L58 100L56 78L34 78L32 100L26 100L24 76C14 76 6 66 12 56Z",
  ],
  owl: ["M32 100C20 76 22 44 30 30L28 14L42 22C48 20 54 20 60 22L74 14L72 30C80 46 80 78 68 100Z"],
  swan: [
    "M6 72C16 84 50 92 74 84C88 78 94 64 96 52C84 60 72 56 62 62C52 66 40 66 36 60C30 48 46 40 42 26C39 16 26 14 20 26L8 33L22 33C28 30 32 34 28 42C20 54 12 58 6 72Z",
  ],
  whale: [
    "M0 62C8 36 44 26 66 41C80 50 87 51 92 45L97 30L105 44L118 42C112 54 101 60 92 63C78 80 58 84 46 82L40 94L32 82C14 80 2 74 0 62Z",
  ],
  fluke: [
    "M44 100C46 80 47 66 45 55C33 54 13 44 3 22C20 31 38 30 50 43C62 30 80 31 97 22C87 44 67 54 55 55C53 66 54 80 56 100Z",
    "M-64 100C-48 82 -14 80 8 100Z",
  ],
  dolphin: [
    "M4 78C16 46 44 34 62 42L74 30L74 48C86 58 92 70 94 82L104 92L90 92L80 98L84 84C74 66 56 58 40 62C26 64 14 72 4 78Z",
  ],
  fish: ["M6 60C20 40 52 38 72 56L94 40L88 60L94 80L72 64C52 82 20 80 6 60Z"],
  turtle: ["M14 72C18 46 72 42 82 70L96 62C102 66 100 74 92 76L80 78L84 92L74 92L68 80L32 80L24 92L16 90L22 78L8 80Z"],
  person: ["M40 100L43 66L34 64L38 36C40 28 46 26 50 26C54 26 60 28 62 36L67 64L57 66L60 100L52 100L50 70L48 100Z"],
  robot: [
    "M30 28L70 28L70 6L30 6ZM46 6L46 -6L54 -6L54 6ZM24 32L76 32L72 70L28 70ZM14 34L22 34L20 68L10 68ZM78 34L86 34L90 68L80 68ZM32 72L46 72L46 100L28 100ZM54 72L68 72L72 100L54 100Z",
  ],
  dragon: [
    "M2 70C16 62 28 64 38 58C34 40 40 22 60 6C58 18 60 26 66 32C76 24 88 24 100 30C88 34 84 42 80 52L90 46C98 42 108 46 112 54L100 56L92 60C86 72 70 78 56 76C44 78 34 82 28 92C26 80 14 72 2 70Z",
  ],
};
const COATS = {
  cat: "#2c2628",
  dog: "#7c5a3c",
  fox: "#d2642c",
  deer: "#8c5c38",
  horse: "#6c4430",
  rabbit: "#b4a490",
  elephant: "#8c8c94",
  cow: "#e8e0d4",
  sheep: "#f0ece2",
  owl: "#7c6248",
  swan: "#fbfaf6",
  whale: "#3c5468",
  fluke: "#2c4254",
  dolphin: "#6c8ca4",
  fish: "#e88a34",
  turtle: "#5c8a5c",
  person: "#3c3444",
  robot: "#98a4b0",
  dragon: "#a83a34",
};
const EYES = {
  cat: null,
  owl: [
    [42, 36],
    [58, 36],
  ],
  robot: [
    [42, 17],
    [58, 17],
  ],
};
const paths = new Map();

function pathsOf(kind) {
  if (!paths.has(kind))
    paths.set(
      kind,
      SHAPES[kind].map((data) => new Path2D(data)),
    );
  return paths.get(kind);
}

/** Fill a silhouette with a soft gradient from the lit side to the dark side. */
export function paintSilhouette(
  scene,
  kind,
  { x, y, size, depth = 0, colour = null, flip = false, turn = 0, shadow = true },
) {
  const { ctx, light, sun } = scene,
    seen = lit(light, colour ?? hex(COATS[kind]), depth),
    coat = light.lamps > 0.5 ? darken(seen, 0.3) : seen,
    fromLeft = sun.x < x !== flip;
  if (shadow) softShadow(scene, x, y, size * 0.4, size * 0.05);
  if (light.lamps > 0.5 && depth < 0.3)
    glow(ctx, x, y - size * 0.45, size * 0.85, mix(light.sun, [255, 206, 140], 0.6), 0.42);
  ctx.save();
  ctx.translate(x, y);
  ctx.rotate(turn);
  ctx.scale(((flip ? -1 : 1) * size) / 100, size / 100);
  ctx.translate(-50, -100);
  const gradient = ctx.createLinearGradient(fromLeft ? 10 : 90, 10, fromLeft ? 90 : 10, 100);
  gradient.addColorStop(0, css(mix(lighten(coat, 0.3), light.sun, 0.2)));
  gradient.addColorStop(0.45, css(coat));
  gradient.addColorStop(1, css(darken(coat, 0.42)));
  ctx.fillStyle = gradient;
  for (const path of pathsOf(kind)) ctx.fill(path);
  if (kind === "elephant") {
    ctx.fillStyle = css(darken(coat, 0.25));
    ctx.fill(pathsOf(kind)[1]);
  }
  for (const [ex, ey] of EYES[kind] ?? []) {
    ctx.fillStyle = kind === "robot" ? "#7ff0ff" : "#ffd24c";
    ctx.beginPath();
    ctx.arc(ex, ey, 5, 0, 7);
    ctx.fill();
    ctx.fillStyle = "#1a1418";
    ctx.beginPath();
    ctx.arc(ex, ey, 2.4, 0, 7);
    ctx.fill();
  }
  ctx.restore();
}

export function paintPerson(scene, at) {
  const { ctx, light, rng } = scene,
    { x, y, size, depth = 0, colour = null } = at,
    luck = rng.fork("person" + Math.round(x));
  const coat = colour ?? hex(luck.pick(["#8c2c34", "#2c3c5c", "#3c4438", "#c89a3c", "#4c3444"]));
  paintSilhouette(scene, "person", { ...at, colour: coat });
  ctx.fillStyle = css(lit(light, hex(luck.pick(["#e0b494", "#a8744c", "#6c4630"])), depth));
  ctx.beginPath();
  ctx.arc(x, y - size * 0.82, size * 0.075, 0, 7);
  ctx.fill();
  ctx.fillStyle = css(lit(light, hex(luck.pick(["#3c2a20", "#1e1a1c", "#6c4a2c"])), depth));
  ctx.beginPath();
  ctx.arc(x, y - size * 0.835, size * 0.078, Math.PI * 0.95, Math.PI * 2.05);
  ctx.fill();
}

export function paintUmbrella(scene, { x, y, size, depth = 0, colour = null }) {
  const { ctx, light } = scene,
    cloth = lit(light, colour ?? hex("#d23c34"), depth),
    top = y - size * 1.22;
  paintPerson(scene, { x, y, size, depth });
  ctx.strokeStyle = css(darken(cloth, 0.7));
  ctx.lineWidth = size * 0.02;
  ctx.beginPath();
  ctx.moveTo(x + size * 0.1, y - size * 0.5);
  ctx.lineTo(x + size * 0.04, top);
  ctx.stroke();
  for (let i = 0; i < 4; i++) {
    ctx.fillStyle = css(i % 2 ? darken(cloth, 0.22) : lighten(cloth, 0.08));
    ctx.beginPath();
    ctx.moveTo(x + size * 0.04, top);
    ctx.quadraticCurveTo(
      x + size * (-0.42 + i * 0.2),
      top + size * 0.02,
      x + size * (-0.4 + i * 0.22),
      top + size * 0.3,
    );
    ctx.quadraticCurveTo(
      x + size * (-0.29 + i * 0.22),
      top + size * 0.22,
      x + size * (-0.18 + i * 0.22),
      top + size * 0.3,
    );
    ctx.quadraticCurveTo(x + size * (-0.1 + i * 0.13), top + size * 0.04, x + size * 0.04, top);
    ctx.fill();
  }
}

/** Birds on the wing: two curved strokes each, larger when near. */
export function paintBirds(scene, { x, y, size, count, colour = null }) {
  const { ctx, light, rng } = scene,
    luck = rng.fork("birds"),
    ink = lit(light, colour ?? (light.lamps > 0.5 ? hex("#20202c") : hex("#3c4048")), 0.05);
  for (let i = 0; i < count; i++) {
    const span = size * luck.range(0.55, 1.1) * (i ? 0.7 : 1),
      bx = x + (i ? luck.bell() * size * 2.6 : 0),
      by = y + (i ? luck.bell() * size * 1.2 : 0),
      flap = luck.range(0.15, 0.42),
      tilt = luck.range(-0.15, 0.15);
    ctx.save();
    ctx.translate(bx, by);
    ctx.rotate(tilt);
    ctx.fillStyle = css(ink);
    for (const side of [-1, 1]) {
      ctx.beginPath();
      ctx.moveTo(0, 0);
      ctx.quadraticCurveTo(side * span * 0.22, -span * flap, side * span * 0.5, -span * flap * 0.45);
      ctx.quadraticCurveTo(side * span * 0.24, -span * flap * 0.5, 0, span * 0.09);
      ctx.fill();
    }
    ctx.beginPath();
    ctx.ellipse(0, span * 0.03, span * 0.1, span * 0.045, 0, 0, 7);
    ctx.fill();
    ctx.restore();
  }
}

export function paintButterfly(scene, { x, y, size, colour = null }) {
  const { ctx, light, rng } = scene,
    luck = rng.fork("wing" + Math.round(x)),
    wing = lit(light, colour ?? hex(luck.pick(["#e8862c", "#3c7cd0", "#e8c83c", "#b85cc0"])), 0);
  ctx.save();
  ctx.translate(x, y);
  ctx.rotate(luck.range(-0.5, 0.5));
  for (const side of [-1, 1])
    for (const [dx, dy, rx, ry, turn] of [
      [0.27, -0.16, 0.3, 0.19, -0.6],
      [0.2, 0.16, 0.2, 0.15, 0.6],
    ]) {
      ctx.fillStyle = css(darken(wing, 0.6));
      ctx.beginPath();
      ctx.ellipse(side * dx * size, dy * size, rx * size, ry * size, side * turn, 0, 7);
      ctx.fill();
      ctx.fillStyle = css(lighten(wing, 0.1));
      ctx.beginPath();
      ctx.ellipse(side * dx * size, dy * size, rx * size * 0.78, ry * size * 0.74, side * turn, 0, 7);
      ctx.fill();
    }
  ctx.fillStyle = "#1e1a20";
  ctx.beginPath();
  ctx.ellipse(0, 0, size * 0.035, size * 0.24, 0, 0, 7);
  ctx.fill();
  ctx.restore();
}

export function paintJellyfish(scene, { x, y, size, colour = null }) {
  const { ctx, rng, u } = scene,
    luck = rng.fork("jelly" + Math.round(x)),
    glass = colour ?? hex(luck.pick(["#e8a4e0", "#a4d8f0", "#f0c0a4"]));
  ctx.lineCap = "round";
  for (let i = 0; i < 11; i++) {
    const from = x + (i - 5) * size * 0.07;
    ctx.strokeStyle = css(glass, 0.5);
    ctx.lineWidth = u * luck.range(0.8, 2.4);
    ctx.beginPath();
    ctx.moveTo(from, y);
    ctx.bezierCurveTo(
      from + luck.bell() * size * 0.2,
      y + size * 0.3,
      from + luck.bell() * size * 0.25,
      y + size * 0.5,
      from + luck.bell() * size * 0.3,
      y + size * luck.range(0.6, 1.1),
    );
    ctx.stroke();
  }
  const bell = ctx.createRadialGradient(x, y - size * 0.15, size * 0.03, x, y - size * 0.05, size * 0.45);
  bell.addColorStop(0, css(lighten(glass, 0.6), 0.95));
  bell.addColorStop(1, css(glass, 0.6));
  ctx.fillStyle = bell;
  ctx.beginPath();
  ctx.ellipse(x, y, size * 0.42, size * 0.4, 0, Math.PI, 0);
  ctx.quadraticCurveTo(x, y + size * 0.14, x - size * 0.42, y);
  ctx.fill();
}
