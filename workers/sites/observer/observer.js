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

  // Messages of event streams, which pages read with EventSource or with fetch; the browser reports only WebSockets.
  const MAX_EVENT_CHARS = 65536, MAX_EVENTS_PER_SECOND = 50;
  let eventsSince = 0, eventCount = 0;
  const reportEvent = (data) => {
    const now = performance.now();
    if (now - eventsSince > 1000) { eventsSince = now; eventCount = 0; }
    if (!run || data.length > MAX_EVENT_CHARS || ++eventCount > MAX_EVENTS_PER_SECOND) return;
    report("event", { text: data });
  };
  const readEventStream = async (body) => {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done: isOver, value } = await reader.read();
      if (isOver) return;
      const blocks = (rest + value).replace(/\r\n?/g, "\n").split("\n\n");
      rest = blocks.pop().slice(-MAX_EVENT_CHARS);
      for (const block of blocks) {
        const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
        if (data.length) reportEvent(data.join("\n"));
      }
    }
  };
  if (config.hasFrames) {
    const pageFetch = window.fetch;
    window.fetch = async function (...parameters) {
      const response = await pageFetch.apply(this, parameters);
      const isStream = response.body && (response.headers.get("content-type") || "").startsWith("text/event-stream");
      // The stream ends with an error when the page aborts it.
      if (isStream) readEventStream(response.clone().body).catch(() => {});
      return response;
    };
    window.EventSource = class extends window.EventSource {
      constructor(...parameters) {
        super(...parameters);
        this.addEventListener("message", ({ data }) => reportEvent(String(data)));
      }
    };
  }

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
  const isShown = (watch) => {
    const match = find(watch);
    return Boolean(match) && isVisible(match.element);
  };

  // The words of an element, line by line, without the captions of buttons and what only decorates.
  const DECORATION = "button, [role=button], svg, script, style, [aria-hidden=true]";
  const wordsOf = (root) => {
    const lines = [];
    let lastBlock = null;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node && lines.length < 200; node = walker.nextNode()) {
      const text = node.data.replace(/\s+/g, " "), parent = node.parentElement;
      const decoration = parent && parent.closest(DECORATION);
      if ((decoration && decoration !== root && root.contains(decoration)) || !isVisible(parent)) continue;
      let block = parent;
      while (block !== root && getComputedStyle(block).display.startsWith("inline")) block = block.parentElement;
      if (block === lastBlock) lines[lines.length - 1] += text;
      else if (text.trim()) lines.push(text);
      // White space between blocks belongs to none of them.
      if (text.trim()) lastBlock = block;
    }
    return lines.map((line) => line.trim());
  };

  const imageUrl = (watch, element) => {
    if (watch.source === "background-image") return (getComputedStyle(element).backgroundImage.match(/url\("(.*)"\)/) || [])[1] || "";
    if (watch.source === "poster") return element.poster || "";
    return element.currentSrc || element.src || element.href || "";
  };
  // Whole numbers may be steps; fractions are only a share.
  const ratio = (now, max) => (Number.isInteger(now) && Number.isInteger(max) ? `${now}/${max}` : `${(100 * now) / max}%`);
  const progressText = (watch, element) => {
    if (watch.source === "aria-valuenow") {
      const now = element.getAttribute("aria-valuenow");
      return now === null ? "" : ratio(Number(now), Number(element.getAttribute("aria-valuemax") || 100));
    }
    if (watch.source === "width") {
      const fullWidth = element.parentElement.getBoundingClientRect().width;
      return fullWidth ? `${((100 * element.getBoundingClientRect().width) / fullWidth).toFixed(1)}%` : "";
    }
    if (!watch.pattern && element instanceof HTMLProgressElement) return element.position < 0 ? "" : `${100 * element.position}%`;
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
  const loadCounts = new WeakMap();
  document.addEventListener("load", ({ target }) => loadCounts.set(target, (loadCounts.get(target) || 0) + 1), true);

  // Pictures. What the page shows when the prompt is submitted is remembered by its address and by how often each
  // element has loaded; only what differs is new. The worker compares the bytes.
  let knownUrls = new Set(), knownLoads = new WeakMap(), ignored = new WeakMap();
  // A data: URL may have megabytes; samples of it tell two pictures apart while they are watched.
  const sample = (url) => url.length < 4096 ? url : `${url.length} ${Array.from({ length: 33 }, (_, i) => url.substr(Math.floor((i * (url.length - 64)) / 32), 64)).join("")}`;
  const keyOf = ({ url, value, element }) => `${sample(url || value)} ${loadCounts.get(element) || 0}`;
  const isNew = (picture) => {
    if (ignored.get(picture.element) === keyOf(picture)) return false;
    if (!knownUrls.has(picture.url || picture.value)) return true;
    // The same address with other bytes: the element was loaded again.
    return knownLoads.has(picture.element) && (loadCounts.get(picture.element) || 0) > knownLoads.get(picture.element);
  };
  const readPicture = (watch, element, isResult) => {
    if (watch.source === "canvas" || element instanceof HTMLCanvasElement) return { value: canvasDigest(element, isResult), url: "", element };
    const url = imageUrl(watch, element);
    return url ? { value: url, url, element } : null;
  };
  const isLoaded = ({ element }) => !(element instanceof HTMLImageElement) || Boolean(element.complete && element.naturalWidth);
  const picturesOf = (watch, chain) => queryChain(chain).map((element) => readPicture(watch, element, watch === config.observe.done)).filter(Boolean);
  // The new pictures of the first alternative that has any which can be seen.
  const newPictures = (watch) => {
    for (const chain of watch.selectors) {
      const pictures = picturesOf(watch, chain).filter((picture) => isVisible(picture.element) && isNew(picture));
      if (pictures.some(isLoaded)) return { pictures, selector: chain.join(" > ") };
    }
    return null;
  };
  const resultWatch = config.results || config.observe.done;

  // Readers return the state of a watched element, or null. A change of "value" is an observation.
  const readText = (watch) => {
    const match = find(watch);
    if (!match || !isVisible(match.element)) return null;
    const text = progressText(watch, match.element).trim();
    return text ? { value: extract(watch.pattern, text.slice(0, 500)), element: match.element, selector: match.selector } : null;
  };
  const READERS = {
    // A request for a person may be a frame without text, such as a CAPTCHA.
    human(watch) {
      const match = find(watch);
      if (!match || !isVisible(match.element)) return null;
      return { value: textOf(match.element).slice(0, 500) || match.element.src || match.element.tagName, ...match };
    },
    preview(watch) {
      const found = newPictures(watch);
      const picture = found && found.pictures.find(isLoaded);
      return picture ? { ...picture, value: keyOf(picture), selector: found.selector } : null;
    },
    progress: readText,
    started: readText,
  };
  const read = (kind) => {
    const watch = config.observe[kind];
    return watch ? READERS[kind](watch) : null;
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

  // Taken away from the page, which could flood the worker with it.
  const send = window[config.binding];
  delete window[config.binding];
  const report = (kind, message) => send({ run, kind, ...message });
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
    started: ({ value, selector }) => report("started", { text: value, selector }),
    human: ({ value, selector }) => report("human", { text: value, selector }),
  };

  // Number of the current submission; 0 means that nothing is reported.
  let run = 0;
  let lastValues = {};
  const reportedAt = { preview: 0, progress: 0 };
  const delayedChecks = {};
  const check = (kind) => {
    const state = read(kind);
    if (!state || state.value === lastValues[kind]) return;
    const wait = kind in reportedAt ? reportedAt[kind] + config.intervalMs - performance.now() : 0;
    if (wait > 0) {
      delayedChecks[kind] ??= setTimeout(() => { delayedChecks[kind] = null; if (run) check(kind); }, wait);
      return;
    }
    lastValues[kind] = state.value;
    if (kind in reportedAt) reportedAt[kind] = performance.now();
    changedAt = performance.now();
    reporters[kind](state);
  };

  // Errors. Several may be visible at a time, and an old one may stay; each element's words are reported once.
  let reportedErrors = new WeakMap();
  const visibleErrors = () => config.observe.error.flatMap((watch, entry) => watch.selectors.flatMap((chain) => queryChain(chain)
    .filter(isVisible).map((element) => {
      const special = watch.source && watch.source !== "text";
      const text = special ? progressText(watch, element) : wordsOf(element).join("\n") || String(element.value || "");
      return { entry, element, selector: chain.join(" > "), text: text.trim().slice(0, 2000) };
    }))).filter(({ text }) => text);
  const errorKey = ({ entry, selector, text }) => `${entry} ${selector} ${text}`;
  const checkErrors = () => {
    for (const error of visibleErrors()) {
      const known = reportedErrors.get(error.element) || new Set();
      if (known.has(errorKey(error))) continue;
      reportedErrors.set(error.element, known.add(errorKey(error)));
      report("error", { text: error.text, selector: error.selector, entry: error.entry });
    }
  };

  // The end of the generation. Times are those of performance.now().
  let baselineLines = new Set();
  let wasBusy = false, wasBusyBefore = false, isEnded = false, isReported = false;
  let changedAt = 0, resultAt = 0, idleAt = 0, stillReportedAt = 0;
  let resultKey = "";
  let timer = null;
  const { done, busy, until } = config.observe;
  // A canvas is visible before its drawing is finished, so its result must stay unchanged for a while.
  const settleMs = done ? done.settle_ms || (done.source === "canvas" ? config.canvasSettleMs : 0) : 0;
  // The visible words that were not there when the prompt was submitted.
  const newWords = () => wordsOf(document.body).filter((line) => !baselineLines.has(line)).join("\n").slice(0, 500);
  const later = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(checkAll, Math.max(20, ms));
  };
  const checkEnd = () => {
    if (!done || isReported) return;
    const now = performance.now();
    const found = newPictures(done);
    const key = found ? found.pictures.map((picture) => `${keyOf(picture)} ${isLoaded(picture)}`).join("\n") : "";
    if (key !== resultKey) { resultKey = key; resultAt = changedAt = now; }
    const isBusy = Boolean(busy) && isShown(busy);
    // A sign of work that was there before the prompt was submitted, and never went, belongs to something else.
    if (!isBusy) wasBusyBefore = false;
    else { wasBusy = !wasBusyBefore; idleAt = now; }
    if (until && isShown(until)) isEnded = true;
    const hasEndSign = config.hasUntil || Boolean(busy);
    const hasEnded = !hasEndSign || isEnded || (!config.hasUntil && wasBusy && !isBusy);
    const idleSince = hasEndSign ? idleAt : 0;
    if (hasEnded && found) {
      const stillMs = now - Math.max(resultAt, idleSince);
      if (stillMs < settleMs) return later(settleMs - stillMs);
      isReported = true;
      report("done", { selector: found.selector });
    } else if (hasEnded && hasEndSign) {
      const stillMs = now - Math.max(changedAt, idleSince);
      if (stillMs < done.empty_ms) return later(Math.min(1000, done.empty_ms - stillMs));
      isReported = true;
      report("empty", { text: newWords() });
    } else if (hasEndSign) {
      // The sign of the end may never come. The worker decides, because it knows the page's connections.
      const quietMs = now - changedAt;
      if (quietMs >= 1000 && now - stillReportedAt >= 900) {
        stillReportedAt = now;
        report("still", { text: `${Math.round(quietMs)} ${isBusy ? "busy" : "idle"} ${found ? "pictures" : "empty"}` });
      }
      later(1000);
    }
  };
  let isScheduled = false;
  const checkAll = () => {
    isScheduled = false;
    if (!run) return;
    // The end comes last, so that the preceding observations are reported before it.
    for (const kind of ["human", "started", "progress", "preview"]) check(kind);
    checkErrors();
    checkEnd();
  };
  const schedule = () => {
    if (isScheduled || !run) return;
    isScheduled = true;
    queueMicrotask(checkAll);
  };

  new MutationObserver(schedule).observe(document, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: config.attributes });
  document.addEventListener("load", schedule, true);
  // Drawing on a canvas causes no mutation, so canvases are polled.
  if (Object.values(config.observe).some((watch) => watch && watch.source === "canvas")) setInterval(schedule, config.canvasPollMs);

  const begin = (number) => {
    run = number;
    clearTimeout(timer);
    wasBusy = wasBusyBefore = isEnded = isReported = false;
    changedAt = resultAt = idleAt = stillReportedAt = performance.now();
    resultKey = "";
  };
  const knownPictures = () => [done, config.results, config.observe.preview].filter(Boolean)
    .flatMap((watch) => watch.selectors.flatMap((chain) => picturesOf(watch, chain)));
  const results = () => {
    if (!resultWatch) return [];
    const alternatives = resultWatch.selectors.map((chain) => picturesOf(resultWatch, chain).filter(isNew));
    const visible = alternatives.map((pictures) => pictures.filter(({ element }) => isVisible(element)));
    return [...visible, ...alternatives].find((pictures) => pictures.length) || [];
  };

  const waitFor = async (condition, ms) => {
    const until = performance.now() + ms;
    while (!condition() && performance.now() < until) await new Promise((next) => setTimeout(next, 50));
  };

  Object.defineProperty(window, "__darkroom", { value: Object.freeze({
    // Begin to report changes; the present state of the page is the baseline. Returns the addresses of its pictures.
    arm(number) {
      begin(number);
      wasBusyBefore = Boolean(busy) && isShown(busy);
      const pictures = knownPictures();
      knownUrls = new Set(pictures.map(({ url, value }) => url || value));
      knownLoads = new WeakMap(pictures.map(({ element }) => [element, loadCounts.get(element) || 0]));
      ignored = new WeakMap();
      lastValues = Object.fromEntries(Object.keys(READERS).map((kind) => [kind, (read(kind) || {}).value]));
      reportedErrors = new WeakMap();
      for (const error of visibleErrors()) reportedErrors.set(error.element, (reportedErrors.get(error.element) || new Set()).add(errorKey(error)));
      baselineLines = new Set(wordsOf(document.body));
      return [...new Set(pictures.map(({ url }) => url))].filter(Boolean);
    },
    // Continue after a navigation: the armed page was replaced by this one, so everything it shows is new.
    join(number) {
      begin(number);
      wasBusy = true;
      schedule();
    },
    // The elements that show the finished pictures, after waiting for them for at most so many milliseconds.
    async results(ms) {
      await waitFor(() => results().length, ms);
      return results().map(({ element }) => element);
    },
    // The pictures that were reported as finished are not new: wait for others.
    reject() {
      for (const picture of [...results(), ...knownPictures().filter(isNew)]) ignored.set(picture.element, keyOf(picture));
      isReported = false;
      schedule();
    },
    // The program has said by other means that the generation has ended.
    end() {
      isEnded = true;
      idleAt = performance.now();
      schedule();
    },
    // Return when the page shows no sign of work, or after so many milliseconds.
    whenIdle: (ms) => waitFor(() => !busy || !isShown(busy), ms),
    // Whether an error with these words is still visible.
    showsError: (text) => visibleErrors().some((error) => error.text === text),
    newWords,
    // The bytes behind a blob:, data: or same-origin URL, as base64.
    async read(url) {
      const blob = blobs.get(url) || await (await fetch(url)).blob();
      if (blob.size > config.maxImageBytes) throw new RangeError("too large");
      return toBase64(blob);
    },
  }) });
}
