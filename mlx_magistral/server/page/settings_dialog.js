// The settings, and what is known of the model.
import { $, h } from "./dom.js";
import { count, gigabytes } from "./figures.js";
import { apiKey, applyTheme, set, settings } from "./settings.js";

function number(id) {
  const { value } = $(id);
  return value === "" ? null : Number(value);
}

/** Rows of what the server told: [name, value]. */
function facts(model) {
  const { meta } = model;
  const rows = [["Name", model.id]];
  if (model.max_model_len) rows.push(["Context", `${count(model.max_model_len)} tokens, prompt and reply together`]);
  if (!meta?.memory) return rows;
  const { weights, kv, kv_bits, workspace, reserve, limit } = meta.memory;
  if (meta.n_ctx_train) rows.push(["Trained for", `${count(meta.n_ctx_train)} tokens`]);
  const parameters = meta.n_params >= 1e9 ? `${(meta.n_params / 1e9).toFixed(1)} billion` : count(meta.n_params);
  rows.push(["Parameters", parameters]);
  rows.push(["Weights", gigabytes(weights)]);
  rows.push([`${kv_bits}-bit KV cache`, `${gigabytes(kv)} for a full context`]);
  rows.push(["Memory in all", `${gigabytes(weights + kv + workspace + reserve)} of ${gigabytes(limit)} at most`]);
  return rows;
}

/** `models` are all that the server has; a choice is offered where there is one. */
export function showModel(model, models) {
  $("model-choice").replaceChildren(...models.map(({ id }) => h("option", { selected: id === model.id }, id)));
  $("model-row").hidden = models.length < 2;
  $("model-facts").replaceChildren(...facts(model).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** `tools` are {place, tokens} of all that the server can call; each can be left out. */
export function showTools(tools) {
  $("tools-part").hidden = !tools.length;
  $("tools").replaceChildren(...tools.map(({ place, tokens }) => h("li", {}, h("label", {},
    h("input", { type: "checkbox", value: place, checked: !settings.toolsOff.includes(place) }),
    ` ${place} `, h("small", {}, `${count(tokens)} tokens of every prompt`)))));
}

function toolsOff() {
  return [...$("tools").querySelectorAll("input:not(:checked)")].map(({ value }) => value);
}

function fill() {
  $("system").value = settings.system;
  for (const id of ["temperature", "budget", "seed"]) $(id).value = settings[id] ?? "";
  $("thinking").value = settings.isPeeking ? "three" : "all";
  $("theme").value = settings.theme;
  $("api-key").value = apiKey.get();
}

function read() {
  apiKey.set($("api-key").value.trim());
  const changes = {
    system: $("system").value.trim(), temperature: number("temperature"), budget: number("budget"),
    seed: number("seed"), isPeeking: $("thinking").value === "three", theme: $("theme").value,
    model: $("model-choice").value || settings.model, toolsOff: toolsOff(),
  };
  try { set(changes); } finally { applyTheme(); }
}

/** Ask for every tool again. */
export function forgetConsents() { set({ consents: {} }); }

/** Open it, at one of its fields if an id is given. */
export function openSettings(at = null) {
  fill();
  $("settings").showModal();
  if (at) $(at).focus();
}

/** Call `onChange` when it was closed, with an error where the settings could not be kept. */
export function listenForSettings(onChange) {
  $("open-settings").onclick = () => openSettings();
  $("forget-consents").onclick = forgetConsents;
  $("settings").addEventListener("close", () => {
    try { read(); onChange(null); } catch (error) { onChange(error); }
  });
  $("settings").addEventListener("click", (event) => {
    if (event.target === $("settings")) $("settings").close(); // the backdrop
  });
}
