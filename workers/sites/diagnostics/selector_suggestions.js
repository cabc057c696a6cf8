// Owns the search for elements that look like what a recipe's selectors meant. Run in the page by workers/sites/diagnostics/selector_suggestions.py.
([wanted, most]) => {
  const CANDIDATES = "button, input, textarea, select, a, img, canvas, video, label, [role], [aria-label], [contenteditable], [id], [data-testid]";
  const MOST_LOOKED_AT = 5000;
  const split = (text) => (String(text).replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase().match(/[a-z0-9]+/g) || []);
  const parts = (word) => {
    const pairs = new Set();
    for (let i = 0; i + 2 <= word.length; i++) pairs.add(word.slice(i, i + 2));
    return pairs;
  };
  const alike = (one, other) => {
    if (one === other) return 1;
    const a = parts(one), b = parts(other);
    if (!a.size || !b.size) return 0;
    let shared = 0;
    for (const pair of a) if (b.has(pair)) shared++;
    return (2 * shared) / (a.size + b.size);
  };
  const words = [...new Set(wanted.flatMap((selector) => split(selector.replace(/^(aria|text|xpath|pierce)\//, ""))))];
  const named = (element) => [
    element.id, element.getAttribute("name"), element.getAttribute("aria-label"), element.getAttribute("placeholder"),
    element.getAttribute("data-testid"), element.getAttribute("alt"), element.getAttribute("title"), element.getAttribute("role"),
    element.tagName, element.className && element.className.baseVal === undefined ? element.className : "",
    element.labels && element.labels[0] ? element.labels[0].textContent : "",
    element.children.length ? "" : (element.textContent || "").slice(0, 80),
  ].filter(Boolean).join(" ");
  const score = (element) => {
    const has = split(named(element));
    if (!has.length || !words.length) return 0;
    return words.reduce((sum, word) => sum + Math.max(...has.map((one) => alike(word, one))), 0) / words.length;
  };
  const unique = (selector) => {
    try {
      return document.querySelectorAll(selector).length === 1;
    } catch (error) {
      return false;
    }
  };
  const selectorOf = (element) => {
    const tag = element.tagName.toLowerCase();
    if (element.id && unique(`#${CSS.escape(element.id)}`)) return `#${CSS.escape(element.id)}`;
    for (const name of ["data-testid", "name", "aria-label", "placeholder", "alt", "title"]) {
      const value = element.getAttribute(name);
      if (value && unique(`${tag}[${name}=${JSON.stringify(value)}]`)) return `${tag}[${name}=${JSON.stringify(value)}]`;
    }
    const label = element.labels && element.labels[0] && element.labels[0].textContent.trim();
    if (label) return `aria/${label}`;
    const text = (element.textContent || "").trim();
    if (["BUTTON", "A"].includes(element.tagName) && text && text.length < 60) return `aria/${text}`;
    for (const one of element.classList) if (unique(`${tag}.${CSS.escape(one)}`)) return `${tag}.${CSS.escape(one)}`;
    const parent = element.parentElement;
    if (!parent) return tag;
    const place = [...parent.children].indexOf(element) + 1;
    return `${selectorOf(parent)} > ${tag}:nth-child(${place})`;
  };
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });
  return [...document.querySelectorAll(CANDIDATES)].slice(0, MOST_LOOKED_AT).filter(shown)
    .map((element) => ({ element, score: score(element) }))
    .sort((one, other) => other.score - one.score)
    .slice(0, most)
    .map(({ element }) => ({
      selector: selectorOf(element),
      text: (element.textContent || "").trim().slice(0, 80),
      html: element.cloneNode(false).outerHTML.slice(0, 300),
    }));
}
