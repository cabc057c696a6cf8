// The progress of a scan stays up to date while one runs.

import { isSame, keepFresh } from "../refresh.js";

const RUNNING_MS = 1500;
const IDLE_MS = 15_000;
// A scan that was just requested begins soon.
const REQUESTED_MS = 10_000;

function apply(fresh) {
  const scan = document.getElementById("scan");
  if (!isSame(scan, fresh)) scan.replaceWith(document.adoptNode(fresh));
}

const refresh = keepFresh({ part: "scan", id: "scan", apply, wants: () => false });
let next = performance.now() + RUNNING_MS;
const isRequested = () => new URLSearchParams(location.search).has("requested") && performance.now() < REQUESTED_MS;

setInterval(() => {
  const isRunning = document.getElementById("scan").dataset.running === "true";
  if (document.hidden || (performance.now() < next && !isRunning && !isRequested())) return;
  next = performance.now() + IDLE_MS;
  refresh();
}, RUNNING_MS);
