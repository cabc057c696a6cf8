// While a window for the login of a site is open on the machine that serves the page, the page waits for its end.

import { keepFresh } from "../refresh.js";

const OPEN = "[data-open]";

if (document.querySelector(`#login ${OPEN}`)) {
  keepFresh({
    part: "login",
    id: "login",
    wants: () => false,
    everyMs: 2000,
    apply: (fresh) => fresh.querySelector(OPEN) || location.replace(location.pathname),
  });
}
