// Shows a response: its status, the useful headers, and its body as text, picture, stream or download.

const SHOWN_HEADERS = ["location", "retry-after", "ratelimit", "etag", "content-type", "content-length", "x-request-id", "allow"];
const MAX_SHOWN_CHARACTERS = 100_000;

// Fill `place` with an answer; a stream is shown as it arrives, until it ends or is stopped.
export async function showResult(place, answer, milliseconds, operation) {
  const status = line(`${answer.status} ${answer.statusText}, ${milliseconds} ms`, answer.ok ? "good status" : "bad status");
  const meaning = line(operation.responses[answer.status]?.description ?? "This status is not described.", "soft");
  const headers = SHOWN_HEADERS.filter((name) => answer.headers.has(name)).map((name) => `${name}: ${answer.headers.get(name)}`);
  const body = document.createElement("div");
  place.replaceChildren(status, meaning, block(headers.join("\n"), "headers"), body);
  const type = answer.headers.get("content-type") ?? "";
  if (type.startsWith("text/event-stream")) await showStream(body, answer);
  else if (/^(image|video)\//.test(type)) await showPicture(body, answer, type);
  else if (/json|^text\//.test(type)) body.append(block(readable(await answer.text(), type), "answer"));
  else await offerDownload(body, answer);
}

async function showStream(place, answer) {
  const text = block("", "answer");
  place.append(text);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text.textContent = (text.textContent + part.value).slice(-MAX_SHOWN_CHARACTERS);
  }
}

async function showPicture(place, answer, type) {
  const url = URL.createObjectURL(await answer.blob());
  const picture = document.createElement(type.startsWith("video/") ? "video" : "img");
  if (picture.tagName === "IMG") picture.alt = "The picture of the answer";
  else picture.controls = true;
  picture.src = url;
  place.append(picture);
}

async function offerDownload(place, answer) {
  const bytes = await answer.blob();
  if (!bytes.size) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(bytes);
  link.download = "answer";
  link.textContent = `Save ${bytes.size} bytes`;
  place.append(link);
}

function readable(text, type) {
  let shown = text;
  if (type.includes("json")) {
    try {
      shown = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // Shown as it came.
    }
  }
  return shown.length > MAX_SHOWN_CHARACTERS ? `${shown.slice(0, MAX_SHOWN_CHARACTERS)}\n…` : shown;
}

function line(text, className) {
  return Object.assign(document.createElement("p"), { textContent: text, className });
}

function block(text, className) {
  return Object.assign(document.createElement("pre"), { textContent: text, className, tabIndex: 0 });
}
