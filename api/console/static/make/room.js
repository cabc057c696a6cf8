// The room Make: submitting the form, showing a job, and the address that names it.

import { ApiError, call, callUntilAnswered } from "../http.js";
import { notify, reportError } from "../notices.js";
import { checkForm, clearErrors, drawSeed, fillForm, form, readForm, rememberPrompt, showErrors, site } from "./form.js";
import { cancelAll, cancelJob, fetchJob, getJob, listJobs, onChange, putJob } from "./jobs.js";
import "./loras.js";
import { expand, replacesPrompt, valueOf } from "./many.js";
import { buildCard, forgetCards, markCurrent, showReel } from "./reel.js";
import { clearStage, shownJob, showJob } from "./stage.js";
import { canCompare, openCompare, openZoom } from "./viewer.js";

const table = document.getElementById("table");
const submitButton = document.getElementById("submit");
const help = document.getElementById("submit-help");
// A server that says that it is not available is asked for so long.
const PATIENCE_MS = 60_000;

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

// One submission at a time: whoever presses twice wants one job. The button keeps the focus, so it is not disabled.
async function submitOnce(work) {
  if (isSubmitting) return;
  isSubmitting = true;
  submitButton.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    isSubmitting = false;
    submitButton.removeAttribute("aria-disabled");
  }
}

function showWaiting() {
  help.textContent = "Waiting for Darkroom…";
}

async function submit({ request, files }) {
  const headers = { "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()).slice(2) + Date.now() };
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
  return putJob(await callUntilAnswered("POST", "/api/v1/jobs", { body, headers, onWait: showWaiting, patienceMs: PATIENCE_MS }));
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
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

// What can be done with the job on the stage

async function repeat(job, changes = {}) {
  try {
    const again = await (hasPictures(job) ? resubmit(job, changes) : submit(requestOf(job, changes)));
    visit(new URLSearchParams({ job: again.id }));
  } finally {
    help.textContent = "";
  }
}

const hasPictures = (job) => Object.values(job.inputs).some((value) => value && typeof value === "object");

function requestOf(job, changes) {
  const inputs = Object.fromEntries(Object.entries({ ...job.inputs, ...changes }).filter(([, value]) => value !== null));
  return { request: { prompt: job.prompt, site: job.site, ...(job.lora ? { lora: job.lora } : {}), inputs }, files: {} };
}

// The server has the pictures of the job's inputs, and this page has not.
async function resubmit(job, changes) {
  const body = Object.keys(changes).length ? new FormData() : undefined;
  for (const [name, value] of Object.entries(changes)) body.set(name, value);
  const answer = await call("POST", `/console/jobs/${job.id}/retry`, { body, response: "raw" });
  return fetchJob(answer.url.split("/").pop());
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

document.getElementById("tools").addEventListener("click", async (event) => {
  const tool = TOOLS[event.target.closest("[data-tool]")?.dataset.tool];
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
