// The progress of a scan stays up to date while one runs.

import { isSame, keepFresh } from "../refresh.js";

const INTERVAL_MS = 1500;

function apply(fresh) {
  const scan = document.getElementById("scan");
  if (!isSame(scan, fresh)) scan.replaceWith(document.adoptNode(fresh));
}

keepFresh({ part: "scan", id: "scan", apply, wants: () => false, everyMs: INTERVAL_MS });
