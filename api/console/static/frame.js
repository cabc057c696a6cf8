// What every page has: the event stream, and the bar that says that the server does not answer.

import { live, onEvent } from "./live.js";

// A stream that is renewed must not be reported.
const PATIENCE_MS = 1500;

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
