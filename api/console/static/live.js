// The event stream of this tab. It resumes after the last event that arrived, so none is lost while the server is
// gone or the tab is hidden.

import { leaveForSignIn } from "./http.js";

const RETRY_MS = 1000;
// Browsers allow six connections to a server, so hidden tabs give theirs back.
const HIDDEN_MS = 60_000;
const JOB_EVENTS = ["queued", "starting", "in_progress", "preview", "retried", "completed", "failed", "webhook_disabled"];

export const live = new EventTarget();
// True while the stream is open.
live.isOpen = false;

let lastId = document.documentElement.dataset.stream;
let source = null;
let hiddenTimer = 0;

// Call `listener` with the payload of each event of a type: those of jobs, or "*" for all of these, "reset" after
// events were missed, "open" and "lost" for the connection.
export function onEvent(type, listener) {
  live.addEventListener(type, (event) => listener(event.detail));
}

function announce(type, detail) {
  live.dispatchEvent(new CustomEvent(type, { detail }));
}

function receive(event) {
  lastId = event.lastEventId || lastId;
  const payload = JSON.parse(event.data);
  announce(event.type, payload);
  if (event.type !== "reset") announce("*", payload);
}

function connect() {
  if (source || (document.hidden && !hiddenTimer)) return;
  source = new EventSource(`/console/events?lastEventId=${encodeURIComponent(lastId)}`);
  source.addEventListener("open", () => {
    live.isOpen = true;
    announce("open");
  });
  source.addEventListener("error", reconnect);
  for (const type of [...JOB_EVENTS, "reset"]) source.addEventListener(type, receive);
}

function disconnect() {
  source?.close();
  source = null;
}

async function reconnect() {
  disconnect();
  const wasOpen = live.isOpen;
  if (wasOpen) {
    live.isOpen = false;
    announce("lost");
  }
  // The stream does not say why it ended: a session that has ended, or a server that is gone.
  const answer = await fetch("/api/session").catch(() => null);
  if (answer?.status === 401) return leaveForSignIn();
  setTimeout(connect, wasOpen && answer?.ok ? 0 : RETRY_MS);
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  hiddenTimer = 0;
  if (document.hidden) {
    hiddenTimer = setTimeout(() => {
      hiddenTimer = 0;
      disconnect();
    }, HIDDEN_MS);
  } else {
    connect();
  }
});
addEventListener("pagehide", disconnect);
addEventListener("pageshow", connect);
connect();
