// Keeps a part of a page up to date: fetches it again after events, at most once a second, and replaces what differs.

import { onEvent } from "./live.js";

const MIN_INTERVAL_MS = 1000;
const RETRY_MS = 2000;
// Nothing is fetched while a request is pending, so a request without an answer times out.
const TIMEOUT_MS = 30_000;
const TOO_MANY_REQUESTS = 429;

// `part` is the parameter by which the server sends only this part; `apply` gets it as an element. `wants` says whether
// an event concerns the page. With `everyMs` the part is also fetched at that interval, for changes without events.
// Returns the function that requests a fetch.
export function keepFresh({ part, id, apply, wants = () => true, everyMs = 0 }) {
  let timer = 0;
  let isFetching = false;
  let isStale = false;
  let notBefore = performance.now() + MIN_INTERVAL_MS;

  async function refresh() {
    timer = 0;
    isFetching = true;
    isStale = false;
    notBefore = performance.now() + MIN_INTERVAL_MS;
    const answer = await fetchPart(part).catch(() => null);
    isFetching = false;
    if (!answer || isTemporary(answer.status)) {
      notBefore = performance.now() + Math.max(RETRY_MS, 1000 * answer?.retryAfterS || 0);
      isStale = true;
    }
    // The answer may lack changes that happened while it was sent.
    if (isStale) schedule();
    const fresh = answer?.html && new DOMParser().parseFromString(answer.html, "text/html").getElementById(id);
    if (fresh) apply(fresh);
  }

  function schedule() {
    if (isFetching) isStale = true;
    else if (!timer) timer = setTimeout(refresh, Math.max(0, notBefore - performance.now()));
  }

  onEvent("*", (payload) => wants(payload) && schedule());
  onEvent("reset", schedule);
  // Catch up on changes that happened while the server was gone.
  onEvent("open", schedule);
  if (everyMs) setInterval(() => document.hidden || schedule(), everyMs);
  return schedule;
}

async function fetchPart(part) {
  const address = new URL(location.href);
  address.searchParams.set("part", part);
  const answer = await fetch(address, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const html = await answer.text();
  return {
    status: answer.status,
    retryAfterS: Number(answer.headers.get("Retry-After")),
    html: answer.ok && !answer.redirected ? html : "",
  };
}

const isTemporary = (status) => status === TOO_MANY_REQUESTS || status >= 500;

// Whether two elements are equal except for the texts of relative times, which change all the time.
export function isSame(first, second) {
  return normalized(first) === normalized(second);
}

function normalized(element) {
  return element.outerHTML.replace(/(<time[^>]*>)[^<]*/g, "$1");
}

// Make `present` equal to `fresh`. Elements for the same thing are kept, and with them the focus and a press that has
// begun; what differs in them changes.
export function merge(present, fresh) {
  if (!(present instanceof Element)) {
    if (present.data !== fresh.data) present.data = fresh.data;
    return;
  }
  if (isSame(present, fresh)) return;
  mergeAttributes(present, fresh);
  let place = present.firstChild;
  for (const node of [...fresh.childNodes]) {
    const match = findMatch(place, node);
    if (match) {
      while (place !== match) place = removeAndNext(place);
      merge(match, node);
      place = match.nextSibling;
    } else {
      present.insertBefore(document.adoptNode(node), place);
    }
  }
  while (place) place = removeAndNext(place);
}

// Return the element for the same thing as `node`: the child `place` or, for an element, one that follows it.
function findMatch(place, node) {
  let match = place;
  while (match && node instanceof Element && !standsForSame(match, node)) match = match.nextSibling;
  return match && standsForSame(match, node) ? match : null;
}

// Elements that the reader has opened stay open, and buttons that were pressed stay so (frame.js).
const KEPT = ["open", "aria-disabled"];

function mergeAttributes(present, fresh) {
  for (const { name } of [...present.attributes]) {
    if (!fresh.hasAttribute(name) && !KEPT.includes(name)) present.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (present.getAttribute(name) !== value) present.setAttribute(name, value);
  }
}

// A button or a link must not change its action while it is being pressed.
const IDENTIFYING = ["id", "action", "href"];

function standsForSame(first, second) {
  if (first.nodeName !== second.nodeName) return false;
  return !(first instanceof Element) || IDENTIFYING.every((name) => first.getAttribute(name) === second.getAttribute(name));
}

function removeAndNext(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}
