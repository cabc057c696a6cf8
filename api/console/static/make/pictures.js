// Image inputs: a picture comes by dropping, pasting or choosing a file.

const urls = new Map();

function show(control) {
  const drop = control.closest(".drop");
  const image = drop.querySelector("img");
  URL.revokeObjectURL(urls.get(control));
  const file = control.files[0];
  const url = file ? URL.createObjectURL(file) : addressOf(control.dataset);
  urls.set(control, file ? url : "");
  image.hidden = !url;
  if (url) image.src = url;
  image.alt = file ? file.name : "A picture of yours";
  drop.querySelector(".drop-hint").hidden = Boolean(url);
  drop.querySelector("[data-clear]").hidden = !url;
}

const addressOf = ({ job, of }) => (job ? `/console/jobs/${job}/inputs/${of}` : "");

export function clearPicture(control) {
  control.value = "";
  forgetJob(control);
  show(control);
}

function forgetJob(control) {
  delete control.dataset.job;
  delete control.dataset.of;
}

// Take the picture that an input of one of the caller's jobs has.
export function usePicture(control, job, of) {
  control.value = "";
  Object.assign(control.dataset, { job, of });
  show(control);
}

// Whether the picture of a job is still kept is known once it has been loaded; if not, the input fires "gone".
function watchLoading(control) {
  const image = control.closest(".drop").querySelector("img");
  image.addEventListener("error", async () => {
    const { job, of } = control.dataset;
    if (!job || image.hidden) return;
    const answer = await fetch(addressOf({ job, of })).catch(() => null);
    if (control.dataset.job !== job || ![404, 410].includes(answer?.status)) return;
    clearPicture(control);
    control.dispatchEvent(new CustomEvent("gone", { bubbles: true }));
  });
}

function accept(control, files) {
  const file = [...files].find((each) => each.type.startsWith("image/"));
  if (!file) return false;
  const transfer = new DataTransfer();
  transfer.items.add(file);
  control.files = transfer.files;
  forgetJob(control);
  show(control);
  return true;
}

const controls = [...document.querySelectorAll(".drop input")];
for (const control of controls) {
  const drop = control.closest(".drop");
  watchLoading(control);
  if (control.dataset.job) show(control);
  control.addEventListener("change", () => {
    forgetJob(control);
    show(control);
  });
  drop.querySelector("[data-clear]").addEventListener("click", () => {
    clearPicture(control);
    control.focus();
  });
  for (const type of ["dragenter", "dragover"]) {
    drop.addEventListener(type, (event) => {
      event.preventDefault();
      drop.classList.add("is-over");
    });
  }
  for (const type of ["dragleave", "drop"]) drop.addEventListener(type, () => drop.classList.remove("is-over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    accept(control, event.dataTransfer.files);
  });
}

// A pasted picture goes to the input that has the focus, else to the first one that is empty.
document.addEventListener("paste", (event) => {
  const focused = controls.find((control) => control === document.activeElement);
  const target = focused || controls.find((control) => !control.files[0] && !control.dataset.job) || controls[0];
  if (target && accept(target, event.clipboardData.files)) event.preventDefault();
});
