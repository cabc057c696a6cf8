// Forms that send files: one request for each file that is dropped or chosen, then the list beside it is read again.
// `data-upload` is the address, `data-list` the id of the list; with `data-named` a file's name goes with it.

import { call } from "./http.js";
import { notify, reportError } from "./notices.js";
import { merge } from "./refresh.js";

async function send(form, files) {
  const state = form.querySelector("[role=status]");
  let added = 0;
  for (const [index, file] of files.entries()) {
    state.textContent = `Adding ${index + 1} of ${files.length}: ${file.name}`;
    try {
      await call("POST", form.dataset.upload, { body: buildBody(form, file) });
      added += 1;
    } catch (error) {
      notify([`${file.name}: ${error.message}`, error.hint].filter(Boolean).join(" "), { kind: "bad" });
    }
  }
  state.textContent = `${added} of ${files.length} added.`;
  if (added) await readList(form.dataset.list).catch(reportError);
}

function buildBody(form, file) {
  const body = new FormData();
  if ("named" in form.dataset) body.append("name", file.name.replace(/\.[^.]+$/, "") || file.name);
  body.append("file", file);
  return body;
}

// Forms of the page may hold text that is not saved yet, so the page is not loaded again.
async function readList(id) {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
  if (fresh) merge(document.getElementById(id), fresh);
}

function accept(form) {
  const control = form.querySelector("input[type=file]");
  let sending = Promise.resolve();
  // Files that come while others are being sent follow them.
  const add = (list) => {
    const files = [...list];
    if (files.length) sending = sending.then(() => send(form, files));
  };
  control.addEventListener("change", () => {
    add(control.files);
    // The same file can be chosen again.
    control.value = "";
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const type of ["dragenter", "dragover"]) {
    form.addEventListener(type, (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      form.classList.add("is-over");
    });
  }
  form.addEventListener("dragleave", () => form.classList.remove("is-over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("is-over");
    add(event.dataTransfer.files);
  });
}

document.querySelectorAll("[data-upload]").forEach(accept);
