// The page of a model: edits can be undone. Without this script edits are forms.

import { call } from "../http.js";
import { notify, reportError } from "../notices.js";

const id = document.getElementById("model").dataset.id;

const WHOLE_NUMBER = /^[+-]?\d+$/;

// Parse a form as `parse_change` on the server does; throws an Error that says what is wrong.
function parse(form, text) {
  if (form.dataset.kind === "items") return text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (form.dataset.kind !== "number") return text;
  if (!WHOLE_NUMBER.test(text.trim())) throw new Error(`${form.querySelector("label").textContent}: A whole number is needed.`);
  return Number(text);
}

async function change(body) {
  await call("PATCH", `/api/v1/models/${id}`, { body });
}

// The previous value of a field: a person's earlier edit, or null for the value from the files.
function previous(form) {
  const control = form.querySelector("[name=value]");
  return form.dataset.edited === "true" ? parse(form, control.defaultValue) : null;
}

// Show one field with its new source, as the server renders it. The other fields may have text that is not saved yet.
async function showField(field) {
  const answer = await fetch(location.pathname);
  if (!answer.ok) return;
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const selector of [`form[data-field="${field}"]`, "h1"]) {
    document.querySelector(selector).replaceWith(document.adoptNode(parsed.querySelector(selector)));
  }
}

async function apply(field, value) {
  await change({ [field]: value });
  await showField(field);
}

async function save(event) {
  const form = event.target.closest(".known");
  if (!form) return;
  event.preventDefault();
  const { field } = form.dataset;
  const isRevert = event.submitter?.name === "revert";
  const before = previous(form);
  try {
    await apply(field, isRevert ? null : parse(form, form.querySelector("[name=value]").value));
  } catch (error) {
    reportError(error);
    return;
  }
  document.getElementById(`field-${field}`).focus();
  notify(isRevert ? "Reverted." : "Saved.", { kind: "good", action: { label: "Undo", run: () => apply(field, before).catch(reportError) } });
}

document.addEventListener("submit", save);
