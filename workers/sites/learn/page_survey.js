// Lists the text fields, buttons and pictures of a page that a person can see, each with a selector.
// Evaluated in the page by workers/sites/learn/page_survey.py.
() => {
  const MAX_ELEMENTS = 500;
  const MIN_PICTURE_PX = 64;
  const isVisible = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
  const textOf = (element) => (element ? element.textContent || "" : "").trim().replace(/\s+/g, " ").slice(0, 200);
  const nameOf = (element) => {
    const ids = (element.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
    return element.getAttribute("aria-label") || ids.map((id) => textOf(document.getElementById(id))).join(" ")
      || textOf((element.labels || [])[0]) || (element.matches("button, a, [role=button]") ? textOf(element) : "")
      || (element.matches("input[type=submit], input[type=button]") ? element.value : "")
      || element.getAttribute("placeholder") || element.title || "";
  };
  const isUnique = (selector) => document.querySelectorAll(selector).length === 1;
  const selectorOf = (element) => {
    const tag = element.tagName.toLowerCase();
    // Ids with many digits are made anew at each visit by some frameworks.
    if (element.id && !/\d{3}/.test(element.id) && isUnique(`#${CSS.escape(element.id)}`)) return `#${CSS.escape(element.id)}`;
    for (const name of ["data-testid", "name", "aria-label", "placeholder"]) {
      const value = element.getAttribute(name);
      const selector = value && `${tag}[${name}=${JSON.stringify(value)}]`;
      if (selector && isUnique(selector)) return selector;
    }
    const parent = element.parentElement;
    if (!parent || element === document.body) return tag;
    const same = [...parent.children].filter((child) => child.tagName === element.tagName);
    return `${selectorOf(parent)} > ${tag}${same.length > 1 ? `:nth-of-type(${same.indexOf(element) + 1})` : ""}`;
  };
  // Several pictures of one result stand in one container, whose other children are their neighbours.
  const pictureSelectorOf = (element) => {
    const tag = element.tagName.toLowerCase();
    const own = selectorOf(element);
    return own.startsWith("#") && !own.includes(" ") ? own : `${selectorOf(element.parentElement || document.body)} ${tag}`;
  };
  const sum = (text) => {
    let total = 0;
    for (let i = 0; i < text.length; i++) total = (Math.imul(total, 31) + text.charCodeAt(i)) | 0;
    return `${text.length} ${total}`;
  };
  const contentOf = (element) => {
    if (!(element instanceof HTMLCanvasElement)) return element.complete && element.naturalWidth ? element.currentSrc || element.src : "";
    try {
      return sum(element.toDataURL());
    } catch (error) {
      return "";
    }
  };
  const all = (selector) => [...document.querySelectorAll(selector)].filter(isVisible).slice(0, MAX_ELEMENTS);
  const box = (element) => element.getBoundingClientRect();
  return {
    fields: all("textarea, input:not([type]), input[type=text], input[type=search], [contenteditable=''], [contenteditable=true]")
      .filter((element) => !element.disabled && !element.readOnly)
      .map((element) => ({ name: nameOf(element), selector: selectorOf(element), area: box(element).width * box(element).height })),
    buttons: all("button, input[type=submit], input[type=button], [role=button]")
      .map((element) => ({ name: nameOf(element), selector: selectorOf(element), disabled: Boolean(element.disabled) })),
    pictures: all("img, canvas")
      .filter((element) => box(element).width >= MIN_PICTURE_PX && box(element).height >= MIN_PICTURE_PX)
      .map((element) => ({
        selector: pictureSelectorOf(element), kind: element instanceof HTMLCanvasElement ? "canvas" : "src", content: contentOf(element),
      }))
      .filter((picture) => picture.content),
    busy: all("[aria-busy=true], progress, [role=progressbar]").map((element) => selectorOf(element)),
    errors: all("[role=alert]").map((element) => ({ name: textOf(element), selector: selectorOf(element) })),
  };
}
