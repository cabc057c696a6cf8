// The enlarged picture, and two pictures compared.

import { listJobs } from "./jobs.js";
import { resultUrl, shownJob, shownNumber } from "./stage.js";

const STEP = 1.25;
const MOST = 16;
const SHIFT_PX = 80;

const zoomDialog = document.getElementById("zoom");
const stage = zoomDialog.querySelector(".viewer-stage");
const image = stage.querySelector("img");
const output = zoomDialog.querySelector("output");
let zoom = 1;
let shift = { x: 0, y: 0 };
let isFit = true;

export function openZoom() {
  const job = shownJob();
  image.alt = job.prompt;
  image.src = resultUrl(job, shownNumber());
  zoomDialog.showModal();
  image.decode().then(fit, () => {});
  stage.focus();
}

function fitting() {
  return Math.min(stage.clientWidth / image.naturalWidth, stage.clientHeight / image.naturalHeight, MOST) || 1;
}

function fit() {
  shift = { x: 0, y: 0 };
  setZoom(fitting());
  isFit = true;
}

function setZoom(value) {
  isFit = false;
  zoom = Math.min(MOST, Math.max(Math.min(1, fitting()) / 2, value));
  apply();
}

function apply() {
  image.style.setProperty("--zoom", zoom);
  image.style.setProperty("--shift-x", `${shift.x}px`);
  image.style.setProperty("--shift-y", `${shift.y}px`);
  output.textContent = `${Math.round(zoom * 100)} %`;
}

function move(x, y) {
  shift = { x: shift.x + x, y: shift.y + y };
  apply();
}

const ACTIONS = { in: () => setZoom(zoom * STEP), out: () => setZoom(zoom / STEP), fit, full: () => setZoom(1) };
const KEYS = {
  "+": ACTIONS.in, "=": ACTIONS.in, "-": ACTIONS.out, "0": fit, "1": ACTIONS.full,
  ArrowLeft: () => move(SHIFT_PX, 0), ArrowRight: () => move(-SHIFT_PX, 0),
  ArrowUp: () => move(0, SHIFT_PX), ArrowDown: () => move(0, -SHIFT_PX),
};

zoomDialog.addEventListener("click", (event) => ACTIONS[event.target.closest("[data-zoom]")?.dataset.zoom]?.());
zoomDialog.addEventListener("keydown", (event) => {
  if (!KEYS[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  KEYS[event.key]();
});
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  setZoom(zoom * (event.deltaY < 0 ? STEP : 1 / STEP));
}, { passive: false });
stage.addEventListener("pointerdown", (event) => stage.setPointerCapture(event.pointerId));
stage.addEventListener("pointermove", (event) => {
  if (event.buttons & 1) move(event.movementX, event.movementY);
});
addEventListener("resize", () => {
  if (zoomDialog.open && isFit) fit();
});

const compareDialog = document.getElementById("compare");
const choice = document.getElementById("compare-with");
const meeting = document.getElementById("compare-at");
const side = (name) => compareDialog.querySelector(`[data-side="${name}"]`);

const comparable = (job) => listJobs().filter((each) => each.id !== job.id && each.status === "COMPLETED" && !each.results[0].type.startsWith("video/"));

export function openCompare() {
  const job = shownJob();
  const others = comparable(job);
  choice.replaceChildren(...others.map((other) => new Option(`${other.prompt.slice(0, 80)}${other.inputs.seed === undefined ? "" : ` · seed ${other.inputs.seed}`}`, other.id)));
  side("left").src = resultUrl(job, shownNumber());
  side("left").alt = `Left: ${job.prompt}`;
  showOther();
  compareDialog.showModal();
  meeting.focus();
}

export const canCompare = () => comparable(shownJob()).length > 0;

function showOther() {
  const other = listJobs().find((job) => job.id === choice.value);
  if (!other) return;
  side("right").src = resultUrl(other);
  side("right").alt = `Right: ${other.prompt}`;
}

function showMeeting() {
  compareDialog.querySelector(".compare-stage").style.setProperty("--meet", `${meeting.value}%`);
}

choice.addEventListener("change", showOther);
meeting.addEventListener("input", showMeeting);
compareDialog.querySelector(".compare-stage").addEventListener("pointermove", (event) => {
  if (event.pointerType === "touch" || event.buttons & 1) {
    const box = event.currentTarget.getBoundingClientRect();
    meeting.value = ((event.clientX - box.left) / box.width) * 100;
    showMeeting();
  }
});

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
}
