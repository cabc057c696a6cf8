// Many jobs from one form: a list of prompts, a range of seeds, a table of two inputs.

import { parseValue, typeOf } from "./form.js";

export const MAX_JOBS = 64;
const RANGE = /^(-?\d+)\s*-\s*(-?\d+)$/;

const mode = document.getElementById("many-mode");
const byId = (name) => document.getElementById(`many-${name}`);

// Return {requests, axes}; `axes` names the inputs of a table. Throws an Error that says what is missing.
export function expand(request) {
  if (mode.value === "prompts") {
    const prompts = lines(byId("prompts").value);
    if (!prompts.length) throw new Error("List at least one prompt.");
    return limit({ requests: prompts.map((prompt) => ({ ...request, prompt })), axes: null });
  }
  if (mode.value === "seeds") {
    const first = Number(byId("first").value);
    const count = Math.max(1, Number(byId("count").value) || 1);
    return limit({ requests: Array.from({ length: Math.min(count, MAX_JOBS + 1) }, (_, index) => vary(request, "seed", first + index)), axes: null });
  }
  if (mode.value !== "table") return { requests: [request], axes: null };
  const [x, y] = [byId("x").value, byId("y").value];
  const [columns, rows] = [readValues(x, byId("x-values").value), readValues(y, byId("y-values").value)];
  if (x === y) throw new Error("Columns and rows must be different inputs.");
  if (!columns.length || !rows.length) throw new Error("Give the values of the columns and of the rows.");
  return limit({ requests: rows.flatMap((row) => columns.map((column) => vary(vary(request, x, column), y, row))), axes: { x, y } });
}

export const isTable = () => mode.value === "table";
// A list of prompts replaces the prompt field.
export const replacesPrompt = () => mode.value === "prompts" || (isTable() && [byId("x").value, byId("y").value].includes("prompt"));

function limit(expanded) {
  if (expanded.requests.length > MAX_JOBS) throw new Error(`That is more than ${MAX_JOBS} pictures; take fewer values.`);
  return expanded;
}

function vary(request, name, value) {
  if (name === "prompt" || name === "lora") return { ...request, [name]: value };
  return { ...request, inputs: { ...request.inputs, [name]: value } };
}

export function valueOf(job, name) {
  return name === "prompt" || name === "lora" ? job[name] : job.inputs[name];
}

function readValues(name, text) {
  const type = typeOf(name);
  if (type === "string") return lines(text);
  if (type === "boolean") return text.split(/[\s,]+/).filter(Boolean).map((part) => /^(true|yes|1)$/i.test(part));
  return text.split(/[,\n]+/).map((part) => part.trim()).filter(Boolean).flatMap((part) => {
    const [, first, last] = RANGE.exec(part) || [];
    if (first === undefined) return [parseValue(type, part)];
    const length = Math.min(Math.abs(last - first), MAX_JOBS) + 1;
    return Array.from({ length }, (_, index) => Number(first) + index);
  });
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

function showMode() {
  for (const part of document.querySelectorAll("#many [data-mode]")) part.hidden = part.dataset.mode !== mode.value;
}
mode.addEventListener("change", showMode);
showMode();
