// The composition: makes a finished study from a brief, a smooth picture that the media paint from.

import { paintWeather } from "./atmosphere.js";
import { paintLandscape } from "./landscape.js";
import { createLight } from "./light.js";
import { createNoise } from "./random.js";
import { paintRoom } from "./room.js";
import { paintSpace, paintTown, paintUnderwater } from "./settings.js";
import { homeOf, placeOf } from "./subjects.js";

const WANDERINGS = [
  "sea",
  "mountain",
  "meadow",
  "forest",
  "lake",
  "hill",
  "desert",
  "river",
  "village",
  "lavender",
  "island",
  "city",
];
const ELSEWHERE = { space: paintSpace, underwater: paintUnderwater, room: paintRoom, street: paintTown };

/** A prompt that names no place gets the home of its first subject, else one drawn by the seed. */
function settle(brief, random) {
  const free = (place) => !brief.without.has(place);
  if (brief.subjects.some(({ kind }) => kind === "umbrella"))
    brief.subjects = brief.subjects.filter(({ kind, count }) => kind !== "person" || count > 1);
  if (brief.places.length) return;
  const named = brief.subjects.map(({ kind }) => kind);
  const rooted =
    named.find((kind) => placeOf(kind) !== "sky" && placeOf(kind) !== "air") ??
    named.find((kind) => placeOf(kind) === "air");
  const home = rooted && homeOf(rooted);
  brief.places.push(home && free(home) ? home : random.pick(WANDERINGS.filter(free)));
}

function placeLights(scene) {
  const { w, horizon, light, rng, brief } = scene,
    luck = rng.fork("sun"),
    named = (kind) => brief.subjects.some((subject) => subject.kind === kind);
  const side = luck.chance(0.5) ? luck.range(0.18, 0.4) : luck.range(0.6, 0.82);
  scene.sun = {
    x: w * (scene.style.bigSun ? 0.5 : side),
    y: horizon * (scene.style.bigSun ? 0.68 : 1 - Math.max(-0.08, light.height) * 0.92),
    visible: true,
  };
  scene.moon = { x: w * side, y: horizon * luck.range(0.18, 0.36), size: named("moon") ? luck.range(1.2, 1.7) : 0.8 };
  if (light.hour === "night" || named("moon"))
    Object.assign(scene.sun, { x: scene.moon.x, y: light.hour === "night" ? scene.moon.y : scene.sun.y });
  scene.sun.visible = light.clouds < 0.8 && light.hour !== "twilight";
}

/** Everything a scene piece may need, in one place. u is one unit at 512 pixels. */
function createScene(brief, style, random, w, h) {
  const canvas = new OffscreenCanvas(w, h),
    ctx = canvas.getContext("2d", { willReadFrequently: true });
  const rng = random.fork("scene"),
    light = createLight(
      style.hour && (style.hourWins || !brief.time) ? { ...brief, time: style.hour } : brief,
      random.fork("light"),
    );
  const scene = {
    canvas,
    ctx,
    w,
    h,
    u: Math.min(w, h) / 512,
    unit: Math.min(w, h),
    rng,
    light,
    brief,
    style,
    noise: createNoise(rng.whole(0, 2 ** 31)),
    luck: rng.next(),
    horizon: h * 0.56,
    wants: (kind) => brief.subjects.some((subject) => subject.kind === kind),
    without: (concept) => brief.without.has(concept),
    place: (...names) => names.some((name) => brief.places.includes(name)),
  };
  return scene;
}

export function composeStudy(brief, style, random, width, height) {
  settle(brief, random.fork("home"));
  const scene = createScene(brief, style, random, width, height);
  const elsewhere = brief.places.find((place) => ELSEWHERE[place]);
  const paintSetting = elsewhere ? ELSEWHERE[elsewhere] : paintLandscape;
  if (elsewhere && elsewhere !== "street") scene.horizon = height * 0.6;
  else
    scene.horizon =
      height * scene.rng.fork("horizon").range(...(brief.moods.has("minimal") ? [0.66, 0.72] : [0.52, 0.63]));
  placeLights(scene);
  paintSetting(scene);
  paintWeather(scene, elsewhere !== "space" && elsewhere !== "underwater" && elsewhere !== "room");
  return scene;
}
