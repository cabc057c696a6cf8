// Finds the elements that are most similar to selectors that match nothing.
// Evaluated in the page by workers/sites/diagnostics/selector_suggestions.py.
([selectors, limit]) => {
  const CANDIDATES = "button, input, textarea, select, a, img, canvas, video, label, [role], [aria-label], [contenteditable], [id], [data-testid]";
  const MAX_CANDIDATES = 5000;
  const split = (text) => (String(text).replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase().match(/[a-z0-9]+/g) || []);
  const bigrams = (word) => {
    const pairs = new Set();
    for (let i = 0; i + 2 <= word.length; i++) pairs.add(word.slice(i, i + 2));
    return pairs;
  };
  // Dice coefficient of the letter pairs: 1 for equal words, 0 for words without a common pair.
  const similarity = (first, second) => {
    if (first === second) return 1;
    const a = bigrams(first), b = bigrams(second);
    if (!a.size || !b.size) return 0;
    let shared = 0;
    for (const pair of a) if (b.has(pair)) shared++;
    return (2 * shared) / (a.size + b.size);
  };
  const wanted = [...new Set(selectors.flatMap((selector) => split(selector.replace(/^(aria|text|xpath|pierce)\//, ""))))];
  const describe = (element) => [
    element.id, element.getAttribute("name"), element.getAttribute("aria-label"), element.getAttribute("placeholder"),
    element.getAttribute("data-testid"), element.getAttribute("alt"), element.getAttribute("title"), element.getAttribute("role"),
    element.tagName, element.className && element.className.baseVal === undefined ? element.className : "",
    element.labels && element.labels[0] ? element.labels[0].textContent : "",
    element.children.length ? "" : (element.textContent || "").slice(0, 80),
  ].filter(Boolean).join(" ");
  const score = (element) => {
    const words = split(describe(element));
    if (!words.length || !wanted.length) return 0;
    return wanted.reduce((sum, word) => sum + Math.max(...words.map((other) => similarity(word, other))), 0) / wanted.length;
  };
  const isUnique = (selector) => {
    try {
      return document.querySelectorAll(selector).length === 1;
    } catch (error) {
      return false;
    }
  };
  const selectorOf = (element) => {
    const tag = element.tagName.toLowerCase();
    if (element.id && isUnique(`#${CSS.escape(element.id)}`)) return `#${CSS.escape(element.id)}`;
    for (const name of ["data-testid", "name", "aria-label", "placeholder", "alt", "title"]) {
      const value = element.getAttribute(name);
      if (value && isUnique(`${tag}[${name}=${JSON.stringify(value)}]`)) return `${tag}[${name}=${JSON.stringify(value)}]`;
    }
    const label = element.labels && element.labels[0] && element.labels[0].textContent.trim();
    if (label) return `aria/${label}`;
    const text = (element.textContent || "").trim();
    if (["BUTTON", "A"].includes(element.tagName) && text && text.length < 60) return `aria/${text}`;
    for (const name of element.classList) if (isUnique(`${tag}.${CSS.escape(name)}`)) return `${tag}.${CSS.escape(name)}`;
    const parent = element.parentElement;
    if (!parent) return tag;
    const position = [...parent.children].indexOf(element) + 1;
    return `${selectorOf(parent)} > ${tag}:nth-child(${position})`;
  };
  // Left, top, width and height in CSS pixels of the window, for drawing on the screenshot.
  const boxOf = (element) => {
    const box = element.getBoundingClientRect();
    return [box.x, box.y, box.width, box.height].map(Math.round).join(" ");
  };
  const isVisible = (element) => element.checkVisibility({ visibilityProperty: true });
  return [...document.querySelectorAll(CANDIDATES)].slice(0, MAX_CANDIDATES).filter(isVisible)
    .map((element) => ({ element, score: score(element) }))
    .sort((first, second) => second.score - first.score)
    .slice(0, limit)
    .map(({ element }) => ({
      selector: selectorOf(element),
      text: (element.textContent || "").trim().slice(0, 80),
      html: element.cloneNode(false).outerHTML.slice(0, 300),
      box: boxOf(element),
    }));
}
