// The page: buttons, progress, proofs, the finished print and its messages. painter.js does the painting.

import { activeStyles, openCatalogue } from "./catalogue.js";
import { Refusal, prefill, readRequest } from "./request.js";
import { countPicture, showQuota } from "./quota.js";

const PROOF_SIZE = 400;
const KEEP_OLD_MS = 20000;
const TOAST_MS = 12000;

const byId = (id) => document.getElementById(id);
const studio = byId("studio"),
  canvas = byId("easel"),
  result = byId("result"),
  preview = byId("preview"),
  toast = byId("toast");
let toastTimer = 0,
  stopper = null;

// The painter loads after the controls work, so the page is usable at once.
const painter = import("./painter.js");

function setState(state, text) {
  studio.dataset.state = state;
  byId("status").textContent = text;
}

function showProgress(step, steps) {
  byId("progress").max = steps;
  byId("progress").value = step;
  byId("progress-text").textContent = `${step}/${steps}`;
}

/** Show a message above everything, inside the dialog when that is open. */
function complain(text) {
  const dialog = byId("style-catalogue");
  (dialog.open ? dialog : document.body).append(toast);
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    toast.hidden = true;
  }, TOAST_MS);
}

/** Put a new blob behind an image and let go of the old one once nobody can still be reading it. */
function showBlob(image, blob) {
  const old = image.src;
  image.src = URL.createObjectURL(blob);
  image.hidden = false;
  if (old.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(old), KEEP_OLD_MS);
  return image.src;
}

async function showProof() {
  const scale = Math.min(1, PROOF_SIZE / Math.max(canvas.width, canvas.height));
  const small = new OffscreenCanvas(Math.round(canvas.width * scale), Math.round(canvas.height * scale));
  small.getContext("2d").drawImage(canvas, 0, 0, small.width, small.height);
  showBlob(preview, await small.convertToBlob({ type: "image/jpeg", quality: 0.82 }));
}

/** The steps after which a proof is pulled: each quarter, except the finish. */
const proofSteps = (steps) =>
  new Set([1, 2, 3].map((quarter) => Math.ceil((quarter * steps) / 4)).filter((step) => step < steps));

async function showResult(request, seed) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const link = byId("download"),
    words = request.prompt.toLowerCase().match(/[a-z0-9]+/g) ?? ["picture"];
  link.href = showBlob(result, blob);
  link.download = `${words.slice(0, 5).join("-").slice(0, 48)}-${seed}.png`;
  link.hidden = false;
  result.width = request.width;
  result.height = request.height;
  await result.decode().catch(() => {});
}

function begin(request) {
  toast.hidden = true;
  byId("generate").disabled = true;
  byId("stop").disabled = false;
  setState("painting", "Painting");
  showProgress(0, request.steps);
  stopper = new AbortController();
}

function finish() {
  byId("generate").disabled = false;
  byId("stop").disabled = true;
  canvas.hidden = true;
  stopper = null;
}

async function paintRequest(request) {
  const { paint } = await painter,
    proofs = proofSteps(request.steps);
  const done = await paint(
    request,
    canvas,
    async (step, steps) => {
      canvas.hidden = false;
      showProgress(step, steps);
      if (proofs.has(step)) await showProof();
    },
    stopper.signal,
  );
  if (done.stopped) {
    setState("ready", "Stopped");
    return;
  }
  await showResult(request, done.seed);
  countPicture();
  byId("details").textContent =
    `Seed ${done.seed}, ${request.width} × ${request.height}, ${request.steps} steps, ${done.styles.join(" over ")}.`;
  setState("done", "Done");
}

async function generate() {
  if (stopper) return;
  let request;
  try {
    request = readRequest(activeStyles());
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    setState("refused", "Refused");
    complain(error.message);
    return;
  }
  begin(request);
  try {
    await paintRequest(request);
  } catch (error) {
    setState("refused", "Failed");
    complain("The picture could not be painted.");
    console.error(error);
  } finally {
    finish();
  }
}

byId("generate").addEventListener("click", generate);
byId("stop").addEventListener("click", () => stopper?.abort());
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) generate();
});
toast.addEventListener("click", () => {
  toast.hidden = true;
});
prefill(openCatalogue(complain));
showQuota();
