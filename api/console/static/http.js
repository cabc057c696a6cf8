// Requests to Darkroom's own API with the session's cookie.

const RETRY_MS = [500, 1000, 2000, 3000];
const GONE_STATUSES = [502, 503, 504];

export class ApiError extends Error {
  // `message` is for people; `hint` says what to do, `status` is 0 if the server did not answer.
  constructor(status, body) {
    const error = typeof body?.error === "object" ? body.error : body;
    super(describe(error) || `The server answered ${status}.`);
    this.status = status;
    this.code = error?.code || "";
    this.hint = error?.hint || "";
    this.retryable = Boolean(error?.retryable);
  }
}

// A key for one press of a button: requests that are repeated with it have one effect. Without TLS there is no randomUUID.
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function describe(error) {
  const details = Array.isArray(error?.details) ? error.details.join(" ") : "";
  return details || error?.message || (typeof error?.error === "string" ? error.error : "");
}

// Return the parsed answer. A session that has ended leads to the sign-in page.
export async function call(method, path, { body, headers = {}, signal, response = "json" } = {}) {
  const isForm = body instanceof FormData;
  const answer = await fetch(path, {
    method,
    signal,
    headers: body === undefined || isForm ? headers : { "Content-Type": "application/json", ...headers },
    body: body === undefined || isForm ? body : JSON.stringify(body),
  });
  if (answer.status === 401) leaveForSignIn();
  if (answer.ok && response === "raw") return answer;
  const parsed = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) throw new ApiError(answer.status, parsed);
  return parsed;
}

// The same for a request that may be repeated (GET, or with an idempotency key): go on until the server answers.
// `onWait` is called after each failure. If the server answers that it is not available, requests are repeated for
// `timeoutMs`; one that is gone is waited for, and the page says so by itself.
export async function callUntilAnswered(method, path, { onWait = () => {}, timeoutMs = Infinity, ...options } = {}) {
  const deadline = performance.now() + timeoutMs;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call(method, path, options);
    } catch (error) {
      if (options.signal?.aborted || !isGone(error)) throw error;
      if (error instanceof ApiError && performance.now() > deadline) throw error;
      onWait();
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]));
    }
  }
}

function isGone(error) {
  return error instanceof TypeError || (error instanceof ApiError && GONE_STATUSES.includes(error.status));
}

export function leaveForSignIn() {
  // A page that a form has opened cannot be opened again: it states where to go on.
  const here = document.documentElement.dataset.address ?? location.pathname + location.search;
  location.assign(here === "/" ? "/console/sign-in" : `/console/sign-in?next=${encodeURIComponent(here)}`);
}
