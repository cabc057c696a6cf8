// The style catalogue dialog and the chips of active styles. The styles themselves are in styles.js.

import { STYLES, slugOf, styleNamed } from "./styles.js";

const MOST = 3;
const active = [];
const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export const activeStyles = () => [...active];

function createItem({ name, description, tags }) {
  const item = element(
    "li",
    { className: "style" },
    element("img", {
      className: "style-thumbnail",
      loading: "lazy",
      width: 192,
      height: 192,
      alt: name,
      src: `styles/${slugOf(name)}.webp`,
    }),
    element("h3", { className: "style-name", textContent: name }),
    element("p", { className: "style-description", textContent: description }),
    element("ul", { className: "style-tags" }, ...tags.map((tag) => element("li", { textContent: tag }))),
    element("button", { className: "style-add", type: "button", textContent: "Add", ariaLabel: `Add ${name}` }),
  );
  item.dataset.style = name;
  return item;
}

function showActive(onChange) {
  byId("active-styles").replaceChildren(
    ...active.map((name) => {
      const chip = element(
        "li",
        {},
        element("span", { textContent: name }),
        element("button", { className: "style-remove", type: "button", textContent: "×", ariaLabel: `Remove ${name}` }),
      );
      chip.dataset.style = name;
      chip.querySelector("button").addEventListener("click", () => {
        active.splice(active.indexOf(name), 1);
        onChange();
      });
      return chip;
    }),
  );
}

/** Wire the dialog. `complain(text)` shows a message; returns add(name) for prefilling. */
export function openCatalogue(complain) {
  const dialog = byId("style-catalogue"),
    search = byId("style-search"),
    items = STYLES.map((style) => ({
      style,
      item: createItem(style),
      text: [style.name, style.description, ...style.tags].join(" ").toLowerCase(),
    }));
  const refresh = () => {
    showActive(refresh);
    for (const { style, item } of items) item.classList.toggle("is-active", active.includes(style.name));
  };
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean),
      shown = items.filter(({ text }) => words.every((word) => text.includes(word)));
    byId("style-list").replaceChildren(...shown.map(({ item }) => item));
    byId("style-count").textContent = `${shown.length} of ${items.length} styles`;
  };
  const add = (name) => {
    const style = styleNamed(name);
    if (!style || active.includes(style.name)) return;
    if (active.length >= MOST) {
      complain(`At most ${MOST} styles can be active. Remove one before adding "${style.name}".`);
      return;
    }
    active.push(style.name);
    refresh();
  };
  byId("open-styles").addEventListener("click", () => {
    search.value = "";
    filter();
    dialog.showModal();
    search.focus();
  });
  byId("close-styles").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  search.addEventListener("input", filter);
  byId("style-list").addEventListener("click", (event) => {
    if (event.target.closest(".style-add")) add(event.target.closest("li.style").dataset.style);
  });
  filter();
  return add;
}
