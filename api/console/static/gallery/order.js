// Pictures of a collection are put in order by dragging. The order on the page changes when the server has changed it.

import { call } from "../http.js";
import { notify } from "../notices.js";

const list = document.querySelector("[data-order]");
let dragged = null;

function markTarget(item) {
  for (const each of list.querySelectorAll("[data-token]")) each.classList.toggle("is-target", each === item && each !== dragged);
}

async function moveBefore(item, target) {
  const before = target?.dataset.token;
  try {
    await call("POST", `/api/v1/gallery/tokens/${item.dataset.token}/move`, { body: before ? { before } : {} });
  } catch (error) {
    notify([error.message, error.hint].filter(Boolean).join(" "), { kind: "bad" });
    return;
  }
  // The buttons name neighbours, so the page is read again.
  location.replace(`${location.pathname}${location.search}#${item.id}`);
  location.reload();
}

list?.addEventListener("dragstart", (event) => {
  dragged = event.target.closest("[data-token]");
  if (!dragged) return;
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.dataset.token);
  dragged.classList.add("is-dragged");
});

list?.addEventListener("dragover", (event) => {
  if (!dragged) return;
  event.preventDefault();
  markTarget(event.target.closest("[data-token]"));
});

list?.addEventListener("drop", (event) => {
  if (!dragged) return;
  event.preventDefault();
  const target = event.target.closest("[data-token]");
  if (target !== dragged) moveBefore(dragged, target);
});

list?.addEventListener("dragend", () => {
  dragged?.classList.remove("is-dragged");
  dragged = null;
  markTarget(null);
});
