// Chooses the towns, castles and ruins of a landscape.

import { paintCastle, paintVillage } from "./buildings.js";
import { paintRuins } from "./monuments.js";
import { paintSkyline } from "./skyline.js";

export function paintSettlements(scene, ground) {
  const { h, w, horizon, place, rng, unit } = scene,
    luck = rng.fork("town");
  if (place("city")) paintSkyline(scene, { base: horizon + h * 0.012, tall: h * 0.4, label: "city" });
  const hold = w * luck.range(0.38, 0.62);
  if (place("castle")) paintCastle(scene, { x: hold, y: ground(hold) + h * 0.03, size: unit * 0.34, depth: 0.26 });
  if (place("village", "harbour") || (place("vineyard") && luck.chance(0.7)))
    paintVillage(scene, {
      ground,
      centre: luck.range(0.3, 0.7),
      spread: place("harbour") ? 0.34 : 0.2,
      size: unit * 0.058,
      depth: 0.24,
    });
  if (place("ruins"))
    paintRuins(scene, { x: w * luck.range(0.4, 0.6), y: ground(w * 0.5) + h * 0.012, size: unit * 0.27, depth: 0.12 });
}
