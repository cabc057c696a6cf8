// The course of a painting: reads the prompt, composes a study, then paints from it step by step. Does not access the page.

import { createNoise, createRandom, hashText } from "./painter/random.js";
import { readBrief } from "./painter/reading.js";
import { composeStudy } from "./painter/scene.js";
import { finishPicture, gradeStudy } from "./painter/finishes.js";
import { MEDIA } from "./painter/media.js";
import { styleNamed } from "./styles.js";

export { LEXICON } from "./painter/lexicon.js";

/** What is painted with when neither a style nor the prompt asks for a medium. */
const HOUSE_STYLE = {
  name: "House",
  medium: "brush",
  settings: { coarse: 26, fine: 1.6, length: 6, bristles: 3, vary: 13 },
  finish: { relief: 14, weave: 2 },
};

/** The seed an empty seed field stands for. */
export const seedFor = (prompt, negativePrompt = "") =>
  hashText(`${prompt.trim().toLowerCase()}\n${negativePrompt.trim().toLowerCase()}`);

/** Give the page a turn. A message is not slowed down in pages that are not in view. */
const breathe = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });

function chooseStyles(names, brief) {
  const asked = names.map(styleNamed).filter(Boolean);
  if (asked.length) return asked.slice(0, 3);
  const spoken = brief.media.slice(0, 2).map(styleNamed).filter(Boolean);
  return spoken.length ? spoken : [HOUSE_STYLE];
}

function copyOf(canvas) {
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  copy.getContext("2d", { willReadFrequently: true }).drawImage(canvas, 0, 0);
  return copy;
}

/** One style's share of the painting. Its study is what the style before it made. */
function openStage(style, study, canvas, frame) {
  if (style.grade) gradeStudy(study, style.grade);
  const { width: w, height: h } = canvas,
    ctx = canvas.getContext("2d", { willReadFrequently: true });
  const job = { ...frame, study, ctx, w, h, u: Math.min(w, h) / 512, rng: frame.random.fork(style.name) };
  return { job, style, advance: MEDIA[style.medium](job, style.settings) };
}

/** Carry the stages from one moment of the whole painting (0 to 1) to a later one. */
function createCourse(styles, study, canvas, frame) {
  let stage = null,
    current = -1;
  return (from, to) => {
    styles.forEach((style, index) => {
      const start = Math.max(from, index / styles.length),
        end = Math.min(to, (index + 1) / styles.length);
      if (end - start < 1e-9) return;
      if (index !== current) {
        stage = openStage(style, index ? copyOf(canvas) : study, canvas, frame);
        current = index;
      }
      const local = (moment) => Math.min(1, Math.max(0, moment * styles.length - index));
      stage.advance(local(start), local(end) > 1 - 1e-9 ? 1 : local(end));
      if (local(end) > 1 - 1e-9 && style.finish) finishPicture(canvas, stage.job, style.finish);
    });
  };
}

/**
 * Paint a request on `canvas`. The same request always gives the same bytes.
 * onStep(step, steps) is awaited after each visible step; resolves to { seed, brief, styles, stopped }.
 */
export async function paint(
  { prompt, negativePrompt = "", seed = null, width = 512, height = 512, steps = 20, styles = [] },
  canvas,
  onStep = () => {},
  signal = null,
) {
  const usedSeed = seed ?? seedFor(prompt, negativePrompt),
    brief = readBrief(prompt, negativePrompt),
    chosen = chooseStyles(styles, brief);
  const random = createRandom((usedSeed ^ hashText(prompt.trim().toLowerCase())) >>> 0),
    sceneStyle = Object.assign({}, ...chosen.map((style) => style.scene ?? {}));
  canvas.width = width;
  canvas.height = height;
  const study = composeStudy(brief, sceneStyle, random, width, height).canvas;
  const frame = {
    random,
    noise: createNoise(random.fork("surface").whole(0, 2 ** 31)),
    effort: (steps + 1.5) / 21.5 / chosen.length ** 0.6,
  };
  const carry = createCourse(chosen, study, canvas, frame);
  for (let step = 1; step <= steps; step++) {
    await breathe();
    if (signal?.aborted) return { seed: usedSeed, brief, styles: chosen, stopped: true };
    carry((step - 1) / steps, step / steps);
    await onStep(step, steps);
  }
  return { seed: usedSeed, brief, styles: chosen.map(({ name }) => name), stopped: false };
}
