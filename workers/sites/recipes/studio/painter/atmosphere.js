// Effects in the air in front of the scene: fog, rain, snow, petals, bloom, contrast, vignette.

import { css, hex, mix } from "./colour.js";

function paintFog({ ctx, w, h, light, noise, horizon, u, luck }) {
  for (let i = 0; i < 34; i++) {
    const y = horizon * (0.74 + i * 0.015),
      x = w * (0.5 + noise.at(i * 2.7, luck * 9) * 0.9),
      reach = w * 0.42;
    ctx.save();
    ctx.translate(x, y);
    ctx.scale(1, 0.16);
    const puff = ctx.createRadialGradient(0, 0, 0, 0, 0, reach);
    puff.addColorStop(0, css(light.hazeColour, 0.2));
    puff.addColorStop(1, css(light.hazeColour, 0));
    ctx.fillStyle = puff;
    ctx.fillRect(-reach, -reach, reach * 2, reach * 2);
    ctx.restore();
  }
  ctx.fillStyle = css(light.hazeColour, 0.16);
  ctx.fillRect(0, 0, w, h);
  return u;
}

function paintRain({ ctx, w, h, rng, u, light }) {
  const luck = rng.fork("rain"),
    slant = 0.16 + light.wind * 0.3;
  ctx.lineCap = "round";
  for (let i = 0; i < 300; i++) {
    const x = luck.range(-0.1, 1.1) * w,
      y = luck.range(-0.1, 1) * h,
      long = luck.range(26, 80) * u;
    ctx.strokeStyle = css([226, 236, 246], luck.range(0.06, 0.22));
    ctx.lineWidth = luck.range(0.7, 1.4) * u;
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x - long * slant, y + long);
    ctx.stroke();
  }
}

function paintFlakes({ ctx, w, h, rng, u }, colour, count, size) {
  const luck = rng.fork("flakes");
  for (let i = 0; i < count; i++) {
    const near = luck.next() ** 3;
    ctx.fillStyle = css(colour, 0.45 + 0.5 * luck.next());
    ctx.beginPath();
    ctx.ellipse(
      luck.next() * w,
      luck.next() * h,
      u * (0.8 + size * near),
      u * (0.7 + size * 0.7 * near),
      luck.next() * 3,
      0,
      7,
    );
    ctx.fill();
  }
}

function paintBloom({ ctx, canvas, w, h }) {
  const small = new OffscreenCanvas(Math.ceil(w / 12), Math.ceil(h / 12)),
    local = small.getContext("2d", { willReadFrequently: true });
  local.imageSmoothingQuality = "high";
  local.drawImage(canvas, 0, 0, small.width, small.height);
  ctx.save();
  ctx.globalCompositeOperation = "screen";
  ctx.globalAlpha = 0.32;
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(small, 0, 0, w, h);
  ctx.restore();
}

function paintVignette({ ctx, w, h, light }) {
  const shade = ctx.createRadialGradient(
    w / 2,
    h * 0.48,
    Math.min(w, h) * 0.42,
    w / 2,
    h * 0.5,
    Math.hypot(w, h) * 0.58,
  );
  shade.addColorStop(0, "rgba(0,0,0,0)");
  shade.addColorStop(1, css(mix(light.sky[0], [10, 8, 20], 0.6), 0.36));
  ctx.fillStyle = shade;
  ctx.fillRect(0, 0, w, h);
}

function deepenContrast({ ctx, w, h, light }) {
  ctx.save();
  ctx.globalCompositeOperation = "overlay";
  ctx.globalAlpha = light.contrast;
  ctx.fillStyle = "#6a6a6a";
  ctx.drawImage(ctx.canvas, 0, 0, w, h);
  ctx.restore();
}

export function paintWeather(scene, outdoors) {
  const { light, brief } = scene;
  if (outdoors) {
    if (light.fog) paintFog(scene);
    if ((light.rain || light.storm) && !scene.without("rain")) paintRain(scene);
    if (light.snowing) paintFlakes(scene, [250, 252, 255], 230, 5);
    else if (scene.wants("blossom") || (light.season === "spring" && brief.season))
      paintFlakes(scene, hex("#f8c4d4"), 60, 4);
    else if (light.season === "autumn" && light.wind) paintFlakes(scene, hex("#d8742c"), 60, 5);
  }
  if (light.bloom) paintBloom(scene);
  if (light.contrast > 0) deepenContrast(scene);
  paintVignette(scene);
}
