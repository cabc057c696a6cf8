// The state of the system stays up to date.

import { isSame, keepFresh } from "../refresh.js";

const INTERVAL_MS = 5000;

function apply(fresh) {
  for (const section of fresh.querySelectorAll(":scope > section")) {
    const present = document.querySelector(`#live > section[aria-labelledby="${section.getAttribute("aria-labelledby")}"]`);
    // Do not replace a part that has the keyboard focus.
    if (present && !isSame(present, section) && !present.contains(document.activeElement)) present.replaceWith(document.adoptNode(section));
  }
}

keepFresh({ part: "live", id: "live", apply, wants: () => false, everyMs: INTERVAL_MS });
