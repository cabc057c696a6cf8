// Short messages at the edge of the window. They stay as long as it takes to read them; those with an action stay longer.

const SHOWN_MS = 6000;
const WITH_ACTION_MS = 12_000;

// Show a message; `action` is {label, run}, for instance to undo the last change.
export function notify(message, { kind = "", action = null } = {}) {
  const notice = document.createElement("div");
  notice.className = `notice ${kind && `is-${kind}`}`;
  const text = document.createElement("span");
  text.textContent = message;
  notice.append(text);
  const close = () => notice.remove();
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.label;
    button.addEventListener("click", () => {
      close();
      action.run();
    });
    notice.append(button);
  }
  document.getElementById("notices").append(notice);
  setTimeout(close, action ? WITH_ACTION_MS : SHOWN_MS);
  return close;
}

export function reportError(error) {
  if (error.name === "AbortError") return;
  notify([error.message, error.hint].filter(Boolean).join(" "), { kind: "bad" });
}
