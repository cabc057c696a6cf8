// The form: reading its values, filling it from a job, and showing what is wrong with a field.

import { call } from "../http.js";
import { clearPicture, usePicture } from "./pictures.js";

export const form = document.getElementById("make");
export const site = form.dataset.site;

const prompt = document.getElementById("prompt");
const lora = document.getElementById("lora");
const fields = () => [...form.querySelectorAll("[data-input]")];

// Return a request for the API and the files for its image inputs; fields that are empty are left out.
export function readForm() {
  const inputs = {};
  const files = {};
  for (const control of fields()) {
    const { input, type } = control.dataset;
    if (type === "image") {
      if (control.files[0]) files[input] = control.files[0];
      else if (control.dataset.job) inputs[input] = pictureOf(control.dataset.job, control.dataset.of);
    } else if (control.value.trim() !== "") {
      inputs[input] = parseValue(type, control.value);
    }
  }
  return { request: { prompt: prompt.value.trim(), site, ...(lora?.value ? { lora: lora.value } : {}), inputs }, files };
}

// The picture of an input of one of the caller's jobs, as the API names it.
export const pictureOf = (jobId, input) => ({ jobId, input });
export const isPicture = (value) => value !== null && typeof value === "object";

export function parseValue(type, text) {
  if (type === "integer" || type === "number") return Number(text);
  return type === "boolean" ? text === "true" : text;
}

export const typeOf = (name) => form.querySelector(`[data-input="${CSS.escape(name)}"]`)?.dataset.type || "string";

// Fill the form from a job of this site; fields that the job does not set are emptied.
export function fillForm(job) {
  prompt.value = job.prompt;
  setLora(job.lora || "");
  for (const control of fields()) {
    const value = job.inputs[control.dataset.input];
    if (control.dataset.type === "image") {
      if (isPicture(value)) usePicture(control, job.id, control.dataset.input);
      else clearPicture(control);
    } else setValue(control, value === undefined || value === null ? "" : String(value));
  }
  clearErrors();
  prompt.focus();
}

function setValue(control, value) {
  if (control instanceof HTMLSelectElement && ![...control.options].some((option) => option.value === value)) {
    control.add(new Option(value, value));
  }
  control.value = value;
  control.dispatchEvent(new Event("input", { bubbles: true }));
}

export function setLora(name) {
  if (!lora) return;
  lora.value = name;
  const chip = document.getElementById("lora-chip");
  chip.hidden = !name;
  chip.querySelector("span").textContent = name;
}

// Show the problems that the server has found, each at its field if the field is in the form.
export function showErrors(message) {
  const rest = [];
  for (const sentence of message.split(/(?<=\.)\s+(?=[\w.]+: )/)) {
    const [, name, text] = /^(?:inputs\.)?(\w+): (.*)$/s.exec(sentence) || [];
    const field = name && form.querySelector(`[data-field="${CSS.escape(name)}"]`);
    if (field) showError(field, text);
    else rest.push(sentence);
  }
  form.querySelector("[aria-invalid]")?.focus();
  return rest.join(" ");
}

export function showError(field, text) {
  const error = field.querySelector(".error");
  const control = field.querySelector("textarea, [data-input]");
  error.textContent = text;
  error.hidden = false;
  error.id ||= `error-${field.dataset.field}`;
  control?.setAttribute("aria-invalid", "true");
  control?.setAttribute("aria-errormessage", error.id);
}

form.addEventListener("gone", (event) => {
  showError(event.target.closest(".field"), "The picture of that job is no longer kept: choose it again.");
});

export function clearErrors() {
  for (const error of form.querySelectorAll(".error")) error.hidden = true;
  for (const control of form.querySelectorAll("[aria-invalid]")) {
    control.removeAttribute("aria-invalid");
    control.removeAttribute("aria-errormessage");
  }
}

// Report the problems that the browser can find without the server; return whether the form may be sent.
export function checkForm() {
  clearErrors();
  if (!prompt.value.trim()) showError(prompt.closest(".field"), "Write what you want to see.");
  for (const control of fields()) {
    const isEmptyPicture = control.dataset.type === "image" && control.required && !control.files[0] && !control.dataset.job;
    if (isEmptyPicture) showError(control.closest(".field"), "A picture is needed here.");
    else if (control.dataset.type !== "image" && !control.checkValidity()) {
      showError(control.closest(".field"), control.validationMessage);
    }
  }
  const first = form.querySelector("[aria-invalid]");
  first?.focus();
  return !first;
}

// Keep sliders and their number fields equal; the dice button draws a seed.
form.addEventListener("input", (event) => {
  const { range, input } = event.target.dataset;
  if (range) document.getElementById(`input-${range}`).value = event.target.value;
  const slider = input && form.querySelector(`[data-range="${CSS.escape(input)}"]`);
  if (slider && event.target.value !== "") slider.value = event.target.value;
});
form.addEventListener("click", (event) => {
  const dice = event.target.closest("[data-dice]");
  if (dice) document.getElementById(`input-${dice.dataset.dice}`).value = drawSeed();
});

export function drawSeed() {
  const most = Number(form.querySelector("[data-dice]")?.dataset.most ?? 2 ** 32 - 1);
  return Math.floor(Math.random() * (most + 1));
}

document.getElementById("site")?.addEventListener("change", (event) => {
  const query = new URLSearchParams({ site: event.target.value, prompt: prompt.value });
  location.assign(`/console/make?${query}`);
});

document.getElementById("recent").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  prompt.value = button.textContent;
  document.getElementById("recent").hidePopover();
  prompt.focus();
});

export function rememberPrompt(text) {
  const list = document.querySelector("#recent ul");
  [...list.children].find((item) => item.textContent === text)?.remove();
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "ghost";
  button.textContent = text;
  item.append(button);
  list.prepend(item);
  document.querySelector("#recent .menu-empty").hidden = true;
}

// The choices that the page itself lists, read now.
async function readLiveChoices() {
  const selects = [...form.querySelectorAll("select[data-live]")];
  if (!selects.length) return;
  const view = await call("GET", `/api/v1/sites/${encodeURIComponent(site)}`);
  for (const select of selects) {
    const choices = view.inputs[select.dataset.input]?.enum || [];
    const known = new Set([...select.options].map((option) => option.value));
    choices.filter((choice) => !known.has(choice)).forEach((choice) => select.add(new Option(choice, choice)));
    [...select.options].filter((option) => option.value && choices.length && !choices.includes(option.value) && !option.selected)
      .forEach((option) => option.remove());
  }
}
readLiveChoices().catch(() => {});

