// The number of pictures painted today (UTC), kept in this browser.

const KEY = "darkroom-studio-day";
const LIMIT = 1500;
let unstored = { day: "", used: 0 };

const today = () => new Date().toISOString().slice(0, 10);

function load() {
  let kept = unstored;
  try {
    kept = JSON.parse(localStorage.getItem(KEY)) ?? unstored;
  } catch {
    /* storage may be switched off */
  }
  return kept.day === today() && Number.isInteger(kept.used) ? kept : { day: today(), used: 0 };
}

function show({ used }) {
  document.getElementById("quota-used").textContent = used;
  document.getElementById("quota-limit").textContent = LIMIT;
}

export const showQuota = () => show(load());

export function countPicture() {
  const { day, used } = load();
  unstored = { day, used: used + 1 };
  try {
    localStorage.setItem(KEY, JSON.stringify(unstored));
  } catch {
    /* the count then lasts as long as the page */
  }
  show(unstored);
}
