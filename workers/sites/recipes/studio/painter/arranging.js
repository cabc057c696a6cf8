// Lines up subjects in scenes that are not open land.

import { clamp } from "./colour.js";
import { paintSubject, placeOf, sizeOf } from "./subjects.js";

/** Line up every subject that accepts the place, the first one largest and off centre. */
export function arrange(scene, { kinds, y, spread, scale = 1, drift = 0 }) {
  const { w, h, unit, rng } = scene,
    luck = rng.fork("arrange"),
    centre = luck.chance(0.5) ? 0.4 : 0.6,
    spots = [];
  for (const { kind, colour, count } of kinds)
    for (let i = 0; i < Math.min(count, 7); i++) spots.push({ kind, colour, label: i });
  spots
    .map((spot, order) => {
      const step = Math.ceil(order / 2) * (order % 2 ? 1 : -1) * spread;
      return {
        ...spot,
        order,
        x: w * clamp(centre + step * (centre < 0.5 ? 1 : -1) + luck.bell() * 0.02, 0.1, 0.9),
        y: y + (order ? luck.bell() * drift * h : 0),
        size: unit * sizeOf(spot.kind) * scale * (order ? luck.range(0.6, 0.85) : 1),
      };
    })
    .reverse()
    .forEach((spot) => paintSubject(scene, spot.kind, spot));
}

export const stands =
  (...wheres) =>
  ({ kind }) =>
    wheres.some((where) => placeOf(kind).includes(where));
