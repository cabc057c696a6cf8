// Open-air scenes with water before the viewer: seas, lakes, harbours, islands, beaches.

import { hex, mix } from "./colour.js";
import { paintGrass, paintHeadland, paintRolling } from "./land.js";
import { paintBridge } from "./monuments.js";
import { paintFlowers, standLandmarks, standNear, subjectsAt } from "./placing.js";
import { paintWood } from "./plants.js";
import { paintSettlements } from "./settlements.js";
import { placeOf } from "./subjects.js";
import { paintBeach, paintWater, paintWaterfall } from "./water.js";

export const WATERS = ["sea", "lake", "harbour", "island", "beach", "canal", "swamp"];

export function paintWaterScene(scene, centre) {
  const { w, h, horizon, place, rng, wants, light } = scene,
    luck = rng.fork("shore"),
    landmark = subjectsAt(scene, "landmark").length > 0,
    side = centre < 0.5 ? -1 : 1;
  const kind = WATERS.find((name) => place(name)) ?? "sea",
    level = () => horizon + h * 0.008;
  if (place("lake", "swamp") && !place("city"))
    paintWood(scene, {
      ridge: level,
      rows: 2,
      kinds: light.season === "autumn" ? ["tree", "birch", "pine"] : ["pine", "pine", "tree"],
      tall: h * 0.085,
      depth: 0.5,
      label: "lakeside",
    });
  if (place("forest", "jungle"))
    paintWood(scene, {
      ridge: level,
      rows: 3,
      kinds: place("jungle") ? ["palm", "tree"] : ["pine", "tree"],
      tall: h * 0.16,
      depth: 0.42,
      label: "shorewood",
    });
  const quay = place("village", "harbour", "castle", "ruins", "hill") && !place("island");
  const bank = quay
    ? paintRolling(scene, {
        base: horizon + h * 0.02,
        tall: h * (place("hill", "castle") ? 0.09 : 0.045),
        bottom: horizon + h * 0.025,
        depth: 0.3,
        colour: mix(light.grass, hex("#a09080"), 0.35),
        label: "quay",
        bumps: 1.6,
      })
    : level;
  if (!place("island")) paintSettlements(scene, bank);
  let ground = bank;
  if ((landmark && !quay) || place("cliff", "island"))
    paintWater(scene, { top: level(), bottom: horizon + h * 0.05, kind });
  if (place("island")) ground = paintIsland(scene, centre);
  else if (landmark || place("cliff")) {
    paintHeadland(scene, {
      base: horizon + h * 0.02,
      tall: h * 0.1,
      reach: 0.34,
      side: -side,
      depth: 0.6,
      label: "head2",
    });
    if (!quay)
      ground = paintHeadland(scene, {
        base: horizon + h * 0.05,
        tall: h * (place("cliff") ? 0.26 : 0.13),
        reach: 0.62,
        side,
        depth: 0.08,
        label: "head1",
      });
  }
  if (place("island")) paintSettlements(scene, ground);
  standLandmarks(scene, ground, centre);
  if (wants("bridge"))
    paintBridge(scene, {
      y: horizon + h * 0.03,
      size: h * 0.16,
      colour: scene.brief.subjects.find(({ kind: name }) => name === "bridge").colour,
    });
  const top = horizon + h * (ground === level ? 0.008 : ground === bank ? 0.024 : 0.045);
  paintWater(scene, { top, bottom: h, kind });
  if (place("waterfall"))
    paintWaterfall(scene, {
      x: w * (1 - centre),
      top: horizon - h * 0.16,
      bottom: horizon + h * 0.03,
      width: w * 0.06,
    });
  standNear(scene, {
    top: horizon + h * 0.1,
    bottom: h * 0.86,
    where: "water",
    centre: landmark ? 1 - centre : centre,
  });
  paintShore(scene, centre);
  return luck;
}

function paintIsland(scene, centre) {
  const { w, h, horizon, light, noise } = scene,
    base = horizon + h * 0.05;
  const outline = (x) =>
    base - h * 0.13 * (Math.max(-0.1, 1 - ((x / w - centre) / 0.26) ** 2) + 0.16 * noise.layered((x / w) * 7, 5, 3));
  paintRolling(scene, {
    base,
    tall: h * 0.14,
    bottom: base,
    depth: 0.15,
    colour: mix(light.grass, hex("#8a7c60"), 0.3),
    label: "isle",
    outline,
  });
  const grove = (x) => (Math.abs(x / w - centre) < 0.2 ? outline(x) : h * 4);
  paintWood(scene, {
    ridge: grove,
    rows: 2,
    kinds: light.height > 0.2 && !scene.place("castle") ? ["palm", "tree"] : ["tree", "pine"],
    tall: h * 0.13,
    depth: 0.15,
    label: "grove",
  });
  return outline;
}

function paintShore(scene, centre) {
  const { h, w, place, light, u } = scene,
    walkers = subjectsAt(scene, "ground").filter(({ kind }) => !placeOf(kind).includes("water"));
  if (place("beach")) {
    paintBeach(scene, { top: h * 0.78, bottom: h });
    standNear(scene, { top: h * 0.9, bottom: h * 0.97, where: "ground", centre });
    return;
  }
  if (!walkers.length && !place("swamp", "meadow", "garden") && !subjectsAt(scene, "flower").length) return;
  scene.floats = new Set(["torii", "turtle"]);
  paintRolling(scene, {
    base: h * 0.9,
    tall: h * 0.05,
    bottom: h,
    depth: 0,
    colour: light.grass,
    label: "bank",
    bumps: 1.1,
  });
  standNear(scene, { top: h * 0.92, bottom: h * 0.97, where: "ground", centre });
  paintGrass(scene, { top: h * 0.92, bottom: h * 1.04, colour: light.grass, count: 150, tall: 34 * u });
  paintFlowers(scene, h * 0.9);
  return w;
}
