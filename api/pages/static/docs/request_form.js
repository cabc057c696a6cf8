// The form of one operation: a field for each parameter, and one or more for the body.

const JSON_TYPE = "application/json";
const FORM_TYPES = ["multipart/form-data", "application/x-www-form-urlencoded"];

// Fill a form with the fields of an operation.
export function buildForm(form, operation, document_) {
  for (const parameter of operation.parameters) form.append(parameterField(parameter));
  const content = operation.requestBody?.content ?? {};
  const types = Object.keys(content);
  if (types.length) {
    const body = element("div", { className: "body" });
    const choice = element("select", { name: "type" });
    choice.append(...types.map((type) => element("option", { value: type, textContent: type })));
    const show = () => body.replaceChildren(...bodyFields(choice.value, content[choice.value], document_));
    choice.addEventListener("change", show);
    form.append(labelled("Body", choice), body);
    show();
  }
  const buttons = element("div", { className: "buttons" });
  buttons.append(
    element("button", { className: "primary", textContent: "Send" }),
    element("button", { type: "button", className: "stop", textContent: "Stop" }),
  );
  const result = element("div", { className: "result" });
  result.setAttribute("aria-live", "polite");
  form.append(buttons, result);
}

// Return path (with query), headers and body of the request that the form describes.
export function readRequest(form, method, template) {
  let path = template.slice(1);
  const query = new URLSearchParams();
  const headers = {};
  for (const field of form.querySelectorAll("[data-in]")) {
    const { in: location, parameter } = field.dataset;
    if (location === "path") {
      if (!field.value) throw new Error(`${parameter}: is missing.`);
      path = path.replace(`{${parameter}}`, encodeURIComponent(field.value));
    } else if (field.value && location === "query") query.set(parameter, field.value);
    else if (field.value && location === "header") headers[parameter] = field.value;
  }
  const text = query.toString();
  return { path: text ? `${path}?${text}` : path, ...readBody(form, headers) };
}

function readBody(form, headers) {
  const type = form.querySelector("select[name=type]")?.value;
  if (!type) return { headers, body: undefined };
  const fields = [...form.querySelectorAll(".body [data-field]")];
  if (!FORM_TYPES.includes(type)) {
    const field = fields[0];
    if (field.type === "file") return { headers: { ...headers, "Content-Type": field.files[0]?.type || type.replace("*/*", "application/octet-stream") }, body: field.files[0] };
    if (type === JSON_TYPE) JSON.parse(field.value);
    return { headers: { ...headers, "Content-Type": type }, body: field.value };
  }
  const data = type === FORM_TYPES[0] ? new FormData() : new URLSearchParams();
  for (const field of fields) {
    const values = field.type === "file" ? [...field.files] : [field.value];
    for (const value of values) if (value) data.append(field.dataset.field, value);
  }
  return { headers, body: data };
}

function parameterField(parameter) {
  const field = valueField(parameter.schema);
  field.dataset.in = parameter.in;
  field.dataset.parameter = parameter.name;
  if (parameter.required) field.value = parameter.example ?? parameter.schema.example ?? parameter.schema.enum?.[0] ?? "";
  return labelled(`${parameter.name} (${parameter.in}${parameter.required ? ", required" : ""})`, field);
}

function bodyFields(type, content, document_) {
  const schema = resolve(content.schema, document_);
  if (type === JSON_TYPE) {
    const field = element("textarea", { spellcheck: false, value: JSON.stringify(content.example ?? {}, null, 2) });
    field.dataset.field = "";
    return [labelled("JSON", field)];
  }
  if (!FORM_TYPES.includes(type)) {
    const field = element("input", { type: "file" });
    field.dataset.field = "";
    return [labelled("File", field)];
  }
  return Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const field = valueField(property);
    field.dataset.field = name;
    const isRequired = schema.required?.includes(name);
    if (isRequired && field.type !== "file") field.value = property.example ?? "";
    return labelled(`${name}${isRequired ? " (required)" : ""}`, field);
  });
}

function valueField(schema) {
  const isFileList = schema.type === "array" && schema.items?.format === "binary";
  if (isFileList || schema.format === "binary") return element("input", { type: "file", multiple: isFileList });
  if (!schema.enum && schema.type !== "boolean") return element("input", { type: "text", spellcheck: false });
  const field = element("select");
  const choices = ["", ...(schema.enum ?? ["true", "false"]).filter((value) => value !== null)];
  field.append(...choices.map((value) => element("option", { value, textContent: value })));
  return field;
}

function resolve(schema, document_) {
  if (!schema.$ref) return schema;
  return schema.$ref.slice(2).split("/").reduce((part, name) => part[name], document_);
}

function labelled(text, field) {
  const label = element("label");
  label.append(text, field);
  return label;
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}
