// The server's OpenAI protocol, as much of it as the page needs.
import { apiKey } from "./settings.js";

/** What the server answered instead of a reply; `status` 0 means that it could not be reached. */
export class ServerError extends Error {
  constructor(status, message, retryAfter = null) {
    super(retryAfter ? `${message} Try again in ${retryAfter} s.` : message);
    this.status = status;
  }
}

const UNREACHABLE = "The server cannot be reached. Start it again with: mlx-magistral serve";
const CUT = "The connection to the server was cut.";

async function ask(path, options = {}) {
  const headers = { "Content-Type": "application/json" };
  if (apiKey.get()) headers.Authorization = `Bearer ${apiKey.get()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, UNREACHABLE);
  }
  if (response.ok) return response;
  const text = await response.text();
  let message = text;
  try { message = JSON.parse(text).error.message; } catch { /* no JSON: the text itself */ }
  throw new ServerError(response.status, message, response.headers.get("Retry-After"));
}

/** The served models: {id, max_model_len, meta} of each, the base first. */
export async function servedModels() {
  return (await (await ask("v1/models")).json()).data;
}

/** Whether the server answers at all. */
export async function isReachable() {
  try { return (await fetch("health", { cache: "no-store" })).status < 500; } catch { return false; }
}

/** How many tokens a text has. */
export async function countTokens(text) {
  const body = JSON.stringify({ prompt: text });
  return (await (await ask("tokenize", { method: "POST", body })).json()).count;
}

/** End the thinking of a running reply, so that its answer begins. */
export function answerNow(replyId) {
  return ask(`v1/chat/completions/${replyId}/answer_now`, { method: "POST" });
}

/** The tools that the server can call for this page: {place, tokens, tool} of each. */
export async function servedTools() {
  return (await (await ask("mcp/tools")).json()).tools;
}

/** What a tool gave: {result}, or {error} with what went wrong. */
export async function callTool(name, args) {
  const body = JSON.stringify({ name, arguments: args });
  return (await ask("mcp/call", { method: "POST", body })).json();
}

/** A file that saved conversations are made from. */
export async function savedTemplate() {
  return (await ask("page/saved.html")).text();
}

/** The chunks of a streamed reply, parsed, as they come. */
export async function* streamReply(body, signal) {
  const response = await ask("v1/chat/completions", {
    method: "POST", body: JSON.stringify({ ...body, stream: true }), signal,
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    let piece;
    try { piece = await reader.read(); } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError(0, CUT);
    }
    if (piece.done) throw new ServerError(0, CUT);
    pending += piece.value;
    const lines = pending.split("\n");
    pending = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ServerError(500, chunk.error.message);
      yield chunk;
    }
  }
}
