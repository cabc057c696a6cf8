// The media: each name with the function that starts its painting process. Styles name a medium and its settings.

import { createBrushwork } from "./brushwork.js";
import { createLowPoly, createPieces } from "./cells.js";
import { createBlueprint, createContours } from "./linework.js";
import {
  createCharcoal,
  createHatching,
  createLinocut,
  createPhotograph,
  createScreenprint,
  createWoodblock,
} from "./printmaking.js";

/** Every maker takes (job, settings) and returns advance(from, to), fractions of its own stage. */
export const MEDIA = {
  brush: createBrushwork,
  linocut: createLinocut,
  woodblock: createWoodblock,
  screenprint: createScreenprint,
  charcoal: createCharcoal,
  hatching: createHatching,
  photograph: createPhotograph,
  pieces: createPieces,
  lowpoly: createLowPoly,
  contours: createContours,
  blueprint: createBlueprint,
};
