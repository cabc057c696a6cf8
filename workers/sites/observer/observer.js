// Owns the watching of a page from inside: tells of previews, progress, errors and the end as they appear.
// Put into every page by workers/sites/observer/observer.py, as a function of the recipe's selectors and limits.
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

  const wordsOf = (element) => (element.textContent || "").trim();
  // A name as screen readers have it: given, by a label, or by its own words where one can press on it.
  const NAMED = "[aria-label], [aria-labelledby], [alt], [title], input, textarea, select, button, a[href], [role], output, progress, meter";
  const nameOf = (element) => {
    const by = (element.getAttribute("aria-labelledby") || "").split(/\s+/).map((id) => document.getElementById(id)).filter(Boolean);
    return element.getAttribute("aria-label") || by.map(wordsOf).join(" ") || element.getAttribute("alt")
      || wordsOf((element.labels || [])[0] || {}) || (element.matches("button, a, [role]") ? wordsOf(element) : "") || element.title || "";
  };
  const ROLES = { IMG: "img", BUTTON: "button", A: "link", PROGRESS: "progressbar", METER: "meter", OUTPUT: "status", TEXTAREA: "textbox", SELECT: "combobox", DIALOG: "dialog" };
  const byName = (root, selector) => {
    const [, name, role] = selector.match(/^aria\/(.*?)(?:\[role="([a-z]+)"\])?$/);
    return [...root.querySelectorAll(NAMED)].filter((element) => nameOf(element) === name
      && (!role || (element.getAttribute("role") || ROLES[element.tagName]) === role));
  };
  const byXpath = (root, path) => {
    const found = document.evaluate(path, root, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE);
    return Array.from({ length: found.snapshotLength }, (_, i) => found.snapshotItem(i));
  };
  // The innermost elements that contain the words, whatever their case.
  const byText = (root, text) => {
    const wanted = text.toLowerCase();
    const has = (element) => wordsOf(element).toLowerCase().includes(wanted);
    return [...root.querySelectorAll("*")].filter((element) => has(element) && ![...element.children].some(has));
  };
  const inside = (root, selector) => {
    if (selector.startsWith("aria/")) return byName(root, selector);
    if (selector.startsWith("text/")) return byText(root, selector.slice(5));
    if (selector.startsWith("xpath/")) return byXpath(root, selector.slice(6));
    return [...root.querySelectorAll(selector.replace(/^pierce\//, ""))];
  };
  const follow = (chain) => {
    let found = [document];
    for (const selector of chain) found = found.flatMap((root) => inside(root.shadowRoot || root, selector));
    return found;
  };
  // The first alternative that is on the page; one that can be seen rather than another.
  const find = (watch) => {
    let hidden = null;
    for (const chain of watch.selectors) {
      const found = follow(chain), by = chain.join(" > ");
      const element = found.find(shown);
      if (element) return { element, by };
      if (found.length) hidden ??= { element: found[0], by };
    }
    return hidden;
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
  const drawing = (canvas, settles) => {
    try {
      const data = canvas.toDataURL();
      let sum = 0;
      for (let i = 0; i < data.length; i++) sum = (Math.imul(sum, 31) + data.charCodeAt(i)) | 0;
      return `canvas ${data.length} ${sum}`;
    } catch (error) {
      return settles ? "canvas" : `canvas ${performance.now()}`;
    }
  };
  const readers = {
    // A person is asked for by a frame as well as by words.
    sign(watch, element) {
      if (!shown(element)) return null;
      return { value: (element.textContent || "").trim().slice(0, 500) || element.src || element.tagName, element };
    },
    picture(watch, element) {
      if (watch.source === "canvas") return shown(element) ? { value: drawing(element, watch === config.observe.done), element } : null;
      const url = address(watch, element);
      if (!url || !shown(element)) return null;
      if (element instanceof HTMLImageElement && !(element.complete && element.naturalWidth)) return null;
      // Where the page says that it works, a picture that was loaded anew is a new one, even at the same address.
      return { value: config.observe.busy ? `${url} ${loads.get(element) || 0}` : url, url, element };
    },
    text(watch, element) {
      const text = words(watch, element).trim();
      if (!text || !shown(element)) return null;
      return { value: part(watch.pattern, text.slice(0, 500)), element };
    },
  };
  const loads = new WeakMap();
  document.addEventListener("load", ({ target }) => loads.set(target, (loads.get(target) || 0) + 1), true);
  const READ = { preview: readers.picture, done: readers.picture, progress: readers.text, error: readers.text, human: readers.sign };

  const read = (kind) => {
    const watch = config.observe[kind];
    const found = watch && find(watch);
    const sight = found && READ[kind](watch, found.element);
    return sight ? { ...sight, by: found.by } : null;
  };

  const toBase64 = (blob) => new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
  const shrink = async (element) => {
    const width = element.naturalWidth || element.width, height = element.naturalHeight || element.height;
    if (!(element instanceof HTMLImageElement || element instanceof HTMLCanvasElement)) throw new TypeError("no picture");
    const scale = Math.min(1, config.previewWidth / width);
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    canvas.getContext("2d").drawImage(element, 0, 0, canvas.width, canvas.height);
    return toBase64(await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 }));
  };

  const tell = (kind, message) => window[config.binding]({ run, kind, ...message });
  const tellers = {
    async preview({ url, by, element }) {
      try {
        await tell("preview", { data: await shrink(element), by });
      } catch (error) {
        // A picture from another host may be shown but not read; the worker fetches it itself.
        if (url) await tell("preview", { url, by });
      }
    },
    progress: ({ value, by }) => tell("progress", { text: value, by }),
    error: ({ value, by }) => tell("error", { text: value, by }),
    human: ({ value, by }) => tell("human", { text: value, by }),
    done: ({ url, by }) => tell("done", { url: url || "", by }),
  };

  let run = 0;
  let last = {};
  let wasBusy = false;
  // A page that shows when it works has its result once it has worked and works no more.
  const works = () => {
    if (!config.observe.busy) return false;
    const found = find(config.observe.busy);
    const busy = Boolean(found) && shown(found.element);
    wasBusy ||= busy;
    return busy || !wasBusy;
  };
  let settling = {};
  // A drawing is shown before it is finished.
  const settleMs = config.observe.done ? config.observe.done.settle_ms || (config.observe.done.source === "canvas" ? config.canvasSettleMs : 0) : 0;
  // A page may take its last preview away a moment after it has ceased to work.
  const settle = (value) => {
    if (settling.timer && settling.value === value) return;
    clearTimeout(settling.timer);
    const timer = setTimeout(() => {
      settling = {};
      const sight = read("done");
      if (sight && sight.value !== value) settle(sight.value);
      else if (sight && !works()) look("done", true);
    }, settleMs);
    settling = { value, timer };
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

  new MutationObserver(schedule).observe(document, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: config.attributes });
  document.addEventListener("load", schedule, true);
  // A canvas changes without a mutation.
  if (Object.values(config.observe).some((watch) => watch.source === "canvas")) setInterval(schedule, config.canvasPollMs);

  Object.defineProperty(window, "__darkroom", { value: Object.freeze({
    // From now on changes are told; what is on the page already is not news.
    arm(number) {
      run = number;
      clearTimeout(settling.timer);
      settling = {};
      wasBusy = false;
      last = Object.fromEntries(Object.keys(READ).map((kind) => [kind, (read(kind) || {}).value]));
    },
    // The page that was armed has been left for this one: all that it shows is news.
    join(number) {
      run = number;
      wasBusy = true;
      schedule();
    },
    // The bytes behind a blob:, data: or same-origin address, as base64.
    async read(url) {
      const blob = blobs.get(url) || await (await fetch(url)).blob();
      if (blob.size > config.largest) throw new RangeError("too large");
      return toBase64(blob);
    },
  }) });
}
