// The grid of models: shows only the cards in and around the window, whatever the number of models, and fetches pages
// of them as the window moves. Without this script the page has links to its pages.

import { call } from "../http.js";

const PAGE_SIZE = 100;
const MAX_PAGES = 30;
const OVERSCAN_ROWS = 3;
const WORDS_HEIGHT_REM = 3;
const FETCH_DELAY_MS = 60;

const grid = document.getElementById("grid");
const template = document.getElementById("card");

class ModelPages {
  // The models by position. The least recently shown pages are dropped.
  constructor(query, onArrival) {
    this.query = query;
    this.onArrival = onArrival;
    this.pages = new Map();
    this.wanted = null;
    this.timer = 0;
    this.isLoading = false;
  }

  get(position) {
    const number = Math.floor(position / PAGE_SIZE);
    const page = this.pages.get(number);
    if (!page) return null;
    this.pages.delete(number);
    this.pages.set(number, page);
    return page[position % PAGE_SIZE] ?? null;
  }

  // Fetch what the window shows once it has come to rest: a fast scroll does not fetch what it passes.
  want(first, last) {
    this.wanted = [first, last];
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), FETCH_DELAY_MS);
  }

  // One request at a time, and always for what the window shows now.
  async load() {
    if (this.isLoading) return;
    this.isLoading = true;
    for (let number = this.missing(); number !== null; number = this.missing()) {
      const path = `/api/v1/models?${this.query}&limit=${PAGE_SIZE}&page=${number + 1}`;
      const answer = await call("GET", path).catch(() => null);
      if (!answer) break;
      this.pages.set(number, answer.items);
      if (this.pages.size > MAX_PAGES) this.pages.delete(this.pages.keys().next().value);
      this.onArrival();
    }
    this.isLoading = false;
  }

  missing() {
    const [first, last] = this.wanted.map((position) => Math.floor(position / PAGE_SIZE));
    for (let number = first; number <= last; number += 1) if (!this.pages.has(number)) return number;
    return null;
  }
}

class WindowedGrid {
  constructor(element, total) {
    this.element = element;
    this.total = total;
    this.cells = new Map();
    this.spare = [];
    this.frame = 0;
    this.pages = new ModelPages(element.dataset.query, () => this.schedule());
  }

  start(first) {
    this.element.replaceChildren();
    this.element.classList.add("is-windowed");
    document.getElementById("pages").hidden = true;
    this.measure();
    new ResizeObserver(() => this.measure()).observe(this.element.parentElement);
    addEventListener("scroll", () => this.schedule(), { passive: true });
    if (first) scrollTo(0, this.top + Math.floor(first / this.columns) * this.rowHeight);
  }

  measure() {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const width = this.element.parentElement.clientWidth;
    this.gap = rem;
    this.columns = Math.max(2, Math.floor((width + this.gap) / (11 * rem + this.gap)));
    this.cellWidth = (width - this.gap * (this.columns - 1)) / this.columns;
    this.rowHeight = Math.ceil(this.cellWidth + WORDS_HEIGHT_REM * rem + this.gap);
    const style = this.element.style;
    style.setProperty("--grid-height", `${Math.ceil(this.total / this.columns) * this.rowHeight}px`);
    style.setProperty("--cell-width", `${this.cellWidth}px`);
    style.setProperty("--cell-height", `${this.rowHeight - this.gap}px`);
    this.top = this.element.getBoundingClientRect().top + scrollY;
    for (const [position, cell] of this.cells) this.place(cell, position);
    this.schedule();
  }

  schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const firstRow = Math.max(0, Math.floor((scrollY - this.top) / this.rowHeight) - OVERSCAN_ROWS);
    const lastRow = Math.ceil((scrollY - this.top + innerHeight) / this.rowHeight) + OVERSCAN_ROWS;
    const first = Math.min(firstRow * this.columns, this.total);
    const last = Math.min(this.total, lastRow * this.columns) - 1;
    const focused = document.activeElement?.closest?.(".model-cell");
    // The card with the focus stays, so that keyboard navigation continues from it.
    const leaving = [...this.cells].filter(([position, cell]) => (position < first || position > last) && cell !== focused);
    for (const [position] of leaving) this.cells.delete(position);
    // After a jump no card stays: all are used again where they stand in the document, which is in their order.
    const reused = this.cells.size ? [] : leaving.sort(([one], [other]) => one - other).map(([, cell]) => cell);
    if (this.cells.size) for (const [, cell] of leaving) this.release(cell);
    let isMissing = false;
    for (let position = first; position <= last; position += 1) {
      let cell = this.cells.get(position);
      if (!cell) cell = reused.length ? this.assign(reused.shift(), position) : this.add(position);
      if (!cell.model) isMissing = !this.fill(cell, this.pages.get(position)) || isMissing;
    }
    for (const cell of reused) this.release(cell);
    if (isMissing) this.pages.want(first, last);
  }

  release(cell) {
    cell.remove();
    this.spare.push(cell);
  }

  // Cards stand in the order of their positions in the document too, for the keyboard and for screen readers.
  add(position) {
    const cell = this.spare.pop() ?? template.content.firstElementChild.cloneNode(true);
    const before = this.cells.get(position - 1);
    const after = this.cells.get(position + 1);
    if (before) before.after(cell);
    else if (after) after.before(cell);
    else this.element.append(cell);
    return this.assign(cell, position);
  }

  assign(cell, position) {
    clear(cell);
    this.place(cell, position);
    cell.setAttribute("aria-setsize", this.total);
    cell.setAttribute("aria-posinset", position + 1);
    this.cells.set(position, cell);
    return cell;
  }

  place(cell, position) {
    const left = (position % this.columns) * (this.cellWidth + this.gap);
    const top = Math.floor(position / this.columns) * this.rowHeight;
    cell.style.transform = `translate(${left}px, ${top}px)`;
  }

  fill(cell, model) {
    if (!model) return false;
    cell.model = model.id;
    cell.querySelector("a").href = `/console/models/${model.id}`;
    cell.querySelector(".model-name").textContent = model.name;
    cell.querySelector(".model-kind").textContent = [model.type, model.baseModel].filter(Boolean).join(" · ");
    const thumb = model.heroImage?.thumbPath;
    const picture = cell.querySelector("img");
    picture.hidden = !thumb;
    if (thumb) picture.src = new URL(thumb, location.href).pathname;
    return true;
  }
}

function clear(cell) {
  if (cell.model === null) return;
  cell.model = null;
  cell.querySelector("a").removeAttribute("href");
  cell.querySelector(".model-name").textContent = "…";
  cell.querySelector(".model-kind").textContent = "";
  const picture = cell.querySelector("img");
  picture.removeAttribute("src");
  picture.hidden = true;
}

if (grid) new WindowedGrid(grid, Number(grid.dataset.total)).start(Number(grid.dataset.first));
document.getElementById("sort").addEventListener("change", (event) => event.target.form.requestSubmit());
