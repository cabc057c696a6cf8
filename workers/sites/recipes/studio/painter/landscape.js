// Open-air scenes: the land far away and the land nearby.

import { hex, mix } from "./colour.js";
import { paintFlowerField, paintRows } from "./flowers.js";
import { paintDunes, paintGrass, paintHeadland, paintMesas, paintMountains, paintRoad, paintRolling } from "./land.js";
import { paintBridge } from "./monuments.js";
import { paintFlowers, standInAir, standLandmarks, standNear, subjectsAt } from "./placing.js";
import { paintWood } from "./plants.js";
import { paintSettlements } from "./settlements.js";
import { WATERS, paintWaterScene } from "./shores.js";
import { paintSky } from "./sky.js";
import { paintRiver, paintWaterfall } from "./water.js";

const PEAKS = ["mountain", "valley", "volcano"];

function paintFar(scene) {
  const { horizon, h, rng, place } = scene,
    luck = rng.fork("far"),
    base = horizon + h * 0.035;
  if (place("canyon")) {
    paintMesas(scene, { base, tall: h * 0.3, depth: 0.72, label: "mesa1" });
    paintMesas(scene, { base, tall: h * 0.26, depth: 0.3, label: "mesa2" });
    return;
  }
  if (place(...PEAKS) || (place("lake", "snowfield", "waterfall") && luck.chance(0.8))) {
    const tall = h * luck.range(0.36, 0.46) * (place(...PEAKS) ? 1 : 0.75);
    paintMountains(scene, { base, tall: tall * 0.85, depth: 0.82, peaks: 1.8, label: "peaks1" });
    paintMountains(scene, { base, tall, depth: 0.45, peaks: 1.25, label: "peaks2", volcano: place("volcano") });
    if (place("mountain", "valley"))
      paintMountains(scene, { base, tall: tall * 0.45, depth: 0.26, peaks: 2.2, label: "peaks3" });
    return;
  }
  if (place("desert", "sea") && !place("hill", "island", "harbour")) {
    if (luck.chance(0.5))
      paintRolling(scene, {
        base,
        tall: h * 0.035,
        bottom: base + 2,
        depth: 0.9,
        colour: hex("#7a8494"),
        label: "farland",
      });
    return;
  }
  paintRolling(scene, {
    base,
    tall: h * 0.13,
    bottom: base + 3,
    depth: 0.88,
    colour: hex("#6f8678"),
    label: "hills1",
    bumps: 1.2,
  });
  paintRolling(scene, {
    base,
    tall: h * 0.075,
    bottom: base + 3,
    depth: 0.62,
    colour: hex("#67845c"),
    label: "hills2",
    bumps: 1.8,
  });
}

const CROPS = { wheat: ["#dcb450", "#b8862c"], lavender: ["#8468c0", "#54824c"], vineyard: ["#6c9444", "#a07c54"] };

function groundColour({ place, light }) {
  if (light.snowy || place("snowfield")) return hex("#e6edf4");
  if (place("wheat")) return hex("#c8a048");
  if (place("forest", "jungle")) return mix(light.grass, hex("#5c5a38"), 0.45);
  return place("lavender") ? hex("#74844c") : light.grass;
}

function paintLandScene(scene, centre) {
  const { w, h, u, horizon, place, light, rng, wants } = scene,
    luck = rng.fork("land"),
    colour = groundColour(scene);
  const dry = place("desert", "canyon"),
    label = "ground";
  const mid = dry
    ? paintDunes(scene, {
        base: horizon + h * 0.04,
        tall: h * 0.06,
        bottom: h,
        depth: 0.5,
        label: "dune1",
        crests: 1.6,
      })
    : paintRolling(scene, {
        base: horizon + h * 0.045,
        tall: h * (place("hill", "vineyard") ? 0.1 : 0.045),
        bottom: h,
        depth: 0.38,
        colour,
        label: "mid",
        bumps: 1.5,
      });
  paintSettlements(scene, mid);
  if (!dry && !place("snowfield", "road") && !place("forest", "jungle") && !scene.without("tree") && luck.chance(0.85))
    paintScatteredTrees(scene, mid);
  if (dry)
    paintDunes(scene, { base: horizon + h * 0.16, tall: h * 0.1, bottom: h, depth: 0.2, label: "dune2", crests: 1 });
  standLandmarks(scene, mid, centre);
  if (place("forest", "jungle")) paintForest(scene, mid, centre);
  const near = dry
    ? paintDunes(scene, { base: horizon + h * 0.3, tall: h * 0.11, bottom: h, depth: 0, label: "dune3", crests: 0.8 })
    : paintRolling(scene, { base: horizon + h * 0.17, tall: h * 0.05, bottom: h, depth: 0.1, colour, label, bumps: 1 });
  for (const [crop, [row, between]] of Object.entries(CROPS))
    if (place(crop))
      paintRows(scene, {
        top: horizon + h * 0.1,
        bottom: h,
        colour: hex(row),
        between: hex(between),
        vanish: w * (1 - centre),
      });
  if (place("road")) paintRoad(scene, { top: horizon + h * 0.06, bottom: h, mouth: 1 - centre });
  const wet =
    place("river", "waterfall") ||
    subjectsAt(scene, "water").some(({ kind }) => kind !== "torii" && kind !== "turtle") ||
    wants("bridge");
  if (wet) crossWater(scene, luck, centre);
  paintFlowers(scene, horizon + h * 0.14);
  const shaggy = !dry && !light.snowy && !place("wheat", "lavender", "vineyard");
  if (
    shaggy &&
    light.season !== "autumn" &&
    !scene.without("flower") &&
    !subjectsAt(scene, "flower").length &&
    luck.chance(0.6)
  )
    paintFlowerField(scene, {
      kind: "flower",
      top: horizon + h * 0.2,
      bottom: h * 0.97,
      colour: null,
      count: 110,
      tall: 20,
    });
  if (shaggy) paintGrass(scene, { top: horizon + h * 0.2, bottom: h * 0.98, colour, count: 240, tall: 20 * u });
  standNear(scene, {
    top: h * 0.8,
    bottom: h * 0.95,
    where: "ground",
    centre: wet ? (centre < 0.5 ? 0.2 : 0.8) : subjectsAt(scene, "landmark").length ? 1 - centre : centre,
  });
  if (shaggy) paintGrass(scene, { top: h * 0.97, bottom: h * 1.06, colour, count: 110, tall: 42 * u });
  return near;
}

function crossWater(scene, luck, centre) {
  const { h, w, horizon, wants, place } = scene,
    top = horizon + h * 0.07;
  const falls = place("waterfall"),
    side = centre < 0.5 ? 1 : -1,
    mouth = falls ? 0.5 + side * 0.22 : 1 - centre;
  const brink =
    falls &&
    paintHeadland(scene, { base: top + h * 0.02, tall: h * 0.36, reach: 0.56, side, depth: 0.2, label: "falls" });
  paintRiver(scene, { top, bottom: h, mouth, kind: "river" });
  if (falls) paintWaterfall(scene, { x: w * mouth, top: brink(w * mouth), bottom: top + h * 0.02, width: w * 0.06 });
  if (wants("bridge"))
    paintBridge(scene, {
      y: top + h * 0.14,
      size: h * 0.17,
      colour: scene.brief.subjects.find(({ kind }) => kind === "bridge").colour,
    });
  standNear(scene, { top: h * 0.8, bottom: h * 0.9, where: "water", centre: 0.5 + (0.5 - centre) * 0.4, scale: 0.8 });
  return luck;
}

function paintScatteredTrees(scene, ground) {
  const { h, light } = scene,
    kinds =
      light.season === "spring"
        ? ["tree", "tree", "blossom"]
        : scene.place("vineyard")
          ? ["cypress", "tree"]
          : ["tree", "tree", "pine", "cypress"];
  const gaps = scene.rng.fork("gaps").range(0, 50);
  const ridge = (x) => (scene.noise.at((x / scene.w) * 4.5 + gaps, 2.2) > 0.1 ? ground(x) : h * 4);
  paintWood(scene, { ridge, rows: 2, kinds, tall: h * 0.085, depth: 0.42, label: "scatter", drop: h * 0.02 });
}

function paintForest(scene, ground, centre) {
  const { h, light, place } = scene,
    kinds = place("jungle")
      ? ["palm", "tree", "tree"]
      : light.season === "autumn"
        ? ["tree", "birch", "tree", "pine"]
        : ["pine", "pine", "tree", "birch"];
  const clearing = { at: centre, half: 0.1 };
  paintWood(scene, { ridge: ground, rows: 3, kinds, tall: h * 0.26, depth: 0.62, label: "deepwood" });
  paintWood(scene, {
    ridge: (x) => ground(x) + h * 0.07,
    rows: 1,
    kinds,
    tall: h * 0.42,
    depth: 0.34,
    label: "midwood",
    gap: clearing,
  });
  paintWood(scene, {
    ridge: (x) => ground(x) + h * 0.2,
    rows: 1,
    kinds,
    tall: h * 0.72,
    depth: 0.08,
    label: "nearwood",
    gap: { at: centre, half: 0.24 },
  });
}

export function paintLandscape(scene) {
  const luck = scene.rng.fork("composition"),
    centre = luck.chance(0.5) ? luck.range(0.3, 0.4) : luck.range(0.6, 0.7);
  const floats = subjectsAt(scene, "water").length > 0,
    dryLand = scene.place(
      "river",
      "waterfall",
      "meadow",
      "forest",
      "desert",
      "garden",
      "hill",
      "village",
      "valley",
      "mountain",
    );
  paintSky(scene);
  paintFar(scene);
  if (scene.place(...WATERS) || (floats && !dryLand) || (scene.place("city") && !dryLand))
    paintWaterScene(scene, centre);
  else paintLandScene(scene, centre);
  standInAir(scene, 1 - centre);
}
