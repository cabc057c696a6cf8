// Watches a page from inside and reports previews, progress, errors and the result as they appear.
// Installed in every page by workers/sites/observer/observer.py; config holds the recipe's selectors and the limits.
(config) => {
  if (window.top !== window || window.__darkroom) return;

  const blobs = new Map();
  const createObjectURL = URL.createObjectURL;
  URL.createObjectURL = function (object) {
    const url = createObjectURL.call(URL, object);
    if (object instanceof Blob) {
      blobs.set(url, object);
      // Pages revoke their blob: URLs, so the newest blobs are kept until the finished image has been read.
      if (blobs.size > config.maxBlobs) blobs.delete(blobs.keys().next().value);
    }
    return url;
  };

  // Selectors: the same notation as workers/sites/driver/selectors.py, evaluated in the page.
  const textOf = (element) => (element.textContent || "").trim();
  const NAMED = "[aria-label], [aria-labelledby], [alt], [title], input, textarea, select, button, a[href], [role], output, progress, meter";
  // An approximation of the accessible name: aria-label, aria-labelledby, alt, label, own text of buttons and links, title.
  const nameOf = (element) => {
    const by = (element.getAttribute("aria-labelledby") || "").split(/\s+/).map((id) => document.getElementById(id)).filter(Boolean);
    return element.getAttribute("aria-label") || by.map(textOf).join(" ") || element.getAttribute("alt")
      || textOf((element.labels || [])[0] || {}) || (element.matches("button, a, [role]") ? textOf(element) : "") || element.title || "";
  };
  const ROLES = { IMG: "img", BUTTON: "button", A: "link", PROGRESS: "progressbar", METER: "meter", OUTPUT: "status", TEXTAREA: "textbox", SELECT: "combobox", DIALOG: "dialog" };
  const queryByName = (root, selector) => {
    const [, name, role] = selector.match(/^aria\/(.*?)(?:\[role="([a-z]+)"\])?$/);
    return [...root.querySelectorAll(NAMED)].filter((element) => nameOf(element) === name
      && (!role || (element.getAttribute("role") || ROLES[element.tagName]) === role));
  };
  const queryByXpath = (root, path) => {
    const result = document.evaluate(path, root, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE);
    return Array.from({ length: result.snapshotLength }, (_, i) => result.snapshotItem(i));
  };
  // The innermost elements that contain the text, ignoring case.
  const queryByText = (root, text) => {
    const lowerText = text.toLowerCase();
    const contains = (element) => textOf(element).toLowerCase().includes(lowerText);
    return [...root.querySelectorAll("*")].filter((element) => contains(element) && ![...element.children].some(contains));
  };
  const query = (root, selector) => {
    if (selector.startsWith("aria/")) return queryByName(root, selector);
    if (selector.startsWith("text/")) return queryByText(root, selector.slice(5));
    if (selector.startsWith("xpath/")) return queryByXpath(root, selector.slice(6));
    return [...root.querySelectorAll(selector.replace(/^pierce\//, ""))];
  };
  const queryChain = (chain) => {
    let elements = [document];
    for (const selector of chain) elements = elements.flatMap((root) => query(root.shadowRoot || root, selector));
    return elements;
  };
  // The first alternative with a visible element, else the first that is on the page.
  const find = (watch) => {
    let hidden = null;
    for (const chain of watch.selectors) {
      const elements = queryChain(chain), selector = chain.join(" > ");
      const element = elements.find(isVisible);
      if (element) return { element, selector };
      if (elements.length) hidden ??= { element: elements[0], selector };
    }
    return hidden;
  };
  const isVisible = (element) => element.checkVisibility({ visibilityProperty: true });

  const imageUrl = (watch, element) => {
    if (watch.source === "background-image") return (getComputedStyle(element).backgroundImage.match(/url\("(.*)"\)/) || [])[1] || "";
    if (watch.source === "poster") return element.poster || "";
    return element.currentSrc || element.src || "";
  };
  const progressText = (watch, element) => {
    if (watch.source === "aria-valuenow") {
      const now = element.getAttribute("aria-valuenow");
      return now === null ? "" : `${now}/${element.getAttribute("aria-valuemax") || 100}`;
    }
    if (watch.source === "width") {
      const fullWidth = element.parentElement.getBoundingClientRect().width;
      return fullWidth ? `${((100 * element.getBoundingClientRect().width) / fullWidth).toFixed(1)}%` : "";
    }
    return String(element.value || element.textContent || "");
  };
  // Patterns are in Python's syntax. Where JavaScript cannot compile one, the worker applies it to the whole text.
  const extract = (pattern, text) => {
    try {
      return pattern ? (text.match(new RegExp(pattern)) || [""])[0] : text;
    } catch (error) {
      return text;
    }
  };
  // Equal for equal drawings. A tainted canvas cannot be read: it counts as changed each time, or as constant if it is the result.
  const canvasDigest = (canvas, isResult) => {
    try {
      const data = canvas.toDataURL();
      let sum = 0;
      for (let i = 0; i < data.length; i++) sum = (Math.imul(sum, 31) + data.charCodeAt(i)) | 0;
      return `canvas ${data.length} ${sum}`;
    } catch (error) {
      return isResult ? "canvas" : `canvas ${performance.now()}`;
    }
  };
  // Readers return the state of a watched element, or null. A change of "value" is an observation.
  const readers = {
    // A request for a person may be a frame without text, such as a CAPTCHA.
    human(watch, element) {
      if (!isVisible(element)) return null;
      return { value: (element.textContent || "").trim().slice(0, 500) || element.src || element.tagName, element };
    },
    image(watch, element) {
      if (watch.source === "canvas") return isVisible(element) ? { value: canvasDigest(element, watch === config.observe.done), element } : null;
      const url = imageUrl(watch, element);
      if (!url || !isVisible(element)) return null;
      if (element instanceof HTMLImageElement && !(element.complete && element.naturalWidth)) return null;
      // On pages that show when they are busy, an image that was loaded again is new even if its URL is the same.
      return { value: config.observe.busy ? `${url} ${loadCounts.get(element) || 0}` : url, url, element };
    },
    text(watch, element) {
      const text = progressText(watch, element).trim();
      if (!text || !isVisible(element)) return null;
      return { value: extract(watch.pattern, text.slice(0, 500)), element };
    },
  };
  const loadCounts = new WeakMap();
  document.addEventListener("load", ({ target }) => loadCounts.set(target, (loadCounts.get(target) || 0) + 1), true);
  const READERS = { preview: readers.image, done: readers.image, progress: readers.text, error: readers.text, human: readers.human };

  const read = (kind) => {
    const watch = config.observe[kind];
    const match = watch && find(watch);
    const state = match && READERS[kind](watch, match.element);
    return state ? { ...state, selector: match.selector } : null;
  };

  const toBase64 = (blob) => new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
  const shrink = async (element) => {
    const width = element.naturalWidth || element.width, height = element.naturalHeight || element.height;
    if (!(element instanceof HTMLImageElement || element instanceof HTMLCanvasElement)) throw new TypeError("not an image");
    const scale = Math.min(1, config.previewWidth / width);
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    canvas.getContext("2d").drawImage(element, 0, 0, canvas.width, canvas.height);
    return toBase64(await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 }));
  };

  const report = (kind, message) => window[config.binding]({ run, kind, ...message });
  const reporters = {
    async preview({ url, selector, element }) {
      try {
        await report("preview", { data: await shrink(element), selector });
      } catch (error) {
        // A cross-origin image can be shown but not read; the worker fetches it by its URL.
        if (url) await report("preview", { url, selector });
      }
    },
    progress: ({ value, selector }) => report("progress", { text: value, selector }),
    error: ({ value, selector }) => report("error", { text: value, selector }),
    human: ({ value, selector }) => report("human", { text: value, selector }),
    done: ({ url, selector }) => report("done", { url: url || "", selector }),
  };

  // Number of the current submission; 0 means that nothing is reported.
  let run = 0;
  let lastValues = {};
  let wasBusy = false;
  // With a "busy" element, a result counts only after that element has come and gone.
  const isWorking = () => {
    if (!config.observe.busy) return false;
    const match = find(config.observe.busy);
    const isBusy = Boolean(match) && isVisible(match.element);
    wasBusy ||= isBusy;
    return isBusy || !wasBusy;
  };
  let settling = {};
  // A canvas is visible before its drawing is finished, so its result must stay unchanged for a while.
  const settleMs = config.observe.done ? config.observe.done.settle_ms || (config.observe.done.source === "canvas" ? config.canvasSettleMs : 0) : 0;
  const settle = (value) => {
    if (settling.timer && settling.value === value) return;
    clearTimeout(settling.timer);
    const timer = setTimeout(() => {
      settling = {};
      // Some pages remove their last preview a moment after they have finished.
      const state = read("done");
      if (state && state.value !== value) settle(state.value);
      else if (state && !isWorking()) check("done", true);
    }, settleMs);
    settling = { value, timer };
  };
  const reportedAt = { preview: 0, progress: 0 };
  const delayedChecks = {};
  const check = (kind, isSettled = false) => {
    const state = read(kind);
    if (!state || state.value === lastValues[kind] || !run) return;
    if (kind === "done" && settleMs && !isSettled) {
      settle(state.value);
      return;
    }
    const wait = kind in reportedAt ? reportedAt[kind] + config.intervalMs - performance.now() : 0;
    if (wait > 0) {
      delayedChecks[kind] ??= setTimeout(() => { delayedChecks[kind] = null; check(kind); }, wait);
      return;
    }
    lastValues[kind] = state.value;
    if (kind in reportedAt) reportedAt[kind] = performance.now();
    reporters[kind](state);
  };
  let isScheduled = false;
  const checkAll = () => {
    isScheduled = false;
    // "done" comes last, so that the preceding observations are reported before it.
    for (const kind of ["human", "error", "progress", "preview"]) check(kind);
    if (!isWorking()) check("done");
  };
  const schedule = () => {
    if (isScheduled || !run) return;
    isScheduled = true;
    queueMicrotask(checkAll);
  };

  new MutationObserver(schedule).observe(document, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: config.attributes });
  document.addEventListener("load", schedule, true);
  // Drawing on a canvas causes no mutation, so canvases are polled.
  if (Object.values(config.observe).some((watch) => watch.source === "canvas")) setInterval(schedule, config.canvasPollMs);

  Object.defineProperty(window, "__darkroom", { value: Object.freeze({
    // Begin to report changes; the present state of the page is the baseline.
    arm(number) {
      run = number;
      clearTimeout(settling.timer);
      settling = {};
      wasBusy = false;
      lastValues = Object.fromEntries(Object.keys(READERS).map((kind) => [kind, (read(kind) || {}).value]));
    },
    // Continue after a navigation: the armed page was replaced by this one, so everything it shows is new.
    join(number) {
      run = number;
      wasBusy = true;
      schedule();
    },
    // The bytes behind a blob:, data: or same-origin URL, as base64.
    async read(url) {
      const blob = blobs.get(url) || await (await fetch(url)).blob();
      if (blob.size > config.maxImageBytes) throw new RangeError("too large");
      return toBase64(blob);
    },
  }) });
}
