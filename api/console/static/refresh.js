// Keeps a part of a page up to date: fetches it again after events, at most once a second, and replaces what differs.

import { onEvent } from "./live.js";

const MIN_INTERVAL_MS = 1000;

// `part` is the parameter by which the server sends only this part; `apply` gets it as an element. `wants` says whether
// an event concerns the page. With `everyMs` the part is fetched at that pace as well, for what this tab has no events of.
// Returns the function that has it fetched.
export function keepFresh({ part, id, apply, wants = () => true, everyMs = 0 }) {
  let timer = 0;
  let last = performance.now();

  async function refresh() {
    timer = 0;
    last = performance.now();
    const address = new URL(location.href);
    address.searchParams.set("part", part);
    const answer = await fetch(address).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
    if (parsed) apply(parsed);
  }

  function schedule() {
    if (!timer) timer = setTimeout(refresh, Math.max(0, MIN_INTERVAL_MS - (performance.now() - last)));
  }

  onEvent("*", (payload) => wants(payload) && schedule());
  onEvent("reset", schedule);
  // What happened while the server was gone.
  onEvent("open", schedule);
  if (everyMs) setInterval(() => document.hidden || schedule(), everyMs);
  return schedule;
}

// Whether two elements are the same but for the words of relative times, which change all the time.
export function isSame(first, second) {
  return normalized(first) === normalized(second);
}

function normalized(element) {
  return element.outerHTML.replace(/(<time[^>]*>)[^<]*/g, "$1");
}
