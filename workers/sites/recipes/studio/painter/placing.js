// Places subjects in open land: on the skyline, near the viewer, in the air, in the grass.

import { paintBirds } from "./creatures.js";
import { paintFlowerField } from "./flowers.js";
import { paintSubject, placeOf, sizeOf } from "./subjects.js";

const TREES = ["tree", "pine", "palm", "cypress", "birch", "willow", "blossom"];

export const subjectsAt = (scene, where) => scene.brief.subjects.filter(({ kind }) => placeOf(kind).includes(where));

/** Landmarks stand on the land's own edge; the first one takes the golden section. */
export function standLandmarks(scene, ground, centre) {
  const { w, unit, rng } = scene,
    luck = rng.fork("landmarks"),
    vast = scene.brief.moods.has("minimal") ? 0.7 : 1;
  let order = 0;
  for (const { kind, colour, count } of subjectsAt(scene, "landmark")) {
    for (let i = 0; i < Math.min(count, 5); i++, order++) {
      const x =
        order === 0
          ? w * centre
          : w *
            Math.min(0.95, Math.max(0.05, centre + (order % 2 ? 1 : -1) * (0.1 + 0.11 * order) * luck.range(0.8, 1.1)));
      const y = ground(x) + 4 * scene.u,
        size = Math.min(unit * sizeOf(kind) * vast * (order ? 0.8 : 1), (y - scene.h * 0.06) / 1.04);
      paintSubject(scene, kind, { x, y, size, depth: order ? 0.18 : 0.06, colour, label: i });
    }
  }
}

export function standNear(scene, { top, bottom, where, centre, scale = 1 }) {
  const { w, unit, rng } = scene,
    list = subjectsAt(scene, where).filter(({ kind }) => where !== "ground" || !scene.floats?.has(kind)),
    luck = rng.fork("near" + where);
  const spots = [],
    wooden = ({ kind }) => TREES.includes(kind);
  list.sort((a, b) => wooden(a) - wooden(b));
  list.forEach(({ kind, colour, count }, order) => {
    for (let i = 0; i < Math.min(count, 9); i++) {
      const first = order === 0 && i === 0,
        near = first ? 0.62 : wooden({ kind }) ? luck.next() * 0.35 : luck.next();
      spots.push({
        kind,
        colour,
        label: i,
        near,
        x: first ? w * centre : w * luck.range(0.08, 0.92),
        size: unit * sizeOf(kind) * scale * (first ? 1 : 0.5 + near * 0.5),
      });
    }
  });
  spots.sort((a, b) => a.near - b.near);
  for (const spot of spots)
    paintSubject(scene, spot.kind, { ...spot, y: top + (bottom - top) * spot.near, depth: 0.28 * (1 - spot.near) });
}

export function standInAir(scene, centre) {
  const { w, h, horizon, unit, rng, wants, without } = scene,
    luck = rng.fork("air"),
    birds = scene.brief.subjects.find(({ kind }) => kind === "bird");
  subjectsAt(scene, "air").forEach(({ kind, colour, count }, order) => {
    for (let i = 0; i < Math.min(count, 9); i++) {
      const scale = i === 0 ? 1 : luck.range(0.3, 0.75);
      paintSubject(scene, kind, {
        x: i + order === 0 ? w * centre : w * luck.range(0.1, 0.9),
        y: horizon * (i === 0 ? 0.7 : luck.range(0.3, 0.85)),
        size: unit * sizeOf(kind) * scale,
        depth: (1 - scale) * 0.5,
        colour,
        label: i,
      });
    }
  });
  if (birds)
    paintBirds(scene, {
      x: w * (1 - centre),
      y: horizon * luck.range(0.4, 0.6),
      size: unit * 0.13,
      count: birds.count === 1 ? 1 : birds.count + 5,
      colour: birds.colour,
    });
  else if (!without("bird") && !wants("stars") && luck.chance(0.4))
    paintBirds(scene, { x: w * luck.range(0.3, 0.7), y: horizon * 0.45, size: h * 0.035, count: luck.whole(3, 6) });
}

export function paintFlowers(scene, top) {
  for (const { kind, colour } of subjectsAt(scene, "flower"))
    paintFlowerField(scene, { kind, top, bottom: scene.h * 1.03, colour, count: 240 });
}
