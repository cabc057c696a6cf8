// The page of a job follows the job until its end; then it is loaded once more, with all details.

import { keepFresh, merge } from "../refresh.js";

const id = location.pathname.split("/").pop();
const wasFinal = document.getElementById("live").dataset.final === "true";

function apply(fresh) {
  if (fresh.dataset.final === "true" && !wasFinal) location.reload();
  else merge(document.getElementById("live"), fresh);
}

if (!wasFinal) keepFresh({ part: "live", id: "live", apply, wants: (payload) => payload.jobId === id, everyMs: 5000 });
