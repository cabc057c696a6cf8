// The jobs that this page knows, kept up to date by events. Changes are announced to listeners.

import { call, callUntilAnswered } from "../http.js";
import { live, onEvent } from "../live.js";

const MAX_JOBS = 200;
// Positions change when other callers' jobs end, and there is no event for that.
const QUEUE_POLL_MS = 3000;
const FINAL = ["COMPLETED", "FAILED"];

const jobs = new Map();
const listeners = new Set();
// job id -> the pending request for it
const pending = new Map();
let timer = 0;

export const isFinal = (job) => FINAL.includes(job.status);
export const listJobs = () => [...jobs.values()].sort((one, other) => other.startTime - one.startTime);
export const getJob = (id) => jobs.get(id);
// Call `listener` with each job that has changed, and whether it is new.
export const onChange = (listener) => listeners.add(listener);
// Addresses come with the server's public URL; the page may have been opened at another one.
export const pathOf = (url) => new URL(url, location.href).pathname;
export const previewOf = (job) => job.previewVersion && !isFinal(job) ? `/${job.id}.jpg?version=${job.previewVersion}` : null;

export function putJob(job, { quiet = false } = {}) {
  const known = jobs.get(job.id);
  if (known && known.seq > job.seq) return known;
  const kept = { previewVersion: known?.previewVersion || (job.previewUrl ? job.seq : 0), ...job };
  jobs.set(job.id, kept);
  if (!quiet) announce(kept, !known);
  if (jobs.size > MAX_JOBS) forgetOld(kept);
  watchQueue();
  return kept;
}

// Unfinished jobs are kept: each event of an unknown job would fetch that job.
function forgetOld(newest) {
  const old = listJobs().filter((job) => isFinal(job) && job.id !== newest.id);
  while (jobs.size > MAX_JOBS && old.length) jobs.delete(old.pop().id);
}

// `seq` is the number of the event that makes it necessary.
export async function fetchJob(id, seq = 0) {
  let job = await readJob(id);
  // A request that began before the event may have an answer from before it.
  if (job.seq < seq) job = await readJob(id);
  return putJob(job);
}

// One request at a time for each job.
function readJob(id) {
  if (!pending.has(id)) {
    pending.set(id, callUntilAnswered("GET", `/api/v1/jobs/${id}`).finally(() => pending.delete(id)));
  }
  return pending.get(id);
}

export async function cancelJob(id) {
  return putJob(await call("DELETE", `/api/v1/jobs/${id}`));
}

export async function cancelAll() {
  await call("POST", "/api/v1/jobs/cancel", { body: {} });
}

async function fetchAll() {
  const page = await callUntilAnswered("GET", "/api/v1/jobs?limit=100");
  page.jobs.forEach((job) => putJob(job));
}

function announce(job, isNew) {
  listeners.forEach((listener) => listener(job, isNew));
}

function watchQueue() {
  const isWaiting = [...jobs.values()].some((job) => job.status === "QUEUED");
  if (isWaiting && !timer) timer = setInterval(pollQueue, QUEUE_POLL_MS);
  if (!isWaiting && timer) {
    clearInterval(timer);
    timer = 0;
  }
}

async function pollQueue() {
  if (!live.isOpen || document.hidden) return;
  const page = await call("GET", "/api/v1/jobs?limit=100").catch(() => null);
  page?.jobs.filter((job) => job.status === "QUEUED").forEach((job) => putJob(job));
}

const CHANGES = {
  queued: () => ({ status: "QUEUED" }),
  starting: () => ({ status: "STARTING", position: null }),
  in_progress: (event) => ({
    status: "PENDING",
    position: null,
    ...(event.percentage === undefined
      ? {}
      : { progress: { percentage: event.percentage, step: event.currentStep + 1, steps: event.totalSteps } }),
  }),
  preview: (event) => ({ status: "PENDING", previewVersion: event.version }),
  retried: () => ({ status: "QUEUED", progress: null, previewVersion: 0 }),
  completed: (event) => ({ status: "COMPLETED", results: event.results, result: event.results[0], progress: null }),
  failed: (event) => ({ status: "FAILED", error: { code: event.code, message: event.message, hint: event.hint || "" } }),
};

onEvent("*", (event) => {
  const known = jobs.get(event.jobId);
  const change = CHANGES[event.type];
  if (!event.jobId || !change) return;
  if (!known) {
    fetchJob(event.jobId, event.seq).catch(() => {});
    return;
  }
  if (event.seq <= known.seq) return;
  const job = { ...known, ...change(event), seq: event.seq };
  jobs.set(job.id, job);
  announce(job, false);
  watchQueue();
  if (isFinal(job)) fetchJob(job.id, job.seq).catch(() => {});
});
onEvent("reset", () => fetchAll().catch(() => {}));
