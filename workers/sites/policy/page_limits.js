// Limits what a page may do at once, in every frame; more is dropped. Installed by workers/sites/policy/page_limits.py.
(limits) => {
  // A token bucket: a burst, and then so many a second.
  const limiter = ({ burst, perSecond }) => {
    let tokens = burst, filledAt = performance.now();
    return () => {
      const now = performance.now();
      tokens = Math.min(burst, tokens + (now - filledAt) * perSecond / 1000);
      filledAt = now;
      return tokens >= 1 && (tokens -= 1, true);
    };
  };
  const mayLog = limiter(limits.messages);
  for (const name of Object.keys(console)) {
    const original = console[name];
    if (typeof original === "function") console[name] = (...values) => (mayLog() ? original.apply(console, values) : undefined);
  }
  // Errors that are handled are not reported to the console.
  for (const type of ["error", "unhandledrejection"]) {
    window.addEventListener(type, (event) => { if (!mayLog()) event.preventDefault(); });
  }
  // The native function behind Playwright's bindings, by which the page could send messages past the observer.
  const binding = window.__playwright__binding__;
  if (binding) {
    const maySend = limiter(limits.bindings);
    window.__playwright__binding__ = (payload) => { if (maySend()) binding(payload); };
  }
  const mayAsk = limiter(limits.dialogs);
  for (const [name, answer] of [["alert", undefined], ["confirm", false], ["prompt", null]]) {
    const original = window[name];
    window[name] = (...values) => (mayAsk() ? original.apply(window, values) : answer);
  }
  const mayOpen = limiter(limits.windows);
  const open = window.open;
  window.open = (...values) => (mayOpen() ? open.apply(window, values) : null);
  // Constructors throw, as they do when a resource is exhausted.
  const limitConstructor = (name, limit) => {
    const mayConstruct = limiter(limit);
    const Original = window[name];
    if (!Original) return;
    window[name] = class extends Original {
      constructor(...values) {
        if (!mayConstruct()) throw new DOMException(`The page uses ${name} too often.`, "QuotaExceededError");
        super(...values);
      }
    };
  };
  limitConstructor("Worker", limits.workers);
  limitConstructor("WebSocket", limits.sockets);
  limitConstructor("EventSource", limits.sockets);
  // Requests wait for their turn, because a page may depend on each of them.
  const mayFetch = limiter(limits.requests);
  let waiting = 0;
  const turn = async () => {
    if (waiting >= limits.waitingRequests) throw new TypeError("Too many requests.");
    waiting += 1;
    do await new Promise((ready) => setTimeout(ready, 50)); while (!mayFetch());
    waiting -= 1;
  };
  const pageFetch = window.fetch;
  window.fetch = (...values) => (mayFetch() ? pageFetch(...values) : turn().then(() => pageFetch(...values)));
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (...values) {
    if (mayFetch()) send.apply(this, values);
    else turn().then(() => send.apply(this, values)).catch(() => this.abort());
  };
}
