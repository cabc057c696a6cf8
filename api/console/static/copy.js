// Buttons that copy the text of an element: data-copy is its id.

import { notify } from "./notices.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const element = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(element.textContent.trim());
      notify("Copied.", { kind: "good" });
    } catch {
      // Without https browsers have no clipboard: the text is selected instead.
      getSelection().selectAllChildren(element);
      notify("Selected: copy it with the keyboard.");
    }
  });
}
