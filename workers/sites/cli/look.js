// Says what keeps a person from using a visible element: nothing (an empty text), or why it cannot be clicked or filled.
// Evaluated in the page by workers/sites/cli/selector_report.py.
(element, isFilled) => {
  const MAX_CLASSES = 3;
  const MAX_TEXT_CHARS = 60;
  const parentOf = (node) => node.parentNode || node.host;
  const isInside = (node, outer) => {
    for (let current = node; current; current = parentOf(current)) if (current === outer) return true;
    return false;
  };
  const describe = (node) => {
    const id = node.id ? `#${node.id}` : "";
    const classes = [...node.classList].slice(0, MAX_CLASSES).map((name) => `.${name}`).join("");
    const text = (node.getAttribute("aria-label") || node.innerText || "").trim().replace(/\s+/g, " ").slice(0, MAX_TEXT_CHARS);
    return `${node.tagName.toLowerCase()}${id}${classes}${text ? ` "${text}"` : ""}`;
  };
  // The outermost element that lies above and does not contain the element: a whole window, not a line of its text.
  const coverOf = (hit) => {
    let cover = hit;
    for (let node = hit; node && !isInside(element, node); node = parentOf(node)) if (node instanceof Element) cover = node;
    return cover;
  };
  const center = () => {
    const box = element.getBoundingClientRect();
    const left = Math.max(0, box.left), right = Math.min(innerWidth, box.right);
    const top = Math.max(0, box.top), bottom = Math.min(innerHeight, box.bottom);
    return left < right && top < bottom ? [(left + right) / 2, (top + bottom) / 2] : null;
  };
  const hitAt = ([x, y]) => {
    let hit = document.elementFromPoint(x, y);
    while (hit && hit.shadowRoot) {
      const inner = hit.shadowRoot.elementFromPoint(x, y);
      if (!inner || inner === hit) break;
      hit = inner;
    }
    return hit;
  };
  const isReached = (hit) => {
    const label = hit && hit.closest("label");
    return Boolean(hit) && (isInside(hit, element) || (Boolean(label) && label.control === element));
  };
  if (element.matches(":disabled") || element.getAttribute("aria-disabled") === "true") return "disabled";
  if (element.closest("[inert]")) return "disabled by its surroundings (inert)";
  if (isFilled && element.readOnly) return "read-only";
  const [x, y] = [scrollX, scrollY];
  let point = center();
  let hit = point && hitAt(point);
  if (!isReached(hit)) {
    element.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
    point = center();
    hit = point && hitAt(point);
  }
  const problem = isReached(hit) ? "" : hit ? `covered by ${describe(coverOf(hit))}` : "outside the window, even after scrolling";
  scrollTo({ left: x, top: y, behavior: "instant" });
  return problem;
}
