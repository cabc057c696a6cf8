// The choice between light, dark and the system's colours, kept in this browser.

const NAMES = { system: "System colours", light: "Light colours", dark: "Dark colours" };
const KEY = "darkroom.scheme";

function readChoice() {
  try {
    const choice = localStorage.getItem(KEY);
    return choice in NAMES ? choice : "system";
  } catch {
    return "system";
  }
}

function show(choice) {
  if (choice === "system") delete document.documentElement.dataset.scheme;
  else document.documentElement.dataset.scheme = choice;
  const button = document.getElementById("scheme");
  if (!button) return;
  button.querySelector("[data-scheme-name]").textContent = NAMES[choice];
  button.setAttribute("aria-label", `${NAMES[choice]}; press to change`);
}

let choice = readChoice();
show(choice);
document.getElementById("scheme")?.addEventListener("click", () => {
  const names = Object.keys(NAMES);
  choice = names[(names.indexOf(choice) + 1) % names.length];
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  show(choice);
});
