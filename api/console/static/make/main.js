// The Make section: submitting the form, showing a job, and the address that names it.

import { ApiError, callUntilAnswered, newKey } from "../http.js";
import { notify, reportError } from "../notices.js";
import { checkForm, clearErrors, drawSeed, fillForm, form, isPicture, pictureOf, readForm, rememberPrompt, showErrors, site } from "./form.js";
import { cancelAll, cancelJob, fetchJob, getJob, listJobs, onChange, putJob } from "./jobs.js";
import "./loras.js";
import { expand, replacesPrompt, valueOf } from "./many.js";
import { buildCard, forgetCards, markCurrent, showReel } from "./reel.js";
import { clearStage, shownJob, showJob } from "./stage.js";
import { canCompare, openCompare, openZoom } from "./viewer.js";

const table = document.getElementById("table");
const submitButton = document.getElementById("submit");
const tools = document.getElementById("tools");
const help = document.getElementById("submit-help");
// How long requests are repeated while the server answers that it is not available.
const UNAVAILABLE_TIMEOUT_MS = 60_000;

// The address

function visit(query) {
  history.pushState(null, "", `/console/make?${query}`);
  showAddress();
}

async function showAddress() {
  const query = new URLSearchParams(location.search);
  const ids = (query.get("of") || "").split(",").filter(Boolean);
  const id = query.get("job") || ids[0];
  table.hidden = !ids.length;
  if (ids.length) await showTable(query.get("x"), query.get("y"), ids);
  if (!id) {
    const newest = listJobs()[0];
    if (newest) showJob(newest);
    else clearStage();
    return;
  }
  try {
    showJob(getJob(id) || (await fetchJob(id)));
  } catch (error) {
    reportError(error);
  }
}

addEventListener("popstate", showAddress);
document.addEventListener("click", (event) => {
  const card = event.target.closest("a.card");
  if (!card || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  const query = new URLSearchParams(table.contains(card) ? location.search : "");
  query.set("job", card.dataset.job);
  visit(query);
});

// A table: rows and columns are read from the jobs themselves.

async function showTable(x, y, ids) {
  const jobs = (await Promise.all(ids.map((id) => getJob(id) || fetchJob(id).catch(() => null)))).filter(Boolean);
  const key = JSON.stringify(ids);
  if (table.dataset.of === key) return;
  table.dataset.of = key;
  const unique = (name) => [...new Map(jobs.map((job) => [String(valueOf(job, name)), valueOf(job, name)])).values()];
  const [columns, rows] = [unique(x), unique(y)];
  const element = document.createElement("table");
  const head = element.createTHead().insertRow();
  head.append(buildHeader(`${y} by ${x}`), ...columns.map((column) => buildHeader(column)));
  const body = element.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    line.append(buildHeader(row));
    for (const column of columns) {
      const job = jobs.find((each) => String(valueOf(each, x)) === String(column) && String(valueOf(each, y)) === String(row));
      const cell = line.insertCell();
      if (job) cell.append(buildCard(job));
    }
  }
  forgetCards(table);
  table.replaceChildren(element);
}

function buildHeader(value) {
  const header = document.createElement("th");
  header.textContent = String(value ?? "");
  return header;
}

// Submitting

let isSubmitting = false;

// One submission at a time. The buttons keep the focus, so they are not disabled for the browser.
async function submitOnce(work) {
  if (isSubmitting) return;
  isSubmitting = true;
  const buttons = [submitButton, ...tools.querySelectorAll("[data-tool=again], [data-tool=reseed]")];
  buttons.forEach((button) => button.setAttribute("aria-disabled", "true"));
  try {
    await work();
  } finally {
    isSubmitting = false;
    buttons.forEach((button) => button.removeAttribute("aria-disabled"));
  }
}

// A double click, or a key held down, must create one job: the first may be accepted before the second press.
const isRepetition = (event) => event.detail > 1 || event.repeat;

function showWaiting() {
  help.textContent = "Waiting for Darkroom…";
}

async function submit({ request, files }) {
  const headers = { "Idempotency-Key": newKey() };
  let body = request;
  if (Object.keys(files).length) {
    body = new FormData();
    body.set("prompt", request.prompt);
    body.set("site", request.site);
    if (request.lora) body.set("lora", request.lora);
    body.set("inputs", JSON.stringify(request.inputs));
    for (const [name, file] of Object.entries(files)) body.set(name, file);
  }
  // The same key: a repeated request makes no second job.
  return putJob(await callUntilAnswered("POST", "/api/v1/jobs", { body, headers, onWait: showWaiting, timeoutMs: UNAVAILABLE_TIMEOUT_MS }));
}

async function submitForm() {
  const { request, files } = readForm();
  clearErrors();
  let expanded;
  try {
    expanded = expand(request);
  } catch (error) {
    document.getElementById("many").open = true;
    return notify(error.message, { kind: "warning" });
  }
  if (!replacesPrompt() && !checkForm()) return;
  const jobs = [];
  try {
    for (const each of expanded.requests) {
      help.textContent = expanded.requests.length > 1 ? `Submitting ${jobs.length + 1} of ${expanded.requests.length}` : "";
      const job = await submit({ request: each, files });
      rememberPrompt(job.prompt);
      jobs.push(job);
      if (jobs.length === 1) {
        visit(new URLSearchParams({ job: job.id }));
        showStage();
      }
    }
  } catch (error) {
    reportSubmission(error);
  }
  help.textContent = jobs.length > 1 ? `${jobs.length} jobs submitted.` : "";
  if (expanded.axes && jobs.length) visit(new URLSearchParams({ ...expanded.axes, of: jobs.map((job) => job.id).join(",") }));
}

// In a narrow window the stage is below the form.
function showStage() {
  const box = document.getElementById("frame").getBoundingClientRect();
  if (box.top > innerHeight * 0.6) document.querySelector(".stage").scrollIntoView({ behavior: "smooth" });
}

function reportSubmission(error) {
  const isInvalid = error instanceof ApiError && error.status === 400;
  const rest = isInvalid ? showErrors(error.message) : null;
  if (rest) notify(rest, { kind: "bad" });
  else if (rest === null) reportError(error);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submitOnce(submitForm);
});
submitButton.addEventListener("click", (event) => isRepetition(event) && event.preventDefault());
form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  const isCommand = event.ctrlKey || event.metaKey;
  if (isRepetition(event)) {
    if (isCommand || !event.target.matches("textarea")) event.preventDefault();
  } else if (isCommand) form.requestSubmit();
});

// Actions for the job on the stage

async function repeat(job, changes = {}) {
  try {
    const again = await submit(requestOf(job, changes));
    visit(new URLSearchParams({ job: again.id }));
  } finally {
    help.textContent = "";
  }
}

// Pictures are named by the job that has them: the server keeps them as long as the job.
function requestOf(job, changes) {
  const known = Object.entries({ ...job.inputs, ...changes }).filter(([, value]) => value !== null);
  const inputs = Object.fromEntries(known.map(([name, value]) => [name, isPicture(value) ? pictureOf(job.id, name) : value]));
  return { request: { prompt: job.prompt, site: job.site, ...(job.lora ? { lora: job.lora } : {}), inputs }, files: {} };
}

const TOOLS = {
  cancel: (job) => cancelJob(job.id),
  zoom: openZoom,
  compare: () => (canCompare() ? openCompare() : notify("Make a second picture; then the two can be compared.")),
  again: (job) => submitOnce(() => repeat(job)),
  reseed: (job) => submitOnce(() => repeat(job, { seed: drawSeed() })),
  change: (job) => {
    if (job.site === site) fillForm(job);
    else location.assign(`/console/make?from=${job.id}`);
  },
};

tools.addEventListener("click", async (event) => {
  const tool = TOOLS[event.target.closest("[data-tool]")?.dataset.tool];
  if (isRepetition(event)) return;
  try {
    await tool?.(shownJob());
  } catch (error) {
    reportError(error);
  }
});
document.getElementById("frame").addEventListener("click", (event) => {
  if (event.target.matches("img.is-result")) openZoom();
});
document.getElementById("cancel-all").addEventListener("click", () => {
  const open = listJobs().filter((job) => !["COMPLETED", "FAILED"].includes(job.status)).length;
  if (confirm(`Cancel ${open} jobs that have not ended?`)) cancelAll().catch(reportError);
});

// The start

const read = (id) => JSON.parse(document.getElementById(id).textContent);
read("jobs").forEach((job) => putJob(job, { quiet: true }));
const shown = read("shown");
if (shown) putJob(shown, { quiet: true });
showReel();
showAddress();
// On a page that has nothing yet, the first picture is shown as soon as it begins, wherever it was submitted.
onChange((job) => {
  if (!shownJob()) showJob(job);
  markCurrent(shownJob().id);
});
document.documentElement.dataset.ready = "";
