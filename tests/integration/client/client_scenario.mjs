// The scenario that the JavaScript client runs in Node and in a browser; returns what it observed.

export async function scenario({ Darkroom, DarkroomError, verifyWebhook }, { url, key, delivery }) {
  const darkroom = new Darkroom(`${url}/`, key);
  const job = await darkroom.submit("a quiet lake at dawn", { inputs: { seed: 7 } });
  const events = [];
  const done = await darkroom.wait(job.id, { onEvent: (event) => events.push(event) });
  const blob = await darkroom.download(job.id);
  return {
    types: events.map((event) => event.type),
    numbers: events.map((event) => event.seq),
    status: done.status,
    image: await blob.text(),
    generatedBytes: (await darkroom.generate("another lake at dusk")).size,
    failedJob: await failure(() => darkroom.generate("gore in a meadow")),
    invalidJob: await failure(() => darkroom.submit("", { priority: 99 })),
    wrongKey: await failure(() => new Darkroom(url, "nobodys").job(job.id)),
    unknownJob: await failure(() => darkroom.job("f".repeat(32))),
    cutStreams: await eventsWithSpoiltStreams(darkroom, job.id, 2, (text) => text.slice(0, 150)),
    blockedStreams: await eventsWithSpoiltStreams(darkroom, job.id, 99, () => null),
    aborted: await abortedWait(darkroom),
    genuine: await verifyWebhook(delivery.secret, delivery.headers, delivery.body),
    forged: await failure(() => verifyWebhook(delivery.secret, delivery.headers, `${delivery.body} `)),
    unsigned: await failure(() => verifyWebhook(delivery.secret, {}, delivery.body)),
    invalidSecrets: await Promise.all(
      [undefined, "", "whsec_", "whsec_!!"].map((secret) => failure(() => verifyWebhook(secret, delivery.headers, delivery.body))),
    ),
    notJson: await failure(() => verifyWebhook(delivery.secret, delivery.notJsonHeaders, delivery.notJsonBody)),
    old: await failure(() => verifyWebhook(delivery.secret, delivery.headers, delivery.body, { toleranceS: -1 })),
  };

  async function failure(act) {
    try {
      await act();
      return null;
    } catch (error) {
      if (!(error instanceof DarkroomError)) throw error;
      const { status, code, problems } = error;
      return { message: error.message, status, code, problems: problems.length, job: error.job?.status ?? null };
    }
  }
}

/** Return a job's events when the first streams are cut short, or (null) replaced by a page of a proxy. */
async function eventsWithSpoiltStreams(darkroom, id, count, spoil) {
  const realFetch = globalThis.fetch;
  let left = count;
  globalThis.fetch = async (address, options) => {
    const response = await realFetch(address, options);
    if (!String(address).endsWith("/events") || left <= 0) return response;
    left -= 1;
    const text = spoil(await response.text());
    return text === null ? new Response("<p>sign in</p>", { headers: { "Content-Type": "text/html" } }) : cutShort(text);
  };
  try {
    const types = [];
    for await (const event of darkroom.events(id)) types.push(`${event.seq} ${event.type}`);
    return types;
  } finally {
    globalThis.fetch = realFetch;
  }
}

function cutShort(text) {
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text));
    },
    pull(controller) {
      controller.error(new TypeError("cut"));
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

/** Return how a wait ends that the caller aborts. */
async function abortedWait(darkroom) {
  const controller = new AbortController();
  const { id } = await darkroom.submit("an endless lake");
  const waiting = darkroom.wait(id, { signal: controller.signal, onEvent: () => controller.abort() });
  const name = await waiting.then(
    () => "done",
    (error) => error.name,
  );
  await darkroom.cancel(id);
  return name;
}
