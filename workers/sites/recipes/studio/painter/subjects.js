// The subjects: the function that paints each, the places where it may be, and its size.

import * as creatures from "./creatures.js";
import * as objects from "./objects.js";
import * as buildings from "./buildings.js";
import * as monuments from "./monuments.js";
import * as small from "./smallthings.js";
import * as stilllife from "./stilllife.js";
import { paintFlower } from "./flowers.js";
import { paintTree } from "./plants.js";

const tree = (kind) => (scene, at) => paintTree(scene, kind, at);
const bloom = (kind) => (scene, at) => paintFlower(scene, kind, at);
const animal = (kind) => (scene, at) => creatures.paintSilhouette(scene, kind, at);
const ware = (kind) => (scene, at) => stilllife.paintWare(scene, kind, at);

/** where: landmark (on the land's skyline), ground (near), water, air, flower (near, in numbers), table. size: share of the short side. */
const SUBJECTS = {
  lighthouse: { where: "landmark", size: 0.4, paint: buildings.paintLighthouse },
  house: { where: "landmark", size: 0.15, paint: buildings.paintHouse },
  cabin: { where: "landmark", size: 0.16, paint: (scene, at) => buildings.paintHouse(scene, { ...at, wood: true }) },
  tower: { where: "landmark", size: 0.38, paint: buildings.paintTower },
  church: { where: "landmark", size: 0.3, paint: buildings.paintChurch },
  windmill: { where: "landmark", size: 0.36, paint: buildings.paintWindmill },
  pagoda: { where: "landmark", size: 0.42, paint: monuments.paintPagoda },
  torii: { where: "water ground", size: 0.3, paint: monuments.paintTorii },
  pyramid: { where: "landmark", size: 0.28, paint: monuments.paintPyramid },
  castle: { where: "landmark", size: 0.34, paint: buildings.paintCastle },
  ruins: { where: "landmark", size: 0.28, paint: monuments.paintRuins },
  tree: { where: "ground", size: 0.46, paint: tree("tree") },
  pine: { where: "ground", size: 0.44, paint: tree("pine") },
  palm: { where: "ground", size: 0.44, paint: tree("palm") },
  cypress: { where: "ground", size: 0.42, paint: tree("cypress") },
  birch: { where: "ground", size: 0.48, paint: tree("birch") },
  willow: { where: "ground", size: 0.42, paint: tree("willow") },
  blossom: { where: "ground", size: 0.48, paint: tree("blossom") },
  cat: { where: "ground", size: 0.24, paint: animal("cat") },
  dog: { where: "ground", size: 0.22, paint: animal("dog") },
  fox: { where: "ground", size: 0.22, paint: animal("fox") },
  deer: { where: "ground", size: 0.3, paint: animal("deer") },
  horse: { where: "ground", size: 0.28, paint: animal("horse") },
  rabbit: { where: "ground", size: 0.17, paint: animal("rabbit") },
  elephant: { where: "ground", size: 0.32, paint: animal("elephant") },
  cow: { where: "ground", size: 0.22, paint: animal("cow") },
  sheep: { where: "ground", size: 0.16, paint: animal("sheep") },
  owl: { where: "ground", size: 0.28, paint: animal("owl") },
  person: { where: "ground", size: 0.22, paint: creatures.paintPerson },
  umbrella: { where: "ground", size: 0.26, paint: creatures.paintUmbrella },
  robot: { where: "ground", size: 0.32, paint: animal("robot") },
  boat: { where: "water", size: 0.2, paint: objects.paintBoat },
  ship: { where: "water", size: 0.32, paint: objects.paintShip },
  swan: { where: "water", size: 0.13, paint: animal("swan") },
  whale: { where: "water", size: 0.26, paint: small.paintBreaching("fluke") },
  dolphin: { where: "water", size: 0.2, paint: small.paintBreaching("dolphin") },
  fish: { where: "water", size: 0.13, paint: small.paintBreaching("fish") },
  turtle: { where: "water ground", size: 0.16, paint: animal("turtle") },
  jellyfish: { where: "air", size: 0.2, paint: creatures.paintJellyfish },
  balloon: { where: "air", size: 0.24, paint: objects.paintBalloon },
  kite: { where: "air", size: 0.16, paint: objects.paintKite },
  butterfly: { where: "air", size: 0.13, paint: creatures.paintButterfly },
  dragon: {
    where: "air",
    size: 0.38,
    paint: (scene, at) => creatures.paintSilhouette(scene, "dragon", { ...at, shadow: false }),
  },
  rocket: { where: "air", size: 0.28, paint: objects.paintRocket },
  planet: { where: "air", size: 0.24, paint: objects.paintPlanet },
  comet: { where: "air", size: 0.3, paint: small.paintComet },
  train: { where: "ground", size: 0.22, paint: objects.paintTrain },
  car: { where: "ground", size: 0.2, paint: objects.paintCar },
  bicycle: { where: "ground", size: 0.2, paint: objects.paintBicycle },
  tent: { where: "ground", size: 0.18, paint: objects.paintTent },
  campfire: { where: "ground", size: 0.12, paint: objects.paintCampfire },
  lantern: { where: "ground", size: 0.4, paint: monuments.paintLamp },
  cactus: { where: "ground", size: 0.26, paint: small.paintCactus },
  mushroom: { where: "ground", size: 0.16, paint: small.paintMushroom },
  rock: { where: "ground", size: 0.14, paint: small.paintRock },
  fence: { where: "ground", size: 0.12, paint: small.paintFence },
  vase: { where: "table", size: 0.36, paint: ware("vase") },
  teapot: { where: "table", size: 0.28, paint: ware("teapot") },
  bottle: { where: "table", size: 0.38, paint: ware("bottle") },
  candle: { where: "table", size: 0.26, paint: ware("candle") },
  book: { where: "table", size: 0.22, paint: ware("book") },
  fruit: { where: "table", size: 0.3, paint: stilllife.paintFruit },
  rose: { where: "flower", size: 0.28, paint: bloom("rose") },
  tulip: { where: "flower", size: 0.28, paint: bloom("tulip") },
  sunflower: { where: "flower", size: 0.4, paint: bloom("sunflower") },
  poppy: { where: "flower", size: 0.24, paint: bloom("poppy") },
  lotus: { where: "water", size: 0.07, paint: small.paintLotus },
  flower: { where: "flower", size: 0.24, paint: bloom("flower") },
};

export const placeOf = (kind) => SUBJECTS[kind]?.where ?? "sky";
export const sizeOf = (kind) => SUBJECTS[kind]?.size ?? 0.2;
export const paintSubject = (scene, kind, at) => SUBJECTS[kind]?.paint(scene, at);

/** Where a subject lives when the prompt names no place. */
const HOMES = {
  lighthouse: "sea",
  boat: "lake",
  ship: "sea",
  whale: "sea",
  dolphin: "sea",
  fish: "underwater",
  jellyfish: "underwater",
  turtle: "underwater",
  swan: "lake",
  lotus: "lake",
  torii: "lake",
  pyramid: "desert",
  cactus: "desert",
  palm: "beach",
  pine: "mountain",
  deer: "forest",
  fox: "forest",
  owl: "forest",
  mushroom: "forest",
  rabbit: "meadow",
  robot: "city",
  car: "street",
  bicycle: "street",
  umbrella: "street",
  lantern: "street",
  rocket: "space",
  planet: "space",
  cat: "room",
  vase: "room",
  fruit: "room",
  teapot: "room",
  bottle: "room",
  candle: "room",
  book: "room",
  cabin: "mountain",
  dragon: "mountain",
  aurora: "mountain",
  elephant: "desert",
  campfire: "forest",
  tent: "mountain",
  bridge: "river",
  comet: "mountain",
  rose: "garden",
};
export const homeOf = (kind) => HOMES[kind] ?? "meadow";
