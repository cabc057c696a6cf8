// The stage: the picture of one job, its state, and its actions.

import { isFinal, onChange, pathOf, previewOf } from "./jobs.js";
import { describe, markCurrent } from "./reel.js";

const frame = document.getElementById("frame");
const state = document.getElementById("state");
const estimate = document.getElementById("estimate");
const progress = document.getElementById("progress");
const failure = document.getElementById("failure");
const caption = document.getElementById("caption");
const tools = document.getElementById("tools");
const numbers = document.getElementById("numbers");
const TOOLS_OF_RESULT = ["zoom", "compare", "download", "keep"];
const TOOLS_OF_PICTURE = ["zoom", "compare"];

let current = null;
let number = 1;
// The URL of the newest picture to show; an older one that loads later is dropped.
let wanted = "";

export const shownJob = () => current;
export const shownNumber = () => number;
export const resultUrl = (job, which = 1) => pathOf(job.results[which - 1].url);

export function showJob(job, which = 1) {
  const isOther = job.id !== current?.id;
  current = job;
  number = Math.min(which, Math.max(1, job.results?.length || 1));
  if (isOther) {
    wanted = "";
    document.getElementById("stage-empty").hidden = true;
  }
  showPicture(job, isOther);
  showState(job);
  showNumbers(job);
  caption.textContent = [job.prompt, job.lora].filter(Boolean).join(" · ");
  tools.hidden = false;
  for (const tool of tools.children) {
    const name = tool.dataset.tool;
    if (name === "cancel") tool.hidden = isFinal(job);
    else if (TOOLS_OF_RESULT.includes(name)) tool.hidden = job.status !== "COMPLETED" || (TOOLS_OF_PICTURE.includes(name) && isVideo(job));
    else tool.hidden = !isFinal(job);
    if (name === "keep") tool.href = `/console/jobs/${job.id}#keep`;
    if (name === "download" && job.status === "COMPLETED") {
      tool.href = resultUrl(job, number);
      tool.download = `${job.prompt.replace(/[^\p{L}\p{N}]+/gu, " ").trim().slice(0, 60) || job.id}.${job.results[number - 1].type.split("/")[1]}`;
    }
  }
  markCurrent(job.id);
}

export function clearStage() {
  current = null;
  wanted = "";
  frame.querySelectorAll(":scope > :not(#stage-empty)").forEach((part) => part.remove());
  document.getElementById("stage-empty").hidden = false;
  for (const part of [state, tools, numbers, failure]) part.hidden = true;
  estimate.textContent = caption.textContent = "";
  document.getElementById("exposure").classList.remove("is-running");
  markCurrent("");
}

const isVideo = (job) => job.results?.[0]?.type.startsWith("video/");

function showPicture(job, isOther) {
  if (job.status === "COMPLETED") {
    if (isVideo(job)) return showVideo(job);
    return load(resultUrl(job, number), job, "is-result");
  }
  const preview = previewOf(job);
  if (preview) return load(preview, job, "is-preview");
  if (isOther || isFinal(job) || !frame.querySelector("img")) showWaiting(job);
}

// The picture replaces the previous one only once it is decoded, in a frame of fixed size: nothing moves or flickers.
async function load(url, job, kind) {
  if (wanted === url) return;
  wanted = url;
  const image = new Image();
  image.className = kind;
  image.alt = kind === "is-preview" ? `Preview of: ${job.prompt}` : job.prompt;
  image.src = url;
  try {
    await image.decode();
  } catch {
    if (wanted === url && kind === "is-result") showGone();
    return;
  }
  if (wanted === url) put(image);
}

function put(element) {
  frame.querySelectorAll(":scope > :not(#stage-empty)").forEach((part) => part.remove());
  frame.append(element);
}

function showWaiting(job) {
  wanted = "";
  const text = document.createElement("p");
  text.className = `waiting ${isFinal(job) ? "is-still" : ""}`;
  text.textContent = isFinal(job) ? "No picture" : job.status === "QUEUED" ? "Waiting for its turn" : "The page is being prepared";
  put(text);
}

function showGone() {
  const text = document.createElement("p");
  text.className = "waiting is-still";
  text.textContent = "This picture is no longer kept.";
  put(text);
}

function showVideo(job) {
  const url = resultUrl(job, number);
  if (wanted === url) return;
  wanted = url;
  const video = document.createElement("video");
  Object.assign(video, { src: url, controls: true, loop: true, muted: true, playsInline: true });
  video.setAttribute("aria-label", job.prompt);
  put(video);
}

function showState(job) {
  const isRunning = !isFinal(job);
  const isBad = job.status === "FAILED" && job.error?.code !== "cancelled";
  state.hidden = false;
  state.className = `state ${isRunning ? "is-active" : job.status === "COMPLETED" ? "is-good" : isBad ? "is-bad" : ""}`;
  state.textContent = job.status === "COMPLETED" ? "Finished" : job.cancelRequestedAt && isRunning ? "Being cancelled" : wordOf(job);
  const text = isRunning ? describeEstimate(job) : describeResult(job);
  if (estimate.textContent !== text) estimate.textContent = text;
  const percentage = job.progress?.percentage;
  document.getElementById("exposure").classList.toggle("is-running", isRunning);
  if (percentage === undefined || percentage === null) progress.value = 0;
  else progress.value = percentage;
  failure.hidden = !isBad;
  failure.textContent = isBad ? [job.error.message, job.error.hint].filter(Boolean).join(" ") : "";
}

const wordOf = (job) => (job.status === "QUEUED" ? "Queued" : job.status === "FAILED" ? describe(job) : job.status === "STARTING" ? "Starting" : "In progress");

function describeEstimate(job) {
  if (job.waitingFor) return job.waitingFor.message;
  const parts = [];
  if (job.status === "QUEUED" && job.position) parts.push(job.position === 1 ? "Next in the queue" : `Number ${job.position} in the queue`);
  if (job.progress?.steps) parts.push(`step ${job.progress.step} of ${job.progress.steps}`);
  if (job.status === "QUEUED" && job.etaSeconds !== null && job.etaSeconds !== undefined) parts.push(`about ${describeSeconds(job.etaSeconds)} to go`);
  if (job.attempt > 1) parts.push(`attempt ${job.attempt}`);
  return parts.join(", ");
}

export function describeSeconds(seconds) {
  if (seconds < 1.5) return "a second";
  if (seconds < 90) return `${Math.round(seconds)} seconds`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} minutes` : `${Math.round(seconds / 3600)} hours`;
}

function describeResult(job) {
  const result = job.results?.[number - 1];
  if (!result) return "";
  const seconds = job.finishedAt ? (Date.parse(job.finishedAt) || job.finishedAt) - (Date.parse(job.startTime) || job.startTime) : 0;
  const parts = [`${result.width} × ${result.height}`, `${Math.max(1, Math.round(result.sizeBytes / 1000))} kB`];
  if (job.inputs.seed !== undefined) parts.push(`seed ${job.inputs.seed}`);
  if (seconds > 0) parts.push(`${(seconds / 1000).toFixed(1)} s`);
  if (result.lossy) parts.push("a screenshot");
  return parts.join(" · ");
}

function showNumbers(job) {
  const count = job.status === "COMPLETED" ? job.results.length : 0;
  numbers.hidden = count < 2;
  if (numbers.dataset.of !== `${job.id}/${count}`) {
    numbers.dataset.of = `${job.id}/${count}`;
    numbers.replaceChildren(...Array.from({ length: count }, (_, index) => buildNumber(job, index + 1)));
  }
  [...numbers.children].forEach((button, index) => button.setAttribute("aria-pressed", String(index + 1 === number)));
}

function buildNumber(job, which) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-label", `Picture ${which}`);
  const image = new Image();
  image.alt = "";
  image.loading = "lazy";
  image.src = resultUrl(job, which);
  button.append(image);
  button.addEventListener("click", () => showJob(current, which));
  return button;
}

onChange((job) => {
  if (job.id === current?.id) showJob(job, number);
});
