// The request form: reading it, checking it, refusing requests that the studio does not paint, filling it in.

const REFUSED = [
  "gore gory bloody bloodbath massacre murder corpse torture beheading decapitated mutilated suicide",
  "terrorist nude nudes naked nudity nsfw porn porno pornographic erotic erotica sex",
  "sexual sexy hentai topless swastika nazi nazis racist racism lynching genocide",
].join(" ").split(" ");
const NUMBERS = [
  ["width", "Width", 512],
  ["height", "Height", 512],
  ["steps", "Steps", 20],
  ["seed", "Seed", null],
];
const field = (id) => document.getElementById(id);

/** A reason to show the person; thrown by readRequest. */
export class Refusal extends Error {}

function refusedWord(text) {
  const words = new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []);
  return REFUSED.find((word) => words.has(word));
}

function readNumber([id, label, usual]) {
  const input = field(id),
    text = input.value.trim();
  if (text === "" && !input.validity.badInput) return usual;
  const value = Number(text),
    low = Number(input.min),
    high = Number(input.max),
    step = Number(input.step);
  const shown = text || "that value",
    range = `${low} to ${high}`;
  if (text === "" || !Number.isInteger(value) || value < low || value > high)
    throw new Refusal(`${label} ${shown} is out of range: allowed is a whole number from ${range}.`);
  if ((value - low) % step)
    throw new Refusal(`${label} ${shown} is out of range: allowed is ${range} in steps of ${step}.`);
  return value;
}

/** The checked request, or a Refusal saying why not. */
export function readRequest(styles) {
  const prompt = field("prompt").value.trim();
  if (!prompt) throw new Refusal("Write a prompt first.");
  const refused = refusedWord(prompt);
  if (refused) throw new Refusal(`This prompt was refused: the studio does not paint "${refused}".`);
  const numbers = Object.fromEntries(NUMBERS.map((entry) => [entry[0], readNumber(entry)]));
  return { prompt, negativePrompt: field("negative-prompt").value.trim(), styles, ...numbers };
}

/** Fill the form from the page's address. Values are only ever set as text. */
export function prefill(addStyle) {
  const query = new URLSearchParams(location.search);
  for (const [name, id] of [
    ["prompt", "prompt"],
    ["negative", "negative-prompt"],
    ["seed", "seed"],
    ["width", "width"],
    ["height", "height"],
    ["steps", "steps"],
  ]) {
    if (query.has(name)) field(id).value = query.get(name);
  }
  query
    .getAll("style")
    .flatMap((names) => names.split(","))
    .forEach((name) => addStyle(name.trim()));
}
