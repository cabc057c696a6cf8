// Image inputs: a picture comes by dropping, pasting or choosing a file.

const urls = new Map();

function show(control) {
  const drop = control.closest(".drop");
  const image = drop.querySelector("img");
  URL.revokeObjectURL(urls.get(control));
  const file = control.files[0];
  const url = file ? URL.createObjectURL(file) : control.dataset.job ? `/${control.dataset.job}.jpg` : "";
  urls.set(control, file ? url : "");
  image.hidden = !url;
  if (url) image.src = url;
  image.alt = file ? file.name : "A picture of yours";
  drop.querySelector(".drop-hint").hidden = Boolean(url);
  drop.querySelector("[data-clear]").hidden = !url;
}

export function clearPicture(control) {
  control.value = "";
  delete control.dataset.job;
  show(control);
}

// Take a picture of one of the caller's jobs.
export function usePicture(control, jobId, number) {
  control.value = "";
  control.dataset.job = jobId;
  control.dataset.number = number;
  show(control);
}

function accept(control, files) {
  const file = [...files].find((each) => each.type.startsWith("image/"));
  if (!file) return false;
  const transfer = new DataTransfer();
  transfer.items.add(file);
  control.files = transfer.files;
  delete control.dataset.job;
  show(control);
  return true;
}

const controls = [...document.querySelectorAll(".drop input")];
for (const control of controls) {
  const drop = control.closest(".drop");
  control.addEventListener("change", () => {
    delete control.dataset.job;
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
