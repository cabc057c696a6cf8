// The sky: gradient, glow, clouds, sun, moon, stars, aurora, rainbow, lightning.

import { clamp, css, lighten, mix, multiply, ramp, smooth } from "./colour.js";

/** Paint colour per pixel at half size and lay it over the region; `shade(x, y, out)` works in region pixels. */
export function paintPixels(ctx, left, top, width, height, shade, scale = 2) {
  const columns = Math.max(1, Math.ceil(width / scale)),
    rows = Math.max(1, Math.ceil(height / scale));
  const canvas = new OffscreenCanvas(columns, rows);
  const local = canvas.getContext("2d", { willReadFrequently: true });
  const image = local.createImageData(columns, rows);
  const out = [0, 0, 0, 255];
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, i += 4) {
      out[3] = 255;
      shade(left + (column + 0.5) * scale, top + (row + 0.5) * scale, out);
      image.data[i] = out[0];
      image.data[i + 1] = out[1];
      image.data[i + 2] = out[2];
      image.data[i + 3] = out[3];
    }
  }
  local.putImageData(image, 0, 0);
  ctx.drawImage(canvas, 0, 0, columns, rows, left, top, columns * scale, rows * scale);
}

/** A soft round light that only adds. */
export function glow(ctx, x, y, radius, colour, strength) {
  const gradient = ctx.createRadialGradient(x, y, 0, x, y, radius);
  gradient.addColorStop(0, css(colour, strength));
  gradient.addColorStop(0.3, css(colour, strength * 0.42));
  gradient.addColorStop(1, css(colour, 0));
  ctx.save();
  ctx.globalCompositeOperation = "screen";
  ctx.fillStyle = gradient;
  ctx.fillRect(x - radius, y - radius, radius * 2, radius * 2);
  ctx.restore();
}

/** Gradient, sun glow and clouds in one pass, so clouds catch the light from where the sun is. */
function paintAir(scene) {
  const { ctx, w, horizon, light, noise, sun } = scene;
  const depth = Math.min(scene.h, horizon + 4);
  ctx.fillStyle = css(light.sky[3]);
  ctx.fillRect(0, horizon, w, scene.h - horizon);
  const table = ramp([
    [0, light.sky[0]],
    [0.42, light.sky[1]],
    [0.76, light.sky[2]],
    [1, light.sky[3]],
  ]);
  const cloud = cloudColours(scene),
    edge = 0.3 - light.clouds * 0.62;
  const stretch = light.storm ? 2.6 : 3.4,
    shift = scene.luck * 40;
  const glowSize = (light.hour === "night" ? 0.16 : 0.42) * w,
    warmth = light.hour === "night" ? 0.25 : 0.6 * (1 - light.clouds * 0.55);
  paintPixels(ctx, 0, 0, w, depth, (x, y, out) => {
    const v = clamp(y / horizon),
      at = Math.round(v * 255) * 3;
    const away = Math.hypot(x - sun.x, (y - sun.y) * 1.25) / glowSize,
      shine = warmth * Math.exp(-away * 1.7);
    for (let i = 0; i < 3; i++) out[i] = table[at + i] + (light.sun[i] - table[at + i]) * shine;
    if (light.clouds <= 0) return;
    const far = 1 / (1.22 - v * 0.98),
      nx = (x / w - 0.5) * far * 1.5 + shift,
      ny = far * stretch * 0.55 + shift;
    const body = noise.layered(nx * 1.1, ny * 1.5, 5) - edge;
    if (body <= 0) return;
    const cover = smooth(0, 0.3, body) * (0.94 - 0.45 * smooth(0.75, 1, v));
    const lift = noise.layered(nx * 1.1 + (x < sun.x ? 0.07 : -0.07), ny * 1.5 + 0.12, 4) - edge;
    const face = clamp(0.52 + (body - lift) * 2.4 - body * 0.5 + shine * 0.7);
    for (let i = 0; i < 3; i++) out[i] += (cloud.shade[i] + (cloud.lit[i] - cloud.shade[i]) * face - out[i]) * cover;
  });
}

function cloudColours({ light }) {
  const day = light.hour === "noon" || light.hour === "morning";
  const bright = mix(lighten(light.sky[3], day ? 0.75 : 0.25), light.sun, 0.35);
  const shade = mix(mix(light.sky[0], light.sky[1], 0.6), day ? [150, 160, 180] : light.sky[2], day ? 0.5 : 0.25);
  if (light.storm) return { lit: mix(bright, light.sky[1], 0.55), shade: multiply(shade, [0.62, 0.64, 0.7]) };
  return {
    lit: light.hour === "night" ? mix(light.sky[2], light.sun, 0.25) : bright,
    shade: light.hour === "night" ? light.sky[1] : shade,
  };
}

function paintStars({ ctx, w, horizon, light, rng, u, wants }) {
  const strength = wants("stars") ? Math.max(1, light.stars) : light.stars * (1 - light.clouds * 0.7);
  if (strength <= 0.03) return;
  const luck = rng.fork("stars"),
    count = Math.round(260 * strength);
  for (let i = 0; i < count; i++) {
    const y = horizon * 0.96 * luck.next() ** 1.2,
      size = u * (0.5 + 1.1 * luck.next() ** 5);
    const colour = luck.pick([
      [255, 255, 255],
      [206, 222, 255],
      [255, 232, 200],
    ]);
    ctx.fillStyle = css(colour, clamp(luck.range(0.35, 1) * strength));
    const x = luck.next() * w;
    ctx.beginPath();
    ctx.arc(x, y, size, 0, 7);
    ctx.fill();
    if (size > u * 1.1) glow(ctx, x, y, size * 7, colour, 0.55);
  }
  if (wants("stars")) paintMilkyWay({ ctx, w, horizon, luck, u });
}

function paintMilkyWay({ ctx, w, horizon, luck, u }) {
  const lean = luck.range(-0.5, 0.5);
  for (let i = 0; i < 420; i++) {
    const along = luck.next(),
      across = luck.bell() * 0.09;
    const x = w * (0.5 + lean * (1 - along * 2) + across),
      y = horizon * (along + across * 0.4);
    ctx.fillStyle = css([226, 226, 255], luck.range(0.15, 0.7));
    ctx.fillRect(x, y, u * luck.range(0.5, 1.4), u * luck.range(0.5, 1.4));
    if (i % 6 === 0) glow(ctx, x, y, 34 * u, [134, 126, 190], 0.07);
  }
}

function paintSun({ ctx, light, sun, u, wants, style }) {
  if (light.clouds > 0.8 && !wants("sun")) return;
  glow(ctx, sun.x, sun.y, 150 * u, light.sun, light.clouds > 0.6 ? 0.35 : 0.6);
  const radius = (style.bigSun ? 92 : light.height < 0.15 ? 26 : 20) * u;
  ctx.fillStyle = css(light.sun);
  ctx.beginPath();
  ctx.arc(sun.x, sun.y, radius, 0, 7);
  ctx.fill();
  if (style.bigSun) paintStripedSun(ctx, sun, radius);
}

function paintStripedSun(ctx, sun, radius) {
  const gradient = ctx.createLinearGradient(0, sun.y - radius, 0, sun.y + radius);
  gradient.addColorStop(0, "#ffe45c");
  gradient.addColorStop(0.5, "#ff7a7a");
  gradient.addColorStop(1, "#ff3d9a");
  ctx.save();
  ctx.beginPath();
  ctx.arc(sun.x, sun.y, radius, 0, 7);
  ctx.clip();
  ctx.fillStyle = gradient;
  ctx.fillRect(sun.x - radius, sun.y - radius, radius * 2, radius * 2);
  ctx.fillStyle = "#6a2a8c";
  for (let i = 0; i < 7; i++)
    ctx.fillRect(sun.x - radius, sun.y + radius * (-0.1 + i * 0.16), radius * 2, radius * (0.02 + i * 0.012));
  ctx.restore();
}

function paintMoon({ ctx, light, moon, u, noise, brief }) {
  const radius = 24 * u * moon.size;
  glow(ctx, moon.x, moon.y, radius * 6.5, [214, 222, 240], 0.5);
  ctx.save();
  ctx.beginPath();
  ctx.arc(moon.x, moon.y, radius, 0, 7);
  ctx.clip();
  const face = brief.subjects.find(({ kind }) => kind === "moon")?.colour ?? mix([244, 240, 222], light.sun, 0.4);
  ctx.fillStyle = css(face);
  ctx.fillRect(moon.x - radius, moon.y - radius, radius * 2, radius * 2);
  for (let i = 0; i < 14; i++) {
    ctx.fillStyle = css(mix(face, [120, 124, 140], 0.5), 0.3);
    ctx.beginPath();
    ctx.arc(
      moon.x + noise.at(i * 3.1, 4.2) * radius * 1.4,
      moon.y + noise.at(7.7, i * 2.3) * radius * 1.4,
      radius * (0.1 + 0.12 * Math.abs(noise.at(i * 1.7, 1.1))),
      0,
      7,
    );
    ctx.fill();
  }
  ctx.restore();
}

function paintAurora({ ctx, w, horizon, noise, luck }) {
  const hues = [
    [84, 246, 170],
    [70, 220, 206],
    [150, 110, 240],
    [236, 110, 190],
  ];
  ctx.save();
  ctx.globalCompositeOperation = "screen";
  for (let band = 0; band < 3; band++) {
    for (let x = 0; x < w; x += 2) {
      const sway = noise.layered((x / w) * 2.2 + band * 9, luck * 9 + band, 3);
      const foot = horizon * (0.78 - band * 0.17 + sway * 0.32),
        tall = horizon * (0.34 + 0.3 * Math.abs(noise.at((x / w) * 16 + band * 5, 2.5)));
      const power = 0.16 + 0.5 * Math.max(0, noise.layered((x / w) * 6 + band * 3, band * 7.7, 3) + 0.35);
      const gradient = ctx.createLinearGradient(0, foot - tall, 0, foot + horizon * 0.03);
      gradient.addColorStop(0, css(hues[2 + (band & 1)], 0));
      gradient.addColorStop(0.45, css(hues[2 + (band & 1)], power * 0.3));
      gradient.addColorStop(0.82, css(hues[band & 1], power));
      gradient.addColorStop(1, css(hues[band & 1], 0));
      ctx.fillStyle = gradient;
      ctx.fillRect(x, foot - tall, 2, tall + horizon * 0.03);
    }
  }
  ctx.restore();
}

function paintRainbow({ ctx, w, horizon, luck }) {
  const colours = ["#e2483c", "#f0923c", "#f4d84c", "#5cb85c", "#4c8ce0", "#7c5cc8"];
  const x = w * (0.35 + luck * 0.3),
    radius = Math.min(w * 0.5, horizon * 1.0),
    band = radius * 0.026;
  ctx.save();
  ctx.globalAlpha = 0.5;
  ctx.lineWidth = band * 1.15;
  colours.forEach((colour, i) => {
    ctx.strokeStyle = colour;
    ctx.beginPath();
    ctx.arc(x, horizon * 1.05, radius - i * band, Math.PI, 0);
    ctx.stroke();
  });
  ctx.restore();
}

function paintLightning({ ctx, w, horizon, rng, u }) {
  const luck = rng.fork("lightning");
  let x = w * luck.range(0.2, 0.8),
    y = horizon * 0.12;
  glow(ctx, x, y + horizon * 0.2, 190 * u, [196, 206, 255], 0.55);
  ctx.strokeStyle = "#f4f2ff";
  ctx.lineWidth = 2 * u;
  ctx.lineJoin = "round";
  ctx.beginPath();
  ctx.moveTo(x, y);
  while (y < horizon) {
    x += luck.range(-20, 20) * u;
    y += luck.range(12, 34) * u;
    ctx.lineTo(x, Math.min(y, horizon));
  }
  ctx.stroke();
}

function paintRays({ ctx, w, h, sun, light, rng }) {
  const luck = rng.fork("rays");
  ctx.save();
  ctx.globalCompositeOperation = "screen";
  for (let i = 0; i < 9; i++) {
    const angle = luck.range(0.1, Math.PI - 0.1),
      spread = luck.range(0.02, 0.07),
      reach = Math.hypot(w, h);
    const gradient = ctx.createRadialGradient(sun.x, sun.y, 0, sun.x, sun.y, reach * 0.7);
    gradient.addColorStop(0, css(light.sun, 0.26));
    gradient.addColorStop(1, css(light.sun, 0));
    ctx.fillStyle = gradient;
    ctx.beginPath();
    ctx.moveTo(sun.x, sun.y);
    ctx.lineTo(sun.x + Math.cos(angle - spread) * reach, sun.y + Math.sin(angle - spread) * reach);
    ctx.lineTo(sun.x + Math.cos(angle + spread) * reach, sun.y + Math.sin(angle + spread) * reach);
    ctx.fill();
  }
  ctx.restore();
}

export function paintSky(scene) {
  const { light, wants, style, without } = scene;
  paintAir(scene);
  if (!without("stars")) paintStars(scene);
  if (wants("aurora") || style.aurora) paintAurora(scene);
  const dark = light.hour === "night" || light.hour === "twilight";
  if ((!dark && light.height > -0.02 && !without("sun")) || style.bigSun) paintSun(scene);
  if ((wants("moon") || (light.hour === "night" && light.clouds < 0.8)) && !without("moon")) paintMoon(scene);
  if (wants("rainbow")) paintRainbow(scene);
  if (light.storm) paintLightning(scene);
  if (light.rays && !dark) paintRays(scene);
}
