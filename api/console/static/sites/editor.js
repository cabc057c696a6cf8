// Shows the problems of a recipe while it is edited.

import { call } from "../http.js";

const DELAY_MS = 400;

const form = document.getElementById("editor");
const text = document.getElementById("text");
const mistakes = document.getElementById("mistakes");
let timer = 0;
let latest = 0;

function show(problems) {
  const notices = problems.map((problem) => {
    const notice = document.createElement("p");
    notice.className = "notice is-bad";
    notice.textContent = problem;
    return notice;
  });
  if (!notices.length) {
    const good = document.createElement("p");
    good.className = "notice is-good";
    good.textContent = "This is a valid recipe.";
    notices.push(good);
  }
  mistakes.replaceChildren(...notices);
  if (problems.length) text.setAttribute("aria-invalid", "true");
  else text.removeAttribute("aria-invalid");
}

async function validate() {
  const number = (latest += 1);
  const body = new FormData();
  body.append("text", text.value);
  const answer = await call("POST", form.dataset.validate, { body }).catch((error) => ({ problems: [error.message] }));
  // Ignore the answer to an earlier text.
  if (number === latest) show(answer.problems);
}

text.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(validate, DELAY_MS);
});
validate();
