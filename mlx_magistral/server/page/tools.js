// Tools of MCP servers: which the model is told of, and what the reader lets it call.
import { callTool, servedTools } from "./api.js";
import { set, settings } from "./settings.js";

const MOST_ROUNDS = 8;
const REFUSED = JSON.stringify({ error: "the user refused this call" });

let tools = []; // {place, tokens, tool} of each
const session = new Set(); // places that may be called until the page is left
const underway = new Set(); // calls that are being made

export async function meetTools() {
  tools = await servedTools();
  return tools;
}

const named = (name) => tools.find(({ tool }) => tool.function.name === name);

/** SERVER/TOOL of a call, as its reader knows it. */
export function placeOf({ name }) { return named(name)?.place ?? name; }

/** What the model is told of: chosen, and not refused for good. */
export function offeredTools() {
  return tools
    .filter(({ place }) => !settings.toolsOff.includes(place) && settings.consents[place] !== false)
    .map(({ tool }) => tool);
}

/** Whether a call may be made: true, false, or null where the reader is to be asked. */
export function consentTo(call) {
  const place = placeOf(call);
  return session.has(place) ? true : settings.consents[place] ?? null;
}

/** Keep the reader's answer to a call: yes, session, always, no or never. */
export function takeConsent(call, answer) {
  const place = placeOf(call);
  if (answer === "session") session.add(place);
  if (answer === "always" || answer === "never")
    set({ consents: { ...settings.consents, [place]: answer === "always" } });
}

/** Make a call, or don't; the model is told what came of it. */
export async function settle(call, isAllowed) {
  if (!isAllowed) { call.result = REFUSED; return; }
  underway.add(call);
  try {
    const { result, error } = await callTool(call.name, call.arguments || "{}");
    call.result = result ?? JSON.stringify({ error });
  } finally { underway.delete(call); }
}

/** Whether a call was let through and its result is still to come. */
export function isUnderway(call) { return underway.has(call); }

/** The next call of a reply that has no result yet, or null. */
export function openCall(message) {
  if (message.finish !== "tool_calls") return null;
  return message.calls?.find(({ result }) => result === undefined) ?? null;
}

/** Whether the model may go on after the tools of this reply. */
export function hasRoundsLeft(before) {
  const rounds = before.length - 1 - before.findLastIndex(({ role }) => role === "user");
  return rounds < MOST_ROUNDS;
}
