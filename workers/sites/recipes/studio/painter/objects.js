// Objects that are not buildings: boats, balloons, vehicles, camps, spacecraft, planets.

import { css, darken, hex, lighten, mix } from "./colour.js";
import { lit } from "./light.js";
import { outline } from "./outline.js";
import { glow } from "./sky.js";

/** Fade a mirrored copy of what `draw` paints below the waterline. */
function withReflection(scene, { x, y, size }, draw) {
  const { ctx, u, noise } = scene,
    reach = Math.ceil(size * 1.3),
    left = Math.round(x - reach),
    width = reach * 2;
  const sheet = new OffscreenCanvas(width, reach),
    local = sheet.getContext("2d", { willReadFrequently: true });
  local.translate(-left, reach - y);
  draw(local);
  for (let row = 0; row < reach * 0.8; row++) {
    const sway = noise.at(row / (4 * u), y * 0.1) * (1 + row * 0.06) * u * 1.4;
    ctx.globalAlpha = 0.5 * (1 - row / (reach * 0.85));
    ctx.drawImage(sheet, 0, reach - 1 - row * 1.15, width, 1, left + sway, y + row, width, 1);
  }
  ctx.globalAlpha = 1;
  ctx.drawImage(sheet, left, y - reach);
}

export function paintBoat(scene, at) {
  const { light, rng } = scene,
    { x, y, size, depth = 0, colour = null } = at,
    luck = rng.fork("boat" + Math.round(x)),
    flip = luck.chance(0.5);
  const sail = lit(light, colour ?? hex(luck.pick(["#f6efe0", "#e8d2a8", "#c8523c"])), depth),
    hull = lit(light, colour ? darken(colour, 0.35) : hex(luck.pick(["#7c3c2c", "#2c4a5c", "#4c3a30"])), depth);
  withReflection(scene, at, (ctx) => {
    outline(ctx, css(sail), "M52 8C70 30 80 58 82 78L52 80Z", x, y, size, flip);
    outline(ctx, css(mix(darken(sail, 0.18), light.sun, 0.15)), "M48 16C38 40 28 62 20 78L48 80Z", x, y, size, flip);
    outline(ctx, css(darken(hull, 0.4)), "M49 4L51.5 4L51.5 86L49 86Z", x, y, size, flip);
    outline(ctx, css(hull), "M14 84L90 82C86 94 80 100 72 101L30 101C22 100 16 94 14 84Z", x, y, size, flip);
    outline(ctx, css(lighten(hull, 0.35)), "M14 84L90 82L89.5 85L15 87Z", x, y, size, flip);
    if (light.lamps > 0.5) glow(ctx, x + size * 0.16, y - size * 0.2, size * 0.3, [255, 206, 110], 0.9);
  });
}

export function paintShip(scene, at) {
  const { light } = scene,
    { x, y, size, depth = 0, colour = null } = at,
    hull = lit(light, hex("#4c3426"), depth),
    sail = lit(light, colour ?? hex("#efe4cc"), depth);
  withReflection(scene, at, (ctx) => {
    for (const [mast, top, width] of [
      [28, 22, 13],
      [50, 4, 18],
      [70, 20, 13],
    ]) {
      outline(
        ctx,
        css(darken(hull, 0.3)),
        `M${mast - 0.8} ${top - 6}L${mast + 0.8} ${top - 6}L${mast + 0.8} 88L${mast - 0.8} 88Z`,
        x,
        y,
        size,
      );
      for (let i = 0; i < 3; i++) {
        const sy = top + (i * (66 - top)) / 3,
          deep = (62 - top) / 3.4,
          half = width * (0.65 + i * 0.18);
        outline(
          ctx,
          css(i % 2 ? sail : darken(sail, 0.12)),
          `M${mast - half} ${sy}L${mast + half} ${sy}Q${mast + half + 5} ${sy + deep / 2} ${mast + half} ${sy + deep}Q${mast} ${sy + deep * 0.75} ${mast - half} ${sy + deep}Q${mast - half + 5} ${sy + deep / 2} ${mast - half} ${sy}Z`,
          x,
          y,
          size,
        );
      }
    }
    outline(ctx, css(hull), "M4 76L18 80L78 80L100 70L88 98C70 103 30 103 16 98Z", x, y, size);
    outline(ctx, css(lit(light, hex("#c89c54"), depth)), "M8 83L92 82L91 85L9 86Z", x, y, size);
  });
}

export function paintBalloon(scene, { x, y, size, depth = 0, colour = null, label = 0 }) {
  const { ctx, light, rng } = scene,
    luck = rng.fork("balloon" + label),
    first = lit(light, colour ?? hex(luck.pick(["#d8443c", "#e8a02c", "#3c7cb8", "#8c4ca0", "#3c9c84"])), depth),
    second = lit(light, hex("#f4e4c0"), depth),
    r = size * 0.38,
    cy = y - size * 0.62;
  for (let i = 5; i >= 0; i--) {
    const half = r * [0.16, 0.42, 0.62, 0.8, 0.93, 1][i];
    ctx.fillStyle = css(i % 2 ? first : second);
    ctx.beginPath();
    ctx.moveTo(x - half * 0.3, y - size * 0.16);
    ctx.bezierCurveTo(x - half * 1.1, cy + r * 0.5, x - half * 1.25, cy - r * 0.95, x, cy - r);
    ctx.bezierCurveTo(x + half * 1.25, cy - r * 0.95, x + half * 1.1, cy + r * 0.5, x + half * 0.3, y - size * 0.16);
    ctx.fill();
  }
  const shade = ctx.createRadialGradient(x - r * 0.4, cy - r * 0.4, r * 0.1, x, cy, r * 1.25);
  shade.addColorStop(0, "rgba(255,250,230,0.3)");
  shade.addColorStop(0.5, "rgba(0,0,0,0)");
  shade.addColorStop(1, "rgba(16,10,40,0.5)");
  ctx.fillStyle = shade;
  ctx.beginPath();
  ctx.ellipse(x, cy + r * 0.05, r, r * 1.08, 0, 0, 7);
  ctx.fill();
  ctx.fillStyle = css(lit(light, hex("#7c5230"), depth));
  ctx.fillRect(x - size * 0.055, y - size * 0.1, size * 0.11, size * 0.09);
  ctx.strokeStyle = css(lit(light, hex("#4c3c30"), depth));
  ctx.lineWidth = size * 0.01;
  ctx.beginPath();
  ctx.moveTo(x - size * 0.1, y - size * 0.17);
  ctx.lineTo(x - size * 0.05, y - size * 0.1);
  ctx.moveTo(x + size * 0.1, y - size * 0.17);
  ctx.lineTo(x + size * 0.05, y - size * 0.1);
  ctx.stroke();
  if (light.lamps > 0.5) glow(ctx, x, y - size * 0.25, size * 0.4, [255, 190, 90], 0.7);
}

export function paintKite(scene, { x, y, size, colour = null }) {
  const { ctx, light, u } = scene,
    cloth = lit(light, colour ?? hex("#e2483c"));
  outline(ctx, css(cloth), "M50 0L80 36L50 100L20 36Z", x, y, size * 0.6);
  outline(ctx, css(darken(cloth, 0.3)), "M50 0L80 36L50 100Z", x, y, size * 0.6);
  ctx.strokeStyle = css(lighten(cloth, 0.4));
  ctx.lineWidth = 1.4 * u;
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.bezierCurveTo(x + size * 0.3, y + size * 0.3, x - size * 0.2, y + size * 0.6, x + size * 0.2, y + size);
  ctx.stroke();
}

export function paintTrain(scene, { x, y, size, depth = 0, colour = null }) {
  const { ctx, light, u, rng } = scene,
    luck = rng.fork("train"),
    body = lit(light, colour ?? hex("#2c3a3c"), depth);
  ctx.fillStyle = css(lit(light, hex("#5c5248"), depth));
  ctx.fillRect(0, y - 1, scene.w, 3 * u);
  outline(ctx, css(body), "M18 46L40 46L40 60L76 60L76 44L82 44L82 60L90 62L92 88L16 88L16 50Z", x, y, size);
  outline(
    ctx,
    css(darken(body, 0.5)),
    "M20 92A8 8 0 1 0 36 92A8 8 0 1 0 20 92ZM44 92A8 8 0 1 0 60 92A8 8 0 1 0 44 92ZM68 92A8 8 0 1 0 84 92A8 8 0 1 0 68 92Z",
    x,
    y,
    size,
  );
  for (let car = 1; car < 5; car++) {
    const left = x - size * (0.4 + car * 0.62);
    ctx.fillStyle = css(lit(light, hex("#8c342c"), depth));
    ctx.fillRect(left, y - size * 0.5, size * 0.57, size * 0.4);
    for (let i = 0; i < 4; i++) {
      ctx.fillStyle = css(light.lamps > 0.2 ? [255, 214, 130] : lit(light, [200, 216, 224], depth));
      ctx.fillRect(left + size * (0.05 + i * 0.13), y - size * 0.42, size * 0.08, size * 0.12);
    }
  }
  for (let i = 0; i < 22; i++) {
    ctx.fillStyle = css(lit(light, [232, 230, 232], depth), 0.3);
    ctx.beginPath();
    ctx.arc(
      x + size * 0.29 - i * size * 0.1 + luck.bell() * size * 0.05,
      y - size * (0.62 + i * 0.035) + luck.bell() * size * 0.06,
      size * (0.05 + i * 0.011),
      0,
      7,
    );
    ctx.fill();
  }
  if (light.lamps > 0.4) glow(ctx, x + size * 0.44, y - size * 0.3, size * 0.7, [255, 226, 150], 0.8);
}

export function paintCar(scene, { x, y, size, depth = 0, colour = null }) {
  const { ctx, light } = scene,
    body = lit(light, colour ?? hex("#c8382c"), depth);
  outline(ctx, css(body), "M4 80C6 70 22 66 28 66L38 48L70 48L82 66C92 68 97 74 97 82L96 92L4 92Z", x, y, size);
  outline(
    ctx,
    css(lit(light, hex("#bcd4dc"), depth)),
    "M33 66L41 52L53 52L53 66ZM57 66L57 52L68 52L76 66Z",
    x,
    y,
    size,
  );
  outline(
    ctx,
    css([24, 22, 28]),
    "M14 92A9 9 0 1 0 32 92A9 9 0 1 0 14 92ZM68 92A9 9 0 1 0 86 92A9 9 0 1 0 68 92Z",
    x,
    y,
    size,
  );
  if (light.lamps > 0.4) glow(ctx, x + size * 0.46, y - size * 0.2, size * 0.5, [255, 236, 180], 0.9);
}

export function paintBicycle(scene, { x, y, size, colour = null }) {
  const { ctx, light, u } = scene;
  ctx.strokeStyle = css(lit(light, colour ?? hex("#2c5c6c")));
  ctx.lineWidth = Math.max(1.5 * u, size * 0.035);
  ctx.lineJoin = "round";
  for (const at of [-0.3, 0.3]) {
    ctx.beginPath();
    ctx.arc(x + at * size, y - size * 0.22, size * 0.21, 0, 7);
    ctx.stroke();
  }
  ctx.beginPath();
  ctx.moveTo(x - size * 0.3, y - size * 0.22);
  ctx.lineTo(x - size * 0.1, y - size * 0.52);
  ctx.lineTo(x + size * 0.2, y - size * 0.52);
  ctx.lineTo(x, y - size * 0.2);
  ctx.lineTo(x - size * 0.3, y - size * 0.22);
  ctx.moveTo(x, y - size * 0.2);
  ctx.lineTo(x - size * 0.13, y - size * 0.6);
  ctx.moveTo(x + size * 0.3, y - size * 0.22);
  ctx.lineTo(x + size * 0.18, y - size * 0.65);
  ctx.lineTo(x + size * 0.3, y - size * 0.66);
  ctx.stroke();
}

export function paintTent(scene, { x, y, size, colour = null }) {
  const { ctx, light } = scene,
    cloth = lit(light, colour ?? hex("#d8843c"));
  if (light.lamps > 0.3) glow(ctx, x, y - size * 0.2, size, [255, 190, 96], 0.6);
  outline(ctx, css(light.lamps > 0.3 ? mix(cloth, [255, 200, 110], 0.45) : cloth), "M6 100L46 40L94 100Z", x, y, size);
  outline(ctx, css(darken(cloth, 0.45)), "M34 100L46 40L58 100Z", x, y, size);
}

export function paintCampfire(scene, { x, y, size }) {
  const { ctx, rng } = scene,
    luck = rng.fork("fire");
  glow(ctx, x, y - size * 0.2, size * 2.4, [255, 140, 50], 0.75);
  outline(ctx, css([62, 40, 30]), "M10 94L80 82L84 90L14 102ZM90 94L20 82L16 90L86 102Z", x, y, size * 0.8);
  for (const [colour, scale] of [
    [[240, 84, 30], 1],
    [[255, 160, 40], 0.72],
    [[255, 234, 150], 0.42],
  ])
    outline(
      ctx,
      css(colour),
      "M50 8C60 34 76 48 72 72C70 88 60 94 50 94C38 94 28 86 28 70C28 54 42 44 50 8Z",
      x,
      y - size * 0.06,
      size * scale * 0.8,
    );
  for (let i = 0; i < 24; i++) {
    ctx.fillStyle = css([255, 190, 90], luck.next());
    ctx.fillRect(x + luck.bell() * size * 0.5, y - size * luck.range(0.5, 1.7), size * 0.02, size * 0.02);
  }
}

export function paintRocket(scene, { x, y, size, colour = null }) {
  const { ctx, light } = scene,
    red = colour ?? hex("#d8443c");
  glow(ctx, x, y, size * 0.8, [255, 170, 80], 0.9);
  outline(ctx, css([255, 190, 80]), "M42 84L58 84L50 124Z", x, y, size);
  outline(ctx, css(red), "M34 58L20 88L38 82ZM66 58L80 88L62 82Z", x, y, size);
  outline(
    ctx,
    css(lighten(lit(light, hex("#e8e6ea")), 0.3)),
    "M50 0C64 18 68 44 62 84L38 84C32 44 36 18 50 0Z",
    x,
    y,
    size,
  );
  outline(ctx, css([40, 40, 70], 0.35), "M50 0C64 18 68 44 62 84L52 84C56 44 56 18 50 0Z", x, y, size);
  outline(ctx, css(hex("#4c8cc8")), "M43 36A7 7 0 1 0 57 36A7 7 0 1 0 43 36Z", x, y, size);
}

export function paintPlanet(scene, { x, y, size, colour = null, label = 0 }) {
  const { ctx, rng, noise } = scene,
    luck = rng.fork("planet" + label),
    base = colour ?? hex(luck.pick(["#d8945c", "#6c8cc8", "#b86c8c", "#7cb0a0"])),
    r = size * 0.5;
  glow(ctx, x, y, r * 1.9, base, 0.35);
  ctx.save();
  ctx.beginPath();
  ctx.arc(x, y, r, 0, 7);
  ctx.clip();
  for (let i = 0; i < 40; i++) {
    const by = y - r + (i / 40) * r * 2;
    ctx.fillStyle = css(mix(darken(base, 0.25), lighten(base, 0.45), 0.5 + 0.6 * noise.at(i * 0.27, label + 2.3)));
    ctx.beginPath();
    ctx.ellipse(x, by, r * 1.1, r * 0.09, luck.bell() * 0.03, 0, 7);
    ctx.fill();
  }
  const shade = ctx.createRadialGradient(x - r * 0.45, y - r * 0.45, r * 0.2, x - r * 0.2, y - r * 0.2, r * 1.35);
  shade.addColorStop(0, "rgba(255,250,235,0.35)");
  shade.addColorStop(0.4, "rgba(0,0,0,0)");
  shade.addColorStop(1, "rgba(4,4,20,0.92)");
  ctx.fillStyle = shade;
  ctx.fillRect(x - r, y - r, r * 2, r * 2);
  ctx.restore();
  if (label > 0) return;
  for (let i = 0; i < 9; i++) {
    ctx.strokeStyle = css(lighten(base, 0.3 + 0.03 * i), 0.55);
    ctx.lineWidth = r * 0.03;
    ctx.beginPath();
    ctx.ellipse(x, y, r * (1.35 + i * 0.05), r * (0.3 + i * 0.012), -0.32, -0.35, Math.PI + 0.35);
    ctx.stroke();
  }
}
