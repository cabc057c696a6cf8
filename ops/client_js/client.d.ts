/**
 * Return the parsed body of a genuine webhook delivery; throws a DarkroomError if it is not genuine or if the secret is
 * invalid. Checks HMAC signatures (v1).
 * @param {string} secret whsec_…
 * @param {Headers | Record<string, string>} headers
 * @param {string} body As received, not parsed.
 * @param {{toleranceS?: number}} [options] Maximum age in seconds.
 * @returns {Promise<any>}
 */
export function verifyWebhook(secret: string, headers: Headers | Record<string, string>, body: string, { toleranceS }?: {
    toleranceS?: number;
}): Promise<any>;
/** The server refused a request, or does not respond. */
export class DarkroomError extends Error {
    /**
     * @param {string} message A sentence for people.
     * @param {{status?: number, code?: string, retryAfterS?: number | null, problems?: string[],
     *   details?: Record<string, any>, job?: Job}} [more]
     */
    constructor(message: string, { status, code, retryAfterS, problems, details, job }?: {
        status?: number;
        code?: string;
        retryAfterS?: number | null;
        problems?: string[];
        details?: Record<string, any>;
        job?: Job;
    });
    /** HTTP status; 0 without a response. */
    status: number;
    /** Stable error code of the API. */
    code: string;
    /** Set if the request may succeed later. */
    retryAfterS: number | null;
    /** A sentence for each invalid field. */
    problems: string[];
    /** Further values for programs, such as the `suggestion` of a free name. */
    details: Record<string, any>;
    /** The failed job, if the error is about one. */
    job: Job | undefined;
}
/** A client of one Darkroom. */
export class Darkroom {
    /**
     * @param {string} url The server's address, such as http://127.0.0.1:3000.
     * @param {string} key Your API key.
     */
    constructor(url: string, key: string);
    /** Your profile, collections and tokens, and those of others. */
    gallery: Gallery;
    /**
     * Submit a job. If the connection breaks, the request is retried with the same key: it never creates a second job.
     * @param {string} prompt
     * @param {JobFields} [fields]
     * @returns {Promise<Job>}
     */
    submit(prompt: string, { idempotencyKey, images, ...fields }?: JobFields): Promise<Job>;
    /**
     * Upload a picture for several jobs and return its id; it is kept for an hour.
     * @param {Blob} image
     * @returns {Promise<string>}
     */
    upload(image: Blob): Promise<string>;
    /**
     * Return a job of yours.
     * @param {string} id
     * @returns {Promise<Job>}
     */
    job(id: string): Promise<Job>;
    /**
     * Cancel a job and return it; a running job ends within a second.
     * @param {string} id
     * @returns {Promise<Job>}
     */
    cancel(id: string): Promise<Job>;
    /**
     * Yield a job's events from the first to the last, each once, across broken connections.
     * @param {string} id
     * @param {{signal?: AbortSignal}} [options] `signal` aborts the iteration.
     * @returns {AsyncGenerator<JobEvent>}
     */
    events(id: string, { signal }?: {
        signal?: AbortSignal;
    }): AsyncGenerator<JobEvent>;
    /**
     * Wait until a job is completed and return it; throws a DarkroomError with the `job` if it failed.
     * @param {string} id
     * @param {{signal?: AbortSignal, onEvent?: (event: JobEvent) => void}} [options]
     * @returns {Promise<Job>}
     */
    wait(id: string, { signal, onEvent }?: {
        signal?: AbortSignal;
        onEvent?: (event: JobEvent) => void;
    }): Promise<Job>;
    /**
     * Return the original bytes of a finished job's image.
     * @param {string} id
     * @param {number} [number] Number of the image, from 1.
     * @returns {Promise<Blob>}
     */
    download(id: string, number?: number): Promise<Blob>;
    /**
     * Submit a job, wait for it and return its image.
     * @param {string} prompt
     * @param {JobFields & {signal?: AbortSignal, onEvent?: (event: JobEvent) => void}} [fields]
     * @returns {Promise<Blob>}
     */
    generate(prompt: string, { signal, onEvent, ...fields }?: JobFields & {
        signal?: AbortSignal;
        onEvent?: (event: JobEvent) => void;
    }): Promise<Blob>;
    #private;
}
/**
 * A job as the API returns it; see /docs.
 */
export type Job = {
    id: string;
    status: "QUEUED" | "STARTING" | "PENDING" | "COMPLETED" | "FAILED";
    /**
     * Increases with every visible change.
     */
    seq: number;
    /**
     * Place in the queue, from 1; null once a worker has the job.
     */
    position: number | null;
    progress: {
        percentage: number;
        step: number | null;
        steps: number | null;
    } | null;
    error: {
        code: string;
        message: string;
        hint: string;
        retryable: boolean;
    } | null;
    results: {
        url: string;
        type: string;
        width: number;
        height: number;
    }[];
};
/**
 * An event of a job.
 */
export type JobEvent = {
    /**
     * queued, starting, in_progress, preview, retried, completed or failed.
     */
    type: string;
    /**
     * Counts from 1.
     */
    seq: number;
    /**
     * The whole JSON object.
     */
    data: Record<string, any>;
};
/**
 * The optional fields of a job.
 */
export type JobFields = {
    site?: string | undefined;
    lora?: string | undefined;
    inputs?: Record<string, unknown> | undefined;
    /**
     * Pictures by the names of the site's image inputs.
     */
    images?: Record<string, Blob | {
        uploadId: string;
    } | {
        jobId: string;
        number?: number;
    } | {
        jobId: string;
        input: string;
    }> | undefined;
    priority?: number | undefined;
    webhook?: string | undefined;
    /**
     * A key that was used before returns the earlier job.
     */
    idempotencyKey?: string | undefined;
};
/**
 * The gallery: fields and objects are JSON as in the API, see /docs. Lists come in pages of `items`, with a `nextCursor`
 * that the next call passes on as `cursor`, until it is null.
 */
export type ListOptions = {
    cursor?: string | undefined;
    limit?: number | undefined;
    /**
     * `hidden` counts what it hides.
     */
    explicit?: "include" | "exclude" | "only" | undefined;
};
/**
 * The gallery: fields and objects are JSON as in the API, see /docs. Lists come in pages of `items`, with a `nextCursor`
 * that the next call passes on as `cursor`, until it is null.
 *
 * @typedef {object} ListOptions
 * @property {string} [cursor]
 * @property {number} [limit]
 * @property {"include" | "exclude" | "only"} [explicit] `hidden` counts what it hides.
 */
declare class Gallery {
    /** @param {(path: string, request?: object) => Promise<any>} send */
    constructor(send: (path: string, request?: object) => Promise<any>);
    /** Return your profile, or that of an address. @param {string} [address] */
    profile(address?: string): Promise<any>;
    /** Change `username`, `bio`, `link`, `twitter` or `picture` (the id of a token of yours). @param {object} changes */
    updateProfile(changes: object): Promise<any>;
    /**
     * Return a page of the latest collections, or of those of one `owner`, an address or "me".
     * @param {ListOptions & {owner?: string}} [options]
     */
    listCollections(options?: ListOptions & {
        owner?: string;
    }): Promise<any>;
    /** Return a collection. @param {string} slug */
    collection(slug: string): Promise<any>;
    /**
     * Create a collection; if its slug is taken, the error's `details.suggestion` is a free one.
     * @param {string} name
     * @param {{slug?: string, description?: string, explicit?: boolean, royaltyFee?: number}} [fields]
     */
    createCollection(name: string, fields?: {
        slug?: string;
        description?: string;
        explicit?: boolean;
        royaltyFee?: number;
    }): Promise<any>;
    /** Change fields of a collection, also `status` and `picture`. @param {string} slug @param {object} changes */
    updateCollection(slug: string, changes: object): Promise<any>;
    /** Delete a collection without tokens. @param {string} slug */
    deleteCollection(slug: string): Promise<any>;
    /**
     * Return a page of the tokens of a collection, or of the latest tokens of all collections.
     * @param {string | null} [slug]
     * @param {ListOptions} [options]
     */
    listTokens(slug?: string | null, options?: ListOptions): Promise<any>;
    /** Return a token. @param {string} tokenId */
    token(tokenId: string): Promise<any>;
    /**
     * Add a token to a collection of yours: with the picture of a job (`jobId`, `number`), with an image of the library
     * (`imageId`), or with `picture`.
     * @param {string} slug
     * @param {{jobId?: string, number?: number, imageId?: number, picture?: Blob, name?: string, description?: string,
     *   amount?: string | number, attributes?: object[], promptPrivate?: boolean}} fields
     */
    add(slug: string, { picture, ...fields }: {
        jobId?: string;
        number?: number;
        imageId?: number;
        picture?: Blob;
        name?: string;
        description?: string;
        amount?: string | number;
        attributes?: object[];
        promptPrivate?: boolean;
    }): Promise<any>;
    /** Change fields of a token. @param {string} tokenId @param {object} changes */
    updateToken(tokenId: string, changes: object): Promise<any>;
    /**
     * Move a token to another collection of yours, and there before another token or to the end.
     * @param {string} tokenId
     * @param {{collection?: string, before?: string}} place
     */
    moveToken(tokenId: string, place: {
        collection?: string;
        before?: string;
    }): Promise<any>;
    /** Put tokens of a collection into an order among themselves. @param {string} slug @param {string[]} tokenIds */
    reorder(slug: string, tokenIds: string[]): Promise<any>;
    /**
     * Set the offer of a token, or withdraw it with null.
     * @param {string} tokenId
     * @param {{price: string | number, startTime: string | number, endTime: string | number, amount?: string} | null} listing
     */
    setListing(tokenId: string, listing: {
        price: string | number;
        startTime: string | number;
        endTime: string | number;
        amount?: string;
    } | null): Promise<any>;
    /** Have the derived pictures of a token made again. @param {string} tokenId */
    refresh(tokenId: string): Promise<any>;
    /** Return what made the picture of a token, and whether it can be made again. @param {string} tokenId */
    provenance(tokenId: string): Promise<any>;
    /**
     * Make a new job of yours with the inputs of a token's job, and return it. If a model or the site is gone, the error's
     * `details.reasons` say so.
     * @param {string} tokenId
     */
    rerun(tokenId: string): Promise<any>;
    /**
     * Return a collection as a zip with a page that opens from disk; `withoutPrivate` leaves out private prompts.
     * @param {string} slug
     * @param {{withoutPrivate?: boolean}} [options]
     * @returns {Promise<Blob>}
     */
    exportCollection(slug: string, { withoutPrivate }?: {
        withoutPrivate?: boolean;
    }): Promise<Blob>;
    /**
     * Make a collection of yours from an exported one. Return `collection`, the number of `tokens`, and `problems`.
     * @param {Blob} archive
     */
    importCollection(archive: Blob): Promise<any>;
    /** Delete a token permanently. @param {string} tokenId */
    deleteToken(tokenId: string): Promise<any>;
    #private;
}
export {};
