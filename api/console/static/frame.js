// What every page has: the event stream, the bar that says that the server does not answer, ages that grow, and forms
// that are sent once.

import { describeAge } from "./ages.js";
import { newKey } from "./http.js";
import { live, onEvent } from "./live.js";

// A stream that is renewed must not be reported.
const PATIENCE_MS = 1500;
const AGES_MS = 30_000;
// The browser has long left the page by then, unless its request was stopped.
const RESEND_MS = 10_000;

const bar = document.getElementById("connection");
let timer = 0;

function watch() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    bar.hidden = live.isOpen;
  }, PATIENCE_MS);
}

onEvent("open", () => {
  clearTimeout(timer);
  bar.hidden = true;
});
onEvent("lost", watch);
watch();

// In a narrow window the navigation scrolls: show its current entry.
document.querySelector(".rail nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// How far this machine's clock is ahead of the server's, which rendered the ages on the page.
const aheadMs = Date.now() - Number(document.documentElement.dataset.now);

function showAges() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[datetime]")) {
    const words = describeAge((Date.now() - aheadMs - Date.parse(element.dateTime)) / 1000);
    if (element.textContent !== words) element.textContent = words;
  }
}

setInterval(showAges, AGES_MS);
document.addEventListener("visibilitychange", showAges);

// A form is sent once, however often its button is pressed; a field `intent` is the key of that press. The button keeps
// the focus, so it is not disabled for the browser. If the browser was told to stop, the form is sent again with its key.
// Kept here and not in the page, parts of which are replaced (refresh.js) while a slow request is pending.
let presses = new WeakMap();

addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.getAttribute("method") !== "post") return;
  const now = performance.now();
  const press = presses.get(form) ?? { key: newKey(), sent: -RESEND_MS };
  if (now - press.sent < RESEND_MS) {
    event.preventDefault();
    return;
  }
  press.sent = now;
  presses.set(form, press);
  event.submitter?.setAttribute("aria-disabled", "true");
  const intent = form.querySelector("input[name=intent]");
  if (intent) intent.value = press.key;
});
// Whoever comes back to a page that the browser has kept presses anew.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of document.forms) {
    if (presses.has(form)) form.querySelectorAll("[aria-disabled]").forEach((button) => button.removeAttribute("aria-disabled"));
  }
  presses = new WeakMap();
});
