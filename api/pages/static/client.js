/**
 * The JavaScript client of Darkroom: for browsers and for Node from 20 on, without dependencies.
 *
 *     import { Darkroom } from "http://127.0.0.1:3000/client.js";
 *     const darkroom = new Darkroom("http://127.0.0.1:3000", key);
 *     const picture = await darkroom.generate("a lighthouse at dusk");
 *
 * A page of another origin must be named in CORS_ORIGINS. Give no page a key that its readers should not have.
 */

/**
 * @typedef {object} Job A job as the API shows it; see /docs.
 * @property {string} id
 * @property {"QUEUED" | "STARTING" | "PENDING" | "COMPLETED" | "FAILED"} status
 * @property {number} seq Grows with every visible change.
 * @property {number | null} position 1 is next; null once a worker has it.
 * @property {{percentage: number, step: number | null, steps: number | null} | null} progress
 * @property {{code: string, message: string, hint: string, retryable: boolean} | null} error
 * @property {{url: string, type: string, width: number, height: number}[]} results
 */

/**
 * @typedef {object} JobEvent Something that has happened to a job.
 * @property {string} type queued, starting, in_progress, preview, retried, completed or failed.
 * @property {number} seq Counts from 1.
 * @property {Record<string, any>} data All that the API says of it.
 */

/**
 * @typedef {object} Wanted What a job may have besides its prompt.
 * @property {string} [site]
 * @property {string} [lora]
 * @property {Record<string, unknown>} [inputs]
 * @property {number} [priority]
 * @property {string} [webhook]
 * @property {string} [idempotencyKey] The same key makes no second job.
 */

const WAIT_S = 25;
const SILENCE_MS = 40_000;
const TRIES = 4;
const FAILURES_TO_POLL = 3;
const MOST_FAILURES = 12;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const PASSING = [429, 502, 503, 504];
const STATES = { QUEUED: "queued", STARTING: "starting", PENDING: "in_progress", COMPLETED: "completed", FAILED: "failed" };

/** Darkroom has refused, or nobody answers. */
export class DarkroomError extends Error {
  /**
   * @param {string} message A sentence for people.
   * @param {{status?: number, code?: string, retryAfterS?: number | null, problems?: string[], job?: Job}} [about]
   */
  constructor(message, { status = 0, code = "", retryAfterS = null, problems = [], job } = {}) {
    super(message);
    this.name = "DarkroomError";
    /** HTTP's status; 0 if nobody answered. */
    this.status = status;
    /** Darkroom's own code. */
    this.code = code;
    /** Set where waiting helps. */
    this.retryAfterS = retryAfterS;
    /** A sentence for each thing that is wrong with the request. */
    this.problems = problems;
    /** The job that has failed, if one has. */
    this.job = job;
  }
}

/** A Darkroom somewhere. */
export class Darkroom {
  /** @type {string} */ #url;
  /** @type {string} */ #key;

  /**
   * @param {string} url Where it is, as in http://127.0.0.1:3000.
   * @param {string} key Your key.
   */
  constructor(url, key) {
    this.#url = url.replace(/\/+$/, "");
    this.#key = key;
  }

  /**
   * A new job. A connection that breaks meanwhile is tried again and makes no second one.
   * @param {string} prompt
   * @param {Wanted} [wanted]
   * @returns {Promise<Job>}
   */
  async submit(prompt, { idempotencyKey = uuid(), ...fields } = {}) {
    const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
    const request = { method: "POST", headers, body: JSON.stringify({ prompt, ...fields }) };
    for (let tries = 0; ; tries += 1) {
      try {
        return await readAnswer(await this.#ask("/api/v1/jobs", request));
      } catch (error) {
        const passes = error instanceof DarkroomError && [0, 502, 503, 504].includes(error.status);
        if (!passes || tries === TRIES - 1) throw error;
      }
      await pause(FIRST_PAUSE_MS * 2 ** tries);
    }
  }

  /**
   * How a job of yours is.
   * @param {string} id
   * @returns {Promise<Job>}
   */
  async job(id) {
    return readAnswer(await this.#ask(`/api/v1/jobs/${id}`));
  }

  /**
   * The job, which ends at once or within a second.
   * @param {string} id
   * @returns {Promise<Job>}
   */
  async cancel(id) {
    return readAnswer(await this.#ask(`/api/v1/jobs/${id}`, { method: "DELETE" }));
  }

  /**
   * What happens to a job, from its first event to its last, each once, whatever connections break on the way.
   * @param {string} id
   * @param {{signal?: AbortSignal}} [options] `signal` ends it.
   * @returns {AsyncGenerator<JobEvent>}
   */
  async *events(id, { signal } = {}) {
    const place = { seen: 0, failures: 0, streams: true, over: false };
    while (!place.over) {
      try {
        const some = place.streams ? this.#stream(id, place, signal) : this.#poll(id, place, signal);
        for await (const event of some) {
          place.failures = 0;
          if (event.seq <= place.seen) continue;
          place.seen = event.seq;
          place.over = event.type === "completed" || event.type === "failed";
          yield event;
          if (place.over) return;
        }
      } catch (error) {
        signal?.throwIfAborted();
        lose(place, error);
      }
      if (!place.over && place.failures) {
        await pause(Math.min(FIRST_PAUSE_MS * 2 ** place.failures, LONGEST_PAUSE_MS), signal);
      }
    }
  }

  /**
   * The job once it has its pictures; throws a DarkroomError with the `job` if it has none.
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
   * The original bytes of a finished job's picture.
   * @param {string} id
   * @param {number} [number] Which one, from 1.
   * @returns {Promise<Blob>}
   */
  async download(id, number = 1) {
    const answer = await this.#ask(`/api/v1/jobs/${id}/results/${number}`);
    if (!answer.ok) await readAnswer(answer);
    return answer.blob();
  }

  /**
   * A picture: submit, wait and download in one.
   * @param {string} prompt
   * @param {Wanted & {signal?: AbortSignal, onEvent?: (event: JobEvent) => void}} [wanted]
   * @returns {Promise<Blob>}
   */
  async generate(prompt, { signal, onEvent, ...wanted } = {}) {
    const { id } = await this.submit(prompt, wanted);
    await this.wait(id, { signal, onEvent });
    return this.download(id);
  }

  /** @returns {AsyncGenerator<JobEvent>} */
  async *#stream(id, place, signal) {
    const silence = new AbortController();
    const headers = { Accept: "text/event-stream", "Last-Event-ID": String(place.seen) };
    const either = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal;
    let alarm = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const answer = await this.#ask(`/api/v1/jobs/${id}/events`, { headers, signal: either });
      if (answer.status === 204) {
        place.over = true;
        return;
      }
      if (!answer.ok) await readAnswer(answer);
      if (!answer.headers.get("Content-Type")?.startsWith("text/event-stream") || !answer.body) {
        place.streams = false;
        return;
      }
      for await (const block of blocks(answer.body)) {
        clearTimeout(alarm);
        alarm = setTimeout(() => silence.abort(), SILENCE_MS);
        const event = readBlock(block);
        if (event) yield event;
      }
    } finally {
      clearTimeout(alarm);
      silence.abort();
    }
    if (!place.over) throw new DarkroomError("The stream ended too early.");
  }

  /** @returns {AsyncGenerator<JobEvent>} */
  async *#poll(id, place, signal) {
    const job = await readAnswer(await this.#ask(`/api/v1/jobs/${id}?wait=${WAIT_S}&since=${place.seen}`, { signal }));
    yield { type: STATES[job.status], seq: job.seq, data: job };
  }

  /** @returns {Promise<Response>} */
  async #ask(path, { headers = {}, ...rest } = {}) {
    try {
      const authorized = { Authorization: `Bearer ${this.#key}`, ...headers };
      return await fetch(this.#url + path, { ...rest, headers: authorized, cache: "no-store" });
    } catch (error) {
      throw new DarkroomError(`Darkroom does not answer: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/**
 * What a webhook's delivery says, if it is genuine; throws a DarkroomError if it is not, or if the secret is none.
 * Checks HMAC signatures (v1).
 * @param {string} secret whsec_…
 * @param {Headers | Record<string, string>} headers
 * @param {string} body As it came, not parsed.
 * @param {{toleranceS?: number}} [options] How old it may be.
 * @returns {Promise<any>}
 */
export async function verifyWebhook(secret, headers, body, { toleranceS = 300 } = {}) {
  const known = new Headers(headers);
  const [id, timestamp, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => known.get(name));
  if (!id || !timestamp || !signatures) throw new DarkroomError("This delivery is not genuine: it is not signed.");
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= toleranceS)) {
    throw new DarkroomError("This delivery is not genuine: it is too old, or its time is no time.");
  }
  const raw = bytesOf(String(secret ?? "").replace(/^whsec_/, ""));
  if (!raw.length) throw new DarkroomError("The secret is none: it is 'whsec_' and base64, as the webhook's creation told it.");
  const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  const content = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
  for (const signature of signatures.split(" ")) {
    const [version, text] = signature.split(",", 2);
    // crypto.subtle compares in constant time.
    if (version === "v1" && (await crypto.subtle.verify("HMAC", key, bytesOf(text ?? ""), content))) return parsed(body);
  }
  throw new DarkroomError("This delivery is not genuine: no signature fits.");
}

/** What a delivery's body says. */
function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    throw new DarkroomError("This delivery is not genuine: its body is no JSON.");
  }
}

/** The JSON of an answer; throws a DarkroomError for one that is an error, or none of Darkroom's. */
async function readAnswer(answer) {
  const { status } = answer;
  let body;
  try {
    body = await answer.json();
  } catch {
    throw new DarkroomError(`${answer.url} does not answer as a Darkroom does (status ${status}).`, { status });
  }
  if (answer.ok) return body;
  const about = typeof body?.error === "object" && body.error ? body.error : { message: String(body?.error ?? status) };
  throw new DarkroomError(about.message, {
    status,
    code: about.code,
    retryAfterS: Number(answer.headers.get("Retry-After")) || null,
    problems: Array.isArray(about.details) ? about.details : [],
  });
}

/** Raise what does not pass by itself; after some failures in a row ask instead of listening, after many give up. */
function lose(place, error) {
  const status = error instanceof DarkroomError ? error.status : 0;
  place.failures += 1;
  if (place.failures >= FAILURES_TO_POLL) place.streams = false;
  if ((status && !PASSING.includes(status)) || place.failures > MOST_FAILURES) throw error;
}

/** The blocks of a stream of events, which empty lines part. */
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

/** The event of a block; null if it is a comment. */
function readBlock(block) {
  const lines = block.split("\n");
  const told = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
  if (!told.length) return null;
  const data = JSON.parse(told.join("\n"));
  return { type: data.type, seq: data.seq, data };
}

function bytesOf(base64) {
  try {
    return Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

/** crypto.randomUUID is for secure pages only, and Darkroom may be one on a network at home. */
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
