// Cards of jobs: the latest ones, and the cells of a table. Each is a link to the address that shows the job.

import { isFinal, listJobs, onChange, previewOf } from "./jobs.js";

const MAX_CARDS = 48;
const WORDS = { QUEUED: "Queued", STARTING: "Starting", PENDING: "In progress", FAILED: "Failed" };

const reel = document.getElementById("reel");
const template = document.getElementById("card");
// job id -> the cards that show it
const cards = new Map();

export function describe(job) {
  if (job.error?.code === "cancelled") return "Cancelled";
  if (job.status === "QUEUED" && job.position) return `Number ${job.position}`;
  const percentage = job.progress?.percentage;
  if (job.status === "PENDING" && percentage !== undefined && percentage !== null) return `${Math.round(percentage)} %`;
  return WORDS[job.status] || "";
}

export function buildCard(job) {
  const card = template.content.firstElementChild.querySelector("a").cloneNode(true);
  card.href = `?job=${job.id}`;
  card.dataset.job = job.id;
  if (!cards.has(job.id)) cards.set(job.id, new Set());
  cards.get(job.id).add(card);
  update(card, job);
  return card;
}

// Forget the cards in an element that leaves the page.
export function forgetCards(element) {
  for (const card of element.querySelectorAll("a.card")) {
    const group = cards.get(card.dataset.job);
    group?.delete(card);
    if (!group?.size) cards.delete(card.dataset.job);
  }
}

function update(card, job) {
  card.className = `card ${job.status === "FAILED" ? "is-bad" : isFinal(job) ? "" : "is-active"}`;
  card.querySelector(".card-state").textContent = describe(job);
  card.setAttribute("aria-label", [job.prompt, describe(job) || "finished"].join(", "));
  const url = job.status === "COMPLETED" ? `/${job.id}.jpg` : previewOf(job);
  const picture = card.querySelector(".card-picture");
  if (!url) {
    if (!picture.querySelector("img")) picture.textContent = job.prompt.slice(0, 120);
    return;
  }
  let image = picture.querySelector("img");
  if (!image) {
    image = new Image();
    image.alt = "";
    image.loading = "lazy";
    image.decoding = "async";
    picture.replaceChildren(image);
  }
  if (image.getAttribute("src") !== url) image.src = url;
}

export function markCurrent(id) {
  for (const [job, group] of cards) {
    for (const card of group) {
      if (job === id) card.setAttribute("aria-current", "true");
      else card.removeAttribute("aria-current");
    }
  }
}

function addToReel(job) {
  const item = document.createElement("li");
  item.dataset.start = job.startTime;
  item.append(buildCard(job));
  const next = [...reel.children].find((each) => Number(each.dataset.start) < job.startTime);
  reel.insertBefore(item, next || null);
  if (reel.children.length > MAX_CARDS) {
    const last = reel.lastElementChild;
    forgetCards(last);
    last.remove();
  }
  document.getElementById("reel-empty").hidden = true;
}

function showCancelAll() {
  document.getElementById("cancel-all").hidden = listJobs().filter((job) => !isFinal(job)).length < 2;
}

onChange((job, isNew) => {
  if (isNew) addToReel(job);
  else cards.get(job.id)?.forEach((card) => update(card, job));
  showCancelAll();
});

export function showReel() {
  listJobs().reverse().forEach(addToReel);
  showCancelAll();
}
