// Turns the prompt and the negative prompt into a brief: the things to paint.

import { hex } from "./colour.js";
import { lookUp } from "./lexicon.js";

/** Lower-case words of a text; accents are folded so "café" is "cafe". */
function wordsOf(text) {
  return (
    text
      .toLowerCase()
      .normalize("NFD")
      .replace(/[\u0300-\u036f]/g, "")
      .match(/[a-z0-9]+(?:-[a-z0-9]+)*/g) ?? []
  );
}

/** Known concepts in reading order; two-word phrases win over single words. */
function conceptsOf(text) {
  const words = wordsOf(text),
    found = [];
  for (let i = 0; i < words.length; i++) {
    const phrase = i + 1 < words.length ? lookUp(`${words[i]} ${words[i + 1]}`) : null;
    const match = phrase ?? lookUp(words[i]);
    if (match) found.push({ ...match, position: i });
    if (phrase) i++;
  }
  return found;
}

function emptyBrief() {
  return {
    places: [],
    subjects: [],
    time: null,
    season: null,
    weather: new Set(),
    moods: new Set(),
    tints: [],
    media: [],
    without: new Set(),
  };
}

const KINDS_OF_TREE = ["palm", "pine", "birch", "willow", "cypress", "blossom"];

function takeSubject(brief, { concept, plural }, count, colour) {
  const last = brief.subjects[brief.subjects.length - 1];
  if (concept === "tree" && KINDS_OF_TREE.includes(last?.kind))
    return Object.assign(last, { count: plural ? Math.max(3, last.count) : last.count });
  const known = brief.subjects.find((subject) => subject.kind === concept);
  if (known) return Object.assign(known, { colour: known.colour ?? colour, count: Math.max(known.count, count ?? 1) });
  return brief.subjects.push({ kind: concept, colour, count: count ?? (plural ? 3 : 1) });
}

const TAKE = {
  place: (brief, { concept }) => brief.places.includes(concept) || brief.places.push(concept),
  time: (brief, { concept }) => {
    brief.time ??= concept;
  },
  season: (brief, { concept }) => {
    brief.season ??= concept;
  },
  weather: (brief, { concept }) => brief.weather.add(concept),
  mood: (brief, { concept }) => brief.moods.add(concept),
  medium: (brief, { concept }) => brief.media.includes(concept) || brief.media.push(concept),
};

/** Read one text. A colour or number just before a subject belongs to that subject. */
function read(text) {
  const brief = emptyBrief();
  let colour = null,
    count = null,
    negatedAt = -9;
  const keepColour = () => {
    if (colour) brief.tints.push(colour.value);
    colour = null;
  };
  for (const item of conceptsOf(text)) {
    const { kind, concept, position } = item;
    if (kind === "negation") {
      negatedAt = position;
      continue;
    }
    if (position - negatedAt <= 2 && kind !== "number") {
      brief.without.add(concept);
      continue;
    }
    if (kind === "number") {
      count = { value: Number(concept), position };
      continue;
    }
    if (kind === "colour") {
      keepColour();
      colour = { value: hex(concept), position, concept };
      continue;
    }
    if (kind !== "subject") {
      TAKE[kind](brief, item);
      continue;
    }
    const ownColour = colour && position - colour.position <= 2 ? colour.value : null;
    if (ownColour) colour = null;
    takeSubject(brief, item, count && position - count.position <= 3 ? count.value : null, ownColour);
    count = null;
  }
  keepColour();
  return brief;
}

/** Everything the negative prompt names is taken out of the brief and remembered in `without`. */
function removeNegatives(brief, negativePrompt) {
  for (const { concept } of conceptsOf(negativePrompt)) brief.without.add(concept);
  const keeps = (concept) => !brief.without.has(concept);
  brief.places = brief.places.filter(keeps);
  brief.media = brief.media.filter(keeps);
  brief.subjects = brief.subjects.filter(({ kind }) => keeps(kind));
  brief.tints = brief.tints.filter(
    (tint) => ![...brief.without].some((name) => name[0] === "#" && String(hex(name)) === String(tint)),
  );
  for (const set of [brief.weather, brief.moods]) brief.without.forEach((concept) => set.delete(concept));
  if (!keeps(brief.time)) brief.time = null;
  if (!keeps(brief.season)) brief.season = null;
}

export function readBrief(prompt, negativePrompt) {
  const brief = read(prompt);
  removeNegatives(brief, negativePrompt);
  return brief;
}
