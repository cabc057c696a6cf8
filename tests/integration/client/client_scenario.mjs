// What the JavaScript client is put through, in Node and in a browser alike; answers what it has seen.

export async function scenario({ Darkroom, DarkroomError, verifyWebhook }, { url, key, delivery }) {
  const darkroom = new Darkroom(`${url}/`, key);
  const job = await darkroom.submit("a quiet lake at dawn", { inputs: { seed: 7 } });
  const events = [];
  const done = await darkroom.wait(job.id, { onEvent: (event) => events.push(event) });
  const blob = await darkroom.download(job.id);
  const seen = {
    types: events.map((event) => event.type),
    numbers: events.map((event) => event.seq),
    status: done.status,
    picture: await blob.text(),
    generated: (await darkroom.generate("another lake at dusk")).size,
    failed: await failure(() => darkroom.generate("gore in a meadow")),
    refused: await failure(() => darkroom.submit("", { priority: 99 })),
    stranger: await failure(() => new Darkroom(url, "nobodys").job(job.id)),
    nobody: await failure(() => darkroom.job("f".repeat(32))),
    cut: await withCuts(darkroom, job.id, 2, (text) => text.slice(0, 150)),
    asked: await withCuts(darkroom, job.id, 99, () => null),
    aborted: await aborted(darkroom),
    genuine: await verifyWebhook(delivery.secret, delivery.headers, delivery.body),
    forged: await failure(() => verifyWebhook(delivery.secret, delivery.headers, `${delivery.body} `)),
    unsigned: await failure(() => verifyWebhook(delivery.secret, {}, delivery.body)),
    keyless: await Promise.all(
      [undefined, "", "whsec_", "whsec_!!"].map((secret) => failure(() => verifyWebhook(secret, delivery.headers, delivery.body))),
    ),
    odd: await failure(() => verifyWebhook(delivery.secret, delivery.oddHeaders, delivery.oddBody)),
    old: await failure(() => verifyWebhook(delivery.secret, delivery.headers, delivery.body, { toleranceS: -1 })),
  };
  return seen;

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

/** The types of a job's events when the first streams are spoilt: cut short, or (null) not streams at all. */
async function withCuts(darkroom, id, count, spoil) {
  const real = globalThis.fetch;
  let left = count;
  globalThis.fetch = async (address, options) => {
    const answer = await real(address, options);
    if (!String(address).endsWith("/events") || left <= 0) return answer;
    left -= 1;
    const text = spoil(await answer.text());
    return text === null ? new Response("<p>sign in</p>", { headers: { "Content-Type": "text/html" } }) : cutShort(text);
  };
  try {
    const types = [];
    for await (const event of darkroom.events(id)) types.push(`${event.seq} ${event.type}`);
    return types;
  } finally {
    globalThis.fetch = real;
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

/** How a wait ends that somebody gives up. */
async function aborted(darkroom) {
  const giveUp = new AbortController();
  const { id } = await darkroom.submit("a lake that nobody paints");
  const waiting = darkroom.wait(id, { signal: giveUp.signal, onEvent: () => giveUp.abort() });
  const name = await waiting.then(
    () => "done",
    (error) => error.name,
  );
  await darkroom.cancel(id);
  return name;
}
