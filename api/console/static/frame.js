// What every page has: the event stream, the bar that says that the server does not answer, and ages that grow.

import { describeAge } from "./ages.js";
import { live, onEvent } from "./live.js";

// A stream that is renewed must not be reported.
const PATIENCE_MS = 1500;
const AGES_MS = 30_000;

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

// In a narrow window the bar of the rooms scrolls: the present one is in sight.
document.querySelector(".rail nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// How far this machine's clock is ahead of the server's, whose words the page has come with.
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
