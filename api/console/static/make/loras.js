// The picker of LoRAs: those of the site and of the library, with their pictures.

import { call } from "../http.js";
import { setLora, site } from "./form.js";

const PAUSE_MS = 200;
const AGAIN_MS = 2000;

const dialog = document.getElementById("loras");
const query = document.getElementById("lora-query");
const grid = document.getElementById("lora-grid");
const status = document.getElementById("lora-status");
let pending = null;
let timer = 0;

async function search() {
  pending?.abort();
  pending = new AbortController();
  const parameters = new URLSearchParams({ site, query: query.value.trim() });
  status.textContent = "Searching…";
  try {
    const found = await call("GET", `/console/make/loras?${parameters}`, { signal: pending.signal, headers: { Accept: "application/json" } });
    show(found);
  } catch (error) {
    if (error.name === "AbortError") return;
    status.textContent = error.status === 503 ? `${error.message} Trying again.` : [error.message, error.hint].filter(Boolean).join(" ");
    if (error.status === 503 && dialog.open) timer = setTimeout(search, AGAIN_MS);
  }
}

function show({ loras, isComplete }) {
  grid.replaceChildren(...loras.map(buildCard));
  const count = loras.length === 1 ? "1 style" : `${loras.length} styles`;
  status.textContent = loras.length
    ? `${count}${isComplete ? "" : "; the site has not answered, so its own LoRAs may be missing"}.`
    : query.value.trim() ? "Nothing found. Try other words, or fewer." : "Type a word, such as oil, to search.";
}

function buildCard(lora) {
  const card = document.getElementById("lora-card").content.cloneNode(true);
  const button = card.querySelector("button");
  const picture = card.querySelector(".lora-picture");
  card.querySelector(".lora-name").textContent = lora.name;
  card.querySelector(".lora-source").textContent = [lora.source === "library" ? "Library" : "Site", ...(lora.tags || []).slice(0, 3)].join(" · ");
  if (lora.image) {
    const image = new Image();
    image.loading = "lazy";
    image.alt = "";
    image.src = lora.image;
    picture.append(image);
  } else {
    picture.textContent = lora.name.slice(0, 1);
    picture.setAttribute("aria-hidden", "true");
  }
  button.addEventListener("click", () => {
    setLora(lora.name);
    dialog.close();
  });
  return card;
}

document.getElementById("choose-lora")?.addEventListener("click", () => {
  dialog.showModal();
  query.focus();
  search();
});
document.querySelector("#lora-chip button")?.addEventListener("click", () => {
  setLora("");
  document.getElementById("choose-lora").focus();
});
query.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(search, PAUSE_MS);
});
