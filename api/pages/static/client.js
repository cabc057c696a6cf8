/**
 * The JavaScript client of Darkroom: for browsers and Node 20 or newer, without dependencies.
 *
 *     import { Darkroom } from "http://127.0.0.1:3000/client.js";
 *     const darkroom = new Darkroom("http://127.0.0.1:3000", key);
 *     const picture = await darkroom.generate("a lighthouse at dusk");
 *
 * Pages of other origins must be listed in CORS_ORIGINS. Every visitor of a page can read the key that it uses.
 */

/**
 * @typedef {object} Job A job as the API returns it; see /docs.
 * @property {string} id
 * @property {"QUEUED" | "STARTING" | "PENDING" | "COMPLETED" | "FAILED"} status
 * @property {number} seq Increases with every visible change.
 * @property {number | null} position Place in the queue, from 1; null once a worker has the job.
 * @property {{percentage: number, step: number | null, steps: number | null} | null} progress
 * @property {{code: string, message: string, hint: string, retryable: boolean} | null} error
 * @property {{url: string, type: string, width: number, height: number}[]} results
 */

/**
 * @typedef {object} JobEvent An event of a job.
 * @property {string} type queued, starting, in_progress, preview, retried, completed or failed.
 * @property {number} seq Counts from 1.
 * @property {Record<string, any>} data The whole JSON object.
 */

/**
 * @typedef {object} JobFields The optional fields of a job.
 * @property {string} [site]
 * @property {string} [lora]
 * @property {Record<string, unknown>} [inputs]
 * @property {Record<string, Blob | {uploadId: string} | {jobId: string, number?: number} | {jobId: string, input: string}>}
 *   [images] Pictures by the names of the site's image inputs.
 * @property {number} [priority]
 * @property {string} [webhook]
 * @property {string} [idempotencyKey] A key that was used before returns the earlier job.
 */

const LONG_POLL_S = 25;
// The server sends a comment every 15 s; a stream without any byte for this long is dead.
const READ_TIMEOUT_MS = 40_000;
const MAX_TRIES = 4;
const MAX_STREAM_FAILURES = 3;
const MAX_FAILURES = 12;
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 15_000;
const RETRYABLE_STATUSES = [429, 502, 503, 504];
const EVENT_TYPES = { QUEUED: "queued", STARTING: "starting", PENDING: "in_progress", COMPLETED: "completed", FAILED: "failed" };

/** The server refused a request, or does not respond. */
export class DarkroomError extends Error {
  /**
   * @param {string} message A sentence for people.
   * @param {{status?: number, code?: string, retryAfterS?: number | null, problems?: string[],
   *   details?: Record<string, any>, job?: Job}} [more]
   */
  constructor(message, { status = 0, code = "", retryAfterS = null, problems = [], details = {}, job } = {}) {
    super(message);
    this.name = "DarkroomError";
    /** HTTP status; 0 without a response. */
    this.status = status;
    /** Stable error code of the API. */
    this.code = code;
    /** Set if the request may succeed later. */
    this.retryAfterS = retryAfterS;
    /** A sentence for each invalid field. */
    this.problems = problems;
    /** Further values for programs, such as the `suggestion` of a free name. */
    this.details = details;
    /** The failed job, if the error is about one. */
    this.job = job;
  }
}

/** A client of one Darkroom. */
export class Darkroom {
  /** @type {string} */ #url;
  /** @type {string} */ #key;

  /**
   * @param {string} url The server's address, such as http://127.0.0.1:3000.
   * @param {string} key Your API key.
   */
  constructor(url, key) {
    this.#url = url.replace(/\/+$/, "");
    this.#key = key;
    /** Your profile, collections and tokens, and those of others. */
    this.gallery = new Gallery(async (path, request) => {
      const response = await this.#request(`/api/v1/gallery${path}`, request);
      if (response.ok && response.headers.get("Content-Type") === "application/zip") return response.blob();
      return response.status === 204 ? null : readJson(response);
    });
  }

  /**
   * Submit a job. If the connection breaks, the request is retried with the same key: it never creates a second job.
   * @param {string} prompt
   * @param {JobFields} [fields]
   * @returns {Promise<Job>}
   */
  async submit(prompt, { idempotencyKey = uuid(), images = {}, ...fields } = {}) {
    const request = submission(prompt, images, fields);
    request.headers["Idempotency-Key"] = idempotencyKey;
    for (let tries = 0; ; tries += 1) {
      try {
        return await readJson(await this.#request("/api/v1/jobs", request));
      } catch (error) {
        const isTemporary = error instanceof DarkroomError && [0, 502, 503, 504].includes(error.status);
        if (!isTemporary || tries === MAX_TRIES - 1) throw error;
      }
      await pause(FIRST_PAUSE_MS * 2 ** tries);
    }
  }

  /**
   * Upload a picture for several jobs and return its id; it is kept for an hour.
   * @param {Blob} image
   * @returns {Promise<string>}
   */
  async upload(image) {
    const body = new FormData();
    body.append("file", image, "picture");
    return (await readJson(await this.#request("/api/v1/uploads", { method: "POST", body }))).id;
  }

  /**
   * Return a job of yours.
   * @param {string} id
   * @returns {Promise<Job>}
   */
  async job(id) {
    return readJson(await this.#request(`/api/v1/jobs/${id}`));
  }

  /**
   * Cancel a job and return it; a running job ends within a second.
   * @param {string} id
   * @returns {Promise<Job>}
   */
  async cancel(id) {
    return readJson(await this.#request(`/api/v1/jobs/${id}`, { method: "DELETE" }));
  }

  /**
   * Yield a job's events from the first to the last, each once, across broken connections.
   * @param {string} id
   * @param {{signal?: AbortSignal}} [options] `signal` aborts the iteration.
   * @returns {AsyncGenerator<JobEvent>}
   */
  async *events(id, { signal } = {}) {
    const follower = { lastSeq: 0, failures: 0, canStream: true, isDone: false };
    while (!follower.isDone) {
      try {
        const events = follower.canStream ? this.#stream(id, follower, signal) : this.#poll(id, follower, signal);
        for await (const event of events) {
          follower.failures = 0;
          if (event.seq <= follower.lastSeq) continue;
          follower.lastSeq = event.seq;
          follower.isDone = event.type === "completed" || event.type === "failed";
          yield event;
          if (follower.isDone) return;
        }
      } catch (error) {
        signal?.throwIfAborted();
        countFailure(follower, error);
      }
      if (!follower.isDone && follower.failures) {
        await pause(Math.min(FIRST_PAUSE_MS * 2 ** follower.failures, MAX_PAUSE_MS), signal);
      }
    }
  }

  /**
   * Wait until a job is completed and return it; throws a DarkroomError with the `job` if it failed.
   * @param {string} id
   * @param {{signal?: AbortSignal, onEvent?: (event: JobEvent) => void}} [options]
   * @returns {Promise<Job>}
   */
  async wait(id, { signal, onEvent } = {}) {
    for await (const event of this.events(id, { signal })) onEvent?.(event);
    const job = await this.job(id);
    if (job.error) throw new DarkroomError(job.error.message, { code: job.error.code, job });
    return job;
  }

  /**
   * Return the original bytes of a finished job's image.
   * @param {string} id
   * @param {number} [number] Number of the image, from 1.
   * @returns {Promise<Blob>}
   */
  async download(id, number = 1) {
    const response = await this.#request(`/api/v1/jobs/${id}/results/${number}`);
    if (!response.ok) await readJson(response);
    return response.blob();
  }

  /**
   * Submit a job, wait for it and return its image.
   * @param {string} prompt
   * @param {JobFields & {signal?: AbortSignal, onEvent?: (event: JobEvent) => void}} [fields]
   * @returns {Promise<Blob>}
   */
  async generate(prompt, { signal, onEvent, ...fields } = {}) {
    const { id } = await this.submit(prompt, fields);
    await this.wait(id, { signal, onEvent });
    return this.download(id);
  }

  /** @returns {AsyncGenerator<JobEvent>} */
  async *#stream(id, follower, signal) {
    const timeout = new AbortController();
    const headers = { Accept: "text/event-stream", "Last-Event-ID": String(follower.lastSeq) };
    const either = signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal;
    let timer = setTimeout(() => timeout.abort(), READ_TIMEOUT_MS);
    try {
      const response = await this.#request(`/api/v1/jobs/${id}/events`, { headers, signal: either });
      // No Content: the job has no further events.
      if (response.status === 204) {
        follower.isDone = true;
        return;
      }
      if (!response.ok) await readJson(response);
      // Another successful response comes from a proxy in place of the server.
      if (!response.headers.get("Content-Type")?.startsWith("text/event-stream") || !response.body) {
        follower.canStream = false;
        return;
      }
      for await (const block of blocks(response.body)) {
        clearTimeout(timer);
        timer = setTimeout(() => timeout.abort(), READ_TIMEOUT_MS);
        const event = readBlock(block);
        if (event) yield event;
      }
    } finally {
      clearTimeout(timer);
      timeout.abort();
    }
    if (!follower.isDone) throw new DarkroomError("The event stream ended before the job's last event.");
  }

  /** @returns {AsyncGenerator<JobEvent>} */
  async *#poll(id, follower, signal) {
    const path = `/api/v1/jobs/${id}?wait=${LONG_POLL_S}&since=${follower.lastSeq}`;
    const job = await readJson(await this.#request(path, { signal }));
    yield { type: EVENT_TYPES[job.status], seq: job.seq, data: job };
  }

  /** @returns {Promise<Response>} */
  async #request(path, { headers = {}, ...rest } = {}) {
    try {
      const authorized = { Authorization: `Bearer ${this.#key}`, ...headers };
      return await fetch(this.#url + path, { ...rest, headers: authorized, cache: "no-store" });
    } catch (error) {
      throw new DarkroomError(`Darkroom does not answer: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/**
 * The gallery: fields and objects are JSON as in the API, see /docs. Lists come in pages of `items`, with a `nextCursor`
 * that the next call passes on as `cursor`, until it is null.
 *
 * @typedef {object} ListOptions
 * @property {string} [cursor]
 * @property {number} [limit]
 * @property {"include" | "exclude" | "only"} [explicit] `hidden` counts what it hides.
 */
class Gallery {
  /** @type {(path: string, request?: object) => Promise<any>} */ #send;

  /** @param {(path: string, request?: object) => Promise<any>} send */
  constructor(send) {
    this.#send = send;
  }

  /** Return your profile, or that of an address. @param {string} [address] */
  profile(address) {
    return this.#send(address ? `/profiles/${part(address)}` : "/profile");
  }

  /** Change `username`, `bio`, `link`, `twitter` or `picture` (the id of a token of yours). @param {object} changes */
  updateProfile(changes) {
    return this.#send("/profile", jsonRequest("PATCH", changes));
  }

  /**
   * Return a page of the latest collections, or of those of one `owner`, an address or "me".
   * @param {ListOptions & {owner?: string}} [options]
   */
  listCollections(options = {}) {
    return this.#send(`/collections${query(options)}`);
  }

  /** Return a collection. @param {string} slug */
  collection(slug) {
    return this.#send(`/collections/${part(slug)}`);
  }

  /**
   * Create a collection; if its slug is taken, the error's `details.suggestion` is a free one.
   * @param {string} name
   * @param {{slug?: string, description?: string, explicit?: boolean, royaltyFee?: number}} [fields]
   */
  createCollection(name, fields = {}) {
    return this.#send("/collections", jsonRequest("POST", { name, ...fields }));
  }

  /** Change fields of a collection, also `status` and `picture`. @param {string} slug @param {object} changes */
  updateCollection(slug, changes) {
    return this.#send(`/collections/${part(slug)}`, jsonRequest("PATCH", changes));
  }

  /** Delete a collection without tokens. @param {string} slug */
  deleteCollection(slug) {
    return this.#send(`/collections/${part(slug)}`, { method: "DELETE" });
  }

  /**
   * Return a page of the tokens of a collection, or of the latest tokens of all collections.
   * @param {string | null} [slug]
   * @param {ListOptions} [options]
   */
  listTokens(slug, options = {}) {
    return this.#send(`${slug ? `/collections/${part(slug)}` : ""}/tokens${query(options)}`);
  }

  /** Return a token. @param {string} tokenId */
  token(tokenId) {
    return this.#send(`/tokens/${part(tokenId)}`);
  }

  /**
   * Add a token to a collection of yours: with the picture of a job (`jobId`, `number`), with an image of the library
   * (`imageId`), or with `picture`.
   * @param {string} slug
   * @param {{jobId?: string, number?: number, imageId?: number, picture?: Blob, name?: string, description?: string,
   *   amount?: string | number, attributes?: object[], promptPrivate?: boolean}} fields
   */
  add(slug, { picture, ...fields }) {
    const path = `/collections/${part(slug)}/tokens`;
    if (!picture) return this.#send(path, jsonRequest("POST", fields));
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) {
      if (value != null) body.append(name, typeof value === "string" ? value : JSON.stringify(value));
    }
    body.append("file", picture, "picture");
    return this.#send(path, { method: "POST", body });
  }

  /** Change fields of a token. @param {string} tokenId @param {object} changes */
  updateToken(tokenId, changes) {
    return this.#send(`/tokens/${part(tokenId)}`, jsonRequest("PATCH", changes));
  }

  /**
   * Move a token to another collection of yours, and there before another token or to the end.
   * @param {string} tokenId
   * @param {{collection?: string, before?: string}} place
   */
  moveToken(tokenId, place) {
    return this.#send(`/tokens/${part(tokenId)}/move`, jsonRequest("POST", place));
  }

  /** Put tokens of a collection into an order among themselves. @param {string} slug @param {string[]} tokenIds */
  reorder(slug, tokenIds) {
    return this.#send(`/collections/${part(slug)}/order`, jsonRequest("PUT", { tokenIds }));
  }

  /**
   * Set the offer of a token, or withdraw it with null.
   * @param {string} tokenId
   * @param {{price: string | number, startTime: string | number, endTime: string | number, amount?: string} | null} listing
   */
  setListing(tokenId, listing) {
    const path = `/tokens/${part(tokenId)}/listing`;
    return this.#send(path, listing ? jsonRequest("PUT", listing) : { method: "DELETE" });
  }

  /** Have the derived pictures of a token made again. @param {string} tokenId */
  refresh(tokenId) {
    return this.#send(`/tokens/${part(tokenId)}/refresh`, { method: "POST" });
  }

  /** Return what made the picture of a token, and whether it can be made again. @param {string} tokenId */
  provenance(tokenId) {
    return this.#send(`/tokens/${part(tokenId)}/provenance`);
  }

  /**
   * Make a new job of yours with the inputs of a token's job, and return it. If a model or the site is gone, the error's
   * `details.reasons` say so.
   * @param {string} tokenId
   */
  rerun(tokenId) {
    return this.#send(`/tokens/${part(tokenId)}/rerun`, { method: "POST" });
  }

  /**
   * Return a collection as a zip with a page that opens from disk; `withoutPrivate` leaves out private prompts.
   * @param {string} slug
   * @param {{withoutPrivate?: boolean}} [options]
   * @returns {Promise<Blob>}
   */
  exportCollection(slug, { withoutPrivate = false } = {}) {
    return this.#send(`/collections/${part(slug)}/export${withoutPrivate ? "?private=omit" : ""}`);
  }

  /**
   * Make a collection of yours from an exported one. Return `collection`, the number of `tokens`, and `problems`.
   * @param {Blob} archive
   */
  importCollection(archive) {
    return this.#send("/import", { method: "POST", body: archive, headers: { "Content-Type": "application/zip" } });
  }

  /** Delete a token permanently. @param {string} tokenId */
  deleteToken(tokenId) {
    return this.#send(`/tokens/${part(tokenId)}`, { method: "DELETE" });
  }
}

/**
 * Return the parsed body of a genuine webhook delivery; throws a DarkroomError if it is not genuine or if the secret is
 * invalid. Checks HMAC signatures (v1).
 * @param {string} secret whsec_…
 * @param {Headers | Record<string, string>} headers
 * @param {string} body As received, not parsed.
 * @param {{toleranceS?: number}} [options] Maximum age in seconds.
 * @returns {Promise<any>}
 */
export async function verifyWebhook(secret, headers, body, { toleranceS = 300 } = {}) {
  const known = new Headers(headers);
  const [id, timestamp, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => known.get(name));
  if (!id || !timestamp || !signatures) throw new DarkroomError("This delivery is not genuine: it is not signed.");
  // Written so that NaN fails too.
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= toleranceS)) {
    throw new DarkroomError("This delivery is not genuine: its timestamp is too old or invalid.");
  }
  const raw = decodeBase64(String(secret ?? "").replace(/^whsec_/, ""));
  if (!raw.length) throw new DarkroomError("Invalid secret: expected 'whsec_' followed by base64.");
  const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  const content = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
  for (const signature of signatures.split(" ")) {
    const [version, text] = signature.split(",", 2);
    // crypto.subtle compares in constant time.
    if (version === "v1" && (await crypto.subtle.verify("HMAC", key, decodeBase64(text ?? ""), content))) return parseBody(body);
  }
  throw new DarkroomError("This delivery is not genuine: no signature matches.");
}

/** Return the request of a submission: JSON, or a form if there are pictures to send. */
function submission(prompt, images, fields) {
  const files = Object.entries(images).filter(([, image]) => image instanceof Blob);
  const references = Object.fromEntries(Object.entries(images).filter(([, image]) => !(image instanceof Blob)));
  const inputs = { ...fields.inputs, ...references };
  const values = { prompt, ...fields, ...(Object.keys(inputs).length ? { inputs } : {}) };
  if (!files.length) {
    return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) };
  }
  const body = new FormData();
  for (const [name, value] of Object.entries(values)) {
    if (value != null) body.append(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  for (const [name, image] of files) body.append(name, image, "picture");
  return { method: "POST", headers: {}, body };
}

function jsonRequest(method, values) {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) };
}

function part(text) {
  return encodeURIComponent(text);
}

function query(options) {
  const given = Object.entries(options).filter(([, value]) => value != null);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

function parseBody(body) {
  try {
    return JSON.parse(body);
  } catch {
    throw new DarkroomError("This delivery is not genuine: its body is not JSON.");
  }
}

/** Return the JSON body of a response; throws a DarkroomError if it is an error or not JSON. */
async function readJson(response) {
  const { status } = response;
  let body;
  try {
    body = await response.json();
  } catch {
    throw new DarkroomError(`${response.url} does not answer like Darkroom (status ${status}).`, { status });
  }
  if (response.ok) return body;
  // The original APIs send "error" as a string, the native API as an object.
  const error = typeof body?.error === "object" && body.error ? body.error : { message: String(body?.error ?? status) };
  throw new DarkroomError(error.message, {
    status,
    code: error.code,
    retryAfterS: Number(response.headers.get("Retry-After")) || null,
    problems: Array.isArray(error.details) ? error.details : [],
    details: Array.isArray(error.details) ? {} : (error.details ?? {}),
  });
}

/** Rethrow permanent errors; after some failures in a row switch to long polls, after many give up. */
function countFailure(follower, error) {
  const status = error instanceof DarkroomError ? error.status : 0;
  follower.failures += 1;
  if (follower.failures >= MAX_STREAM_FAILURES) follower.canStream = false;
  if ((status && !RETRYABLE_STATUSES.includes(status)) || follower.failures > MAX_FAILURES) throw error;
}

/** Yield the blocks of an event stream, which are separated by empty lines. */
async function* blocks(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (text + value).replaceAll("\r\n", "\n").split("\n\n");
      text = parts.pop() ?? "";
      yield* parts;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Return the event of a block; null for a comment. */
function readBlock(block) {
  const lines = block.split("\n");
  const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
  if (!data.length) return null;
  const payload = JSON.parse(data.join("\n"));
  return { type: payload.type, seq: payload.seq, data: payload };
}

/** Decode base64; invalid input gives an empty array. */
function decodeBase64(text) {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

/** crypto.randomUUID exists in secure contexts only, and a Darkroom on a home network is served over plain HTTP. */
function uuid() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {number} ms @param {AbortSignal} [signal] */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve(undefined);
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
