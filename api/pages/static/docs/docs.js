// Makes every operation of the page a form: its request goes with the reader's session or the entered key.

import { buildForm, readRequest } from "./request_form.js";
import { showResult } from "./result.js";

const base = new URL(".", document.baseURI);
const credential = document.getElementById("credential");
const keyField = document.getElementById("key");
const description = fetch(new URL("openapi.json", base)).then((answer) => answer.json());

credential.hidden = false;
credential.addEventListener("submit", (event) => event.preventDefault());
reportSession();
for (const details of document.querySelectorAll(".operation")) {
  details.addEventListener("toggle", () => open(details));
  if (details.open) open(details);
}
addEventListener("hashchange", openTarget);
openTarget();

// Open the operation or the fields that the address names.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.matches("details")) target.open = true;
}

async function reportSession() {
  const line = document.getElementById("session");
  const answer = await fetch(new URL("api/session", base)).catch(() => null);
  if (answer?.ok) {
    const session = await answer.json();
    line.textContent = `Signed in as ${session.name} (${session.scopes.join(", ")}).`;
    return;
  }
  const link = document.createElement("a");
  link.href = new URL(`console/sign-in?next=${encodeURIComponent(location.pathname)}`, base);
  link.textContent = "Sign in";
  line.replaceChildren("Not signed in. ", link, ", or enter a key, to try operations that need one.");
}

async function open(details) {
  const place = details.querySelector(".try");
  if (!details.open || place.hasChildNodes()) return;
  const form = document.createElement("form");
  place.append(form);
  const document_ = await description;
  const shared = document_.paths[details.dataset.path];
  const operation = shared[details.dataset.method.toLowerCase()];
  const parameters = [...(shared.parameters ?? []), ...(operation.parameters ?? [])];
  buildForm(form, { ...operation, parameters }, document_);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, details.dataset, operation);
  });
}

async function send(form, { method, path }, operation) {
  const result = form.querySelector(".result");
  const controller = new AbortController();
  form.querySelector(".stop").onclick = () => controller.abort();
  let request;
  try {
    request = readRequest(form, method, path);
  } catch (error) {
    showProblem(result, error.message);
    return;
  }
  const key = keyField.value.trim();
  const headers = key ? { ...request.headers, "x-api-key": key } : request.headers;
  // With a key, do not send the session cookie, so that the key decides the caller.
  const options = { method, headers, body: request.body, credentials: key ? "omit" : "same-origin", cache: "no-store" };
  form.setAttribute("aria-busy", "true");
  try {
    const began = performance.now();
    const answer = await fetch(new URL(request.path, base), { ...options, signal: controller.signal });
    await showResult(result, answer, Math.round(performance.now() - began), operation);
  } catch (error) {
    if (error.name !== "AbortError") showProblem(result, `No answer: ${error.message}`);
  } finally {
    form.removeAttribute("aria-busy");
  }
}

function showProblem(result, message) {
  const line = document.createElement("p");
  line.className = "bad";
  line.textContent = message;
  result.replaceChildren(line);
}
