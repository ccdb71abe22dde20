/** The API's OpenAPI document, made readable: every call with what it takes and what it returns. */

import { fill, h } from "./dom.js";

const METHODS = ["get", "post", "patch", "put", "delete"];

/** @typedef {Record<string, any>} Json */

/** A schema in one line: its name, its type, or what it may be. @param {Json | undefined} schema @returns {string} */
function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((/** @type {unknown} */ value) => JSON.stringify(value)).join(" | ");
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map(typeOf).join(" | ");
  if (schema.type === "array") return `${typeOf(schema.items) || "any"}[]`;
  return [schema.type ?? "any"].flat().join(" | ");
}

/** The schema behind a reference. @param {Json} document @param {Json | undefined} schema @returns {Json | undefined} */
function resolve(document, schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? document.components?.schemas?.[name] : schema;
}

/** The fields of an object, as a table. @param {Json} document @param {Json | undefined} schema */
function fields(document, schema) {
  const whole = resolve(document, schema);
  const properties = Object.entries(/** @type {Json} */ (whole?.properties ?? {}));
  if (!properties.length) return h("p", { class: "hint" }, typeOf(schema));
  const required = new Set(whole?.required ?? []);
  return h(
    "table",
    {},
    h("tbody", {}, properties.map(([name, field]) =>
      h("tr", {}, h("th", { scope: "row" }, h("code", {}, name)), h("td", {}, h("code", {}, typeOf(field)), !required.has(name) && " optional"), h("td", {}, field.description)),
    )),
  );
}

/** @param {Json} document @param {string} path @param {string} method @param {Json} call */
function operation(document, path, method, call) {
  const parameters = call.parameters ?? [];
  const body = call.requestBody && Object.values(call.requestBody.content)[0]?.schema;
  return h(
    "details",
    { class: "card call" },
    h("summary", {}, h("span", { class: `method is-${method}` }, method.toUpperCase()), h("code", {}, path), h("span", { class: "hint" }, call.summary)),
    call.description && call.description !== call.summary && h("p", {}, call.description),
    parameters.length > 0 && [
      h("h3", {}, "Parameters"),
      h("table", {}, h("tbody", {}, parameters.map((/** @type {Json} */ parameter) =>
        h("tr", {}, h("th", { scope: "row" }, h("code", {}, parameter.name)), h("td", {}, h("code", {}, typeOf(parameter.schema)), ` in ${parameter.in}`), h("td", {}, parameter.description)),
      ))),
    ],
    body && [h("h3", {}, "Body"), fields(document, body)],
    h("h3", {}, "Answers"),
    Object.entries(/** @type {Json} */ (call.responses)).map(([status, answer]) => {
      const schema = answer.content && /** @type {Json} */ (Object.values(answer.content)[0])?.schema;
      return h("div", { class: "answer" }, h("p", {}, h("strong", {}, status), " ", answer.description), schema && fields(document, schema));
    }),
  );
}

/** @param {HTMLElement} root @param {Json} document */
function show(root, document) {
  const calls = Object.entries(/** @type {Json} */ (document.paths)).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => operation(document, path, method, item[method])),
  );
  fill(
    root,
    h(
      "main",
      { id: "content", tabindex: "-1" },
      h("p", {}, h("a", { href: "/" }, "← Glimpse")),
      h("h1", {}, document.info.title),
      h("p", { class: "lead" }, `Version ${document.info.version}. `, h("a", { href: "/api/v1/openapi.json" }, "The document itself"), "."),
      document.info.description && h("p", { class: "docs-intro" }, document.info.description),
      h("h2", {}, "Calls"),
      calls,
      h("h2", {}, "Shapes"),
      Object.entries(/** @type {Json} */ (document.components?.schemas ?? {})).map(([name, schema]) =>
        h("details", { class: "card call" }, h("summary", {}, h("code", {}, name)), schema.description && h("p", {}, schema.description), fields(document, schema)),
      ),
    ),
  );
}

const root = /** @type {HTMLElement} */ (document.getElementById("docs"));
try {
  const response = await fetch("/api/v1/openapi.json");
  if (!response.ok) throw new Error(`the hub answered ${response.status}`);
  show(root, await response.json());
} catch (error) {
  fill(root, h("main", { id: "content" }, h("h1", {}, "API"), h("p", { role: "alert" }, `The API's document could not be read: ${/** @type {Error} */ (error).message}.`)));
}
