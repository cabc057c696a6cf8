// The list of jobs stays up to date: rows that have changed are replaced, new ones are added, others are left alone.

import { onEvent } from "../live.js";
import { isSame, keepFresh } from "../refresh.js";

const EVERYBODY_MS = 3000;
// Running jobs report progress all the time, and the list is large.
const PROGRESS_MS = 3000;

function replaceRows(list, fresh) {
  const focused = document.activeElement?.closest(".job-row")?.id;
  let place = list.firstElementChild;
  for (const row of [...fresh.children]) {
    const present = document.getElementById(row.id);
    if (present && isSame(present, row)) {
      if (present === place) place = place.nextElementSibling;
      else list.insertBefore(present, place);
    } else {
      if (present === place && place) place = place.nextElementSibling;
      present?.remove();
      list.insertBefore(document.adoptNode(row), place);
    }
  }
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
  // The button that was pressed is gone with its row: the next thing to use there is the job itself.
  if (focused && document.activeElement === document.body) document.getElementById(focused)?.querySelector(".job-prompt")?.focus();
}

function apply(fresh) {
  const board = document.getElementById("board");
  const [list, freshList] = [board, fresh].map((element) => element.querySelector(".job-list"));
  if (list && freshList) replaceRows(list, freshList);
  else if (!isSame(board, fresh)) board.replaceWith(document.adoptNode(fresh));
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
