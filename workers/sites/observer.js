// Owns the watching of a page from inside: tells of previews, progress, errors and the end as they appear.
// Put into every page by workers/sites/observer.py, as a function of the recipe's selectors and limits.
(config) => {
  if (window.top !== window || window.__darkroom) return;

  const blobs = new Map();
  const createObjectURL = URL.createObjectURL;
  URL.createObjectURL = function (object) {
    const url = createObjectURL.call(URL, object);
    if (object instanceof Blob) {
      blobs.set(url, object);
      // Pages revoke their blobs: a few of the newest are held so that a finished picture can still be read.
      if (blobs.size > config.blobsKept) blobs.delete(blobs.keys().next().value);
    }
    return url;
  };

  const byName = (name) => {
    const quoted = CSS.escape(name);
    const labelled = document.querySelector(`[aria-label="${quoted}"], [alt="${quoted}"], [title="${quoted}"]`);
    if (labelled) return labelled;
    for (const label of document.querySelectorAll("label")) if (label.textContent.trim() === name) return label.control;
    return null;
  };
  const byXpath = (path) => document.evaluate(path, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue;
  const byText = (text) => byXpath(`//*[normalize-space(text())=${JSON.stringify(text)}]`);
  const inside = (root, selector) => {
    if (selector.startsWith("aria/")) return byName(selector.slice(5).replace(/\[role=.*\]$/, ""));
    if (selector.startsWith("text/")) return byText(selector.slice(5));
    if (selector.startsWith("xpath/")) return byXpath(selector.slice(6));
    return root.querySelector(selector.replace(/^pierce\//, ""));
  };
  const follow = (chain) => {
    let root = document;
    for (const selector of chain) {
      const element = root && inside(root, selector);
      if (!element) return null;
      root = element.shadowRoot || element;
    }
    return root.host || root;
  };
  const find = (watch) => {
    for (const chain of watch.selectors) {
      const element = follow(chain);
      if (element) return element;
    }
    return null;
  };
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });

  const address = (watch, element) => {
    if (watch.source === "background-image") return (getComputedStyle(element).backgroundImage.match(/url\("(.*)"\)/) || [])[1] || "";
    if (watch.source === "poster") return element.poster || "";
    return element.currentSrc || element.src || "";
  };
  const words = (watch, element) => {
    if (watch.source === "aria-valuenow") {
      const now = element.getAttribute("aria-valuenow");
      return now === null ? "" : `${now}/${element.getAttribute("aria-valuemax") || 100}`;
    }
    if (watch.source === "width") {
      const whole = element.parentElement.getBoundingClientRect().width;
      return whole ? `${((100 * element.getBoundingClientRect().width) / whole).toFixed(1)}%` : "";
    }
    return String(element.value || element.textContent || "");
  };
  // Patterns are Python's: what this language does not know is left to it.
  const part = (pattern, text) => {
    try {
      return pattern ? (text.match(new RegExp(pattern)) || [""])[0] : text;
    } catch (error) {
      return text;
    }
  };
  // Two looks at the same drawing have the same value; one that may not be read is new each time.
  const drawing = (canvas) => {
    try {
      const data = canvas.toDataURL();
      let sum = 0;
      for (let i = 0; i < data.length; i++) sum = (Math.imul(sum, 31) + data.charCodeAt(i)) | 0;
      return `canvas ${data.length} ${sum}`;
    } catch (error) {
      return `canvas ${performance.now()}`;
    }
  };
  const readers = {
    // A person is asked for by a frame as well as by words.
    sign(watch, element) {
      if (!shown(element)) return null;
      return { value: (element.textContent || "").trim().slice(0, 500) || element.src || element.tagName, element };
    },
    picture(watch, element) {
      if (watch.source === "canvas") return shown(element) ? { value: drawing(element), element } : null;
      const value = address(watch, element);
      if (!value || !shown(element)) return null;
      if (element instanceof HTMLImageElement && !(element.complete && element.naturalWidth)) return null;
      return { value, element };
    },
    text(watch, element) {
      const text = words(watch, element).trim();
      if (!text || !shown(element)) return null;
      return { value: part(watch.pattern, text.slice(0, 500)), element };
    },
  };
  const READ = { preview: readers.picture, done: readers.picture, progress: readers.text, error: readers.text, human: readers.sign };

  const read = (kind) => {
    const watch = config.observe[kind];
    const element = watch && find(watch);
    return element ? READ[kind](watch, element) : null;
  };

  const toBase64 = (blob) => new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
  const shrink = async (element) => {
    const width = element.naturalWidth || element.width, height = element.naturalHeight || element.height;
    const scale = Math.min(1, config.previewWidth / width);
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    canvas.getContext("2d").drawImage(element, 0, 0, canvas.width, canvas.height);
    return toBase64(await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 }));
  };

  const tell = (kind, message) => window[config.binding]({ run, kind, ...message });
  const tellers = {
    async preview({ value, element }) {
      try {
        await tell("preview", { data: await shrink(element) });
      } catch (error) {
        // A picture from another host may be shown but not read; the worker fetches it itself.
        if (!value.startsWith("canvas")) await tell("preview", { url: value });
      }
    },
    progress: ({ value }) => tell("progress", { text: value }),
    error: ({ value }) => tell("error", { text: value }),
    human: ({ value }) => tell("human", { text: value }),
    done: ({ value }) => tell("done", { url: value }),
  };

  let run = 0;
  let last = {};
  let wasBusy = false;
  // A page that shows when it works has its result once it has worked and works no more.
  const works = () => {
    if (!config.observe.busy) return false;
    const element = find(config.observe.busy);
    const busy = Boolean(element) && shown(element);
    wasBusy ||= busy;
    return busy || !wasBusy;
  };
  let settling = 0;
  // A drawing is shown before it is finished.
  const settleMs = config.observe.done ? config.observe.done.settle_ms || (config.observe.done.source === "canvas" ? config.canvasSettleMs : 0) : 0;
  // A page may take its last preview away a moment after it has ceased to work.
  const settle = (value) => {
    clearTimeout(settling);
    settling = setTimeout(() => {
      const sight = read("done");
      if (sight && sight.value !== value) return settle(sight.value);
      if (sight && !works()) look("done", true);
      return undefined;
    }, settleMs);
  };
  const toldAt = { preview: 0, progress: 0 };
  const later = {};
  const look = (kind, settled = false) => {
    const sight = read(kind);
    if (!sight || sight.value === last[kind] || !run) return;
    if (kind === "done" && settleMs && !settled) {
      settle(sight.value);
      return;
    }
    const wait = kind in toldAt ? toldAt[kind] + config.intervalMs - performance.now() : 0;
    if (wait > 0) {
      later[kind] ??= setTimeout(() => { later[kind] = null; look(kind); }, wait);
      return;
    }
    last[kind] = sight.value;
    if (kind in toldAt) toldAt[kind] = performance.now();
    tellers[kind](sight);
  };
  let scheduled = false;
  const lookAround = () => {
    scheduled = false;
    // The end comes last, so that what led to it has been told.
    for (const kind of ["human", "error", "progress", "preview"]) look(kind);
    if (!works()) look("done");
  };
  const schedule = () => {
    if (scheduled || !run) return;
    scheduled = true;
    queueMicrotask(lookAround);
  };

  const attributeFilter = ["src", "srcset", "poster", "style", "class", "hidden", "open", "value", "aria-valuenow", "aria-hidden"];
  new MutationObserver(schedule).observe(document, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter });
  document.addEventListener("load", schedule, true);
  // A canvas changes without a mutation.
  if (Object.values(config.observe).some((watch) => watch.source === "canvas")) setInterval(schedule, config.canvasPollMs);

  Object.defineProperty(window, "__darkroom", { value: Object.freeze({
    // From now on changes are told; what is on the page already is not news.
    arm(number) {
      run = number;
      wasBusy = false;
      last = Object.fromEntries(Object.keys(READ).map((kind) => [kind, (read(kind) || {}).value]));
    },
    // The bytes behind a blob:, data: or same-origin address, as base64.
    async read(url) {
      const blob = blobs.get(url) || await (await fetch(url)).blob();
      return toBase64(blob);
    },
  }) });
}
