// The server's OpenAI protocol, as much of it as the page needs.

/** What the server answered instead of a reply; `status` 0 means that it could not be reached. */
export class ServerError extends Error {
  constructor(status, message, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const UNREACHABLE = "The server cannot be reached. Start it again with: mlx-magistral serve";

async function ask(path, apiKey, options = {}) {
  const headers = { "Content-Type": "application/json" };
  if (apiKey) headers.Authorization = `Bearer ${apiKey}`;
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

/** The served model: {id, max_model_len}. */
export async function servedModel(apiKey) {
  return (await (await ask("v1/models", apiKey)).json()).data[0];
}

/** Whether the server answers at all. */
export async function isReachable() {
  try { return (await fetch("health", { cache: "no-store" })).status < 500; } catch { return false; }
}

/** End the thinking of a running reply, so that its answer begins. */
export function answerNow(replyId, apiKey) {
  return ask(`v1/chat/completions/${replyId}/answer_now`, apiKey, { method: "POST" });
}

/** The chunks of a streamed reply, parsed, as they come. */
export async function* streamReply(body, apiKey, signal) {
  const response = await ask("v1/chat/completions", apiKey, {
    method: "POST", body: JSON.stringify({ ...body, stream: true }), signal,
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    let piece;
    try { piece = await reader.read(); } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError(0, "The connection was cut.");
    }
    if (piece.done) throw new ServerError(0, "The connection was cut.");
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
