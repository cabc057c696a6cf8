// Reads the value of a form field or of a group of radio buttons or checkboxes.
// Evaluated in the page by workers/sites/driver/forms/fields.py: the elements of the group, and the kind of the field.
// Returns texts that each name the value; the first is the one that the page shows.
([elements, kind]) => {
  const MAX_CHARS = 1000000;
  const MAX_PARENTS = 4;
  const field = elements[0];
  const nameOf = (element) =>
    ((element.labels && element.labels[0] && element.labels[0].innerText) || element.getAttribute("aria-label")
      || element.innerText || element.value || "").trim();
  const isChecked = (element) => ("checked" in element ? element.checked : element.getAttribute("aria-checked") === "true");
  const linesOf = (element) => (element.innerText || "").split("\n").map((line) => line.trim()).filter(Boolean);
  if (kind === "checkbox") return [String(isChecked(field))];
  if (kind === "radio" || kind === "checkboxes") {
    return elements.filter(isChecked).flatMap((element) => (kind === "radio" ? [nameOf(element), element.value || ""] : [nameOf(element)]));
  }
  if (kind === "select") return [...field.selectedOptions].flatMap((option) => [option.label.trim(), option.value]);
  const value = "value" in field && typeof field.value === "string" ? field.value : field.innerText || "";
  if (kind !== "list" || value) return [value.slice(0, MAX_CHARS)];
  // Some fields with a list show what is chosen beside an empty text field.
  let parent = field.parentElement;
  for (let number = 0; parent && number < MAX_PARENTS; number++, parent = parent.parentElement) {
    if (linesOf(parent).length) return linesOf(parent);
  }
  return [""];
}
