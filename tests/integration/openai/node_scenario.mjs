// Uses the official package as its documentation does, and prints what happened.
import OpenAI, { toFile } from "openai";

const { url, key, photo, mask } = JSON.parse(process.argv[2]);
const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });
const request = { model: "studio", prompt: "a quiet lake at dawn", size: "256x256", steps: 4 };
const file = (base64, name) => toFile(Buffer.from(base64, "base64"), name, { type: "image/png" });

async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, param: error.param };
  }
  return null;
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);
const made = await client.images.generate({ ...request, response_format: "b64_json" });
const linked = await client.images.generate({ ...request, response_format: "url" });
const events = await collect(
  await client.images.generate({ ...request, steps: 40, stream: true, partial_images: 1 }),
);
const edit = { model: "pictures", prompt: "the same at night" };
const edited = [
  await client.images.edit({ ...edit, image: await file(photo, "photo.png"), mask: await file(mask, "mask.png") }),
  await client.images.edit({ ...edit, image: [await file(photo, "photo.png")] }),
];
const edits = await collect(
  await client.images.edit({ ...edit, image: await file(photo, "photo.png"), stream: true }),
);
const stranger = new OpenAI({ baseURL: url, apiKey: "not a key", maxRetries: 0 });

console.log(
  JSON.stringify({
    models,
    picture: made.data[0].b64_json,
    link: linked.data[0].url,
    types: events.map((event) => event.type),
    streamed: events.at(-1).b64_json,
    edited: edited.map((answer) => answer.data[0].b64_json),
    editTypes: edits.map((event) => event.type),
    errors: [
      await errorOf(client.images.generate({ ...request, mood: "gloomy" })),
      await errorOf(client.images.generate({ ...request, model: "nowhere" })),
      await errorOf(stranger.models.list()),
    ],
  }),
);
