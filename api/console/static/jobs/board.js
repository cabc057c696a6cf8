// Keeps the list of jobs up to date: replaces the changed parts of rows and adds new rows.

import { onEvent } from "../live.js";
import { keepFresh, merge } from "../refresh.js";

const EVERYBODY_MS = 3000;
// Running jobs report progress all the time, and the list is large.
const PROGRESS_MS = 3000;

function apply(fresh) {
  const focused = document.activeElement?.closest(".job-row")?.id;
  merge(document.getElementById("board"), fresh);
  // If the pressed button has disappeared, the focus moves to the job itself.
  if (focused && document.activeElement === document.body) document.getElementById(focused)?.querySelector(".job-prompt")?.focus();
}

const showsEverybody = new URLSearchParams(location.search).get("who") === "all";
const isProgress = (payload) => payload.type === "preview" || (payload.type === "in_progress" && "percentage" in payload);
const refresh = keepFresh({
  part: "board",
  id: "board",
  apply,
  wants: (payload) => !isProgress(payload),
  everyMs: showsEverybody ? EVERYBODY_MS : 0,
});
let progressTimer = 0;

function refreshLater() {
  progressTimer ||= setTimeout(() => {
    progressTimer = 0;
    refresh();
  }, PROGRESS_MS);
}

onEvent("*", (payload) => isProgress(payload) && refreshLater());
for (const select of document.querySelectorAll(".filters select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
