// A reply on its way: what is asked for, what comes, and what it has cost so far.
import { answerNow, streamReply } from "./api.js";
import { settings } from "./settings.js";
import { offeredTools } from "./tools.js";

/** A question's text as the model gets it: the files follow, each under its name. */
export function wholeText({ content, files = [] }) {
  const parts = [content, ...files.map(({ name, text }) => `${name}:\n${text}`)];
  return parts.filter((part) => part.trim()).join("\n\n");
}

// The thoughts of a turn that goes on belong to its calls; those of earlier turns are over.
function asRequested(message, isOpen) {
  if (message.role === "user") return [{ role: "user", content: wholeText(message) }];
  const said = { role: "assistant", content: message.content };
  const calls = (message.calls ?? []).filter(({ id, result }) => id && result !== undefined);
  if (!calls.length) return [said];
  if (isOpen && message.reasoning) said.reasoning = message.reasoning;
  said.tool_calls = calls.map(({ id, name, arguments: text }) => (
    { id, type: "function", function: { name, arguments: text || "{}" } }));
  return [said, ...calls.map(({ id, name, result }) => ({ role: "tool", tool_call_id: id, name, content: result }))];
}

/** What a reply began with, for the model to go on from. */
function begun({ reasoning, content }) {
  const message = { role: "assistant", prefix: true };
  if (reasoning) message.reasoning = reasoning;
  if (content) message.content = content;
  return message;
}

function requestBody(model, before, message) {
  const asked = before.findLastIndex(({ role }) => role === "user");
  const messages = before.flatMap((each, at) => asRequested(each, at > asked))
    .filter((each) => each.content || each.tool_calls || each.role === "tool");
  if (settings.system) messages.unshift({ role: "system", content: settings.system });
  if (message.content || message.reasoning) messages.push(begun(message));
  const body = {
    model, messages, stream_options: { include_usage: true },
    timings_per_token: true, return_progress: true,
  };
  const tools = offeredTools();
  if (tools.length) body.tools = tools;
  if (settings.temperature !== null) body.temperature = settings.temperature;
  if (settings.budget !== null) body.thinking_token_budget = settings.budget;
  if (settings.seed !== null) body.seed = settings.seed;
  return body;
}

function unlessStopped(promise, signal) {
  const stopped = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  return Promise.race([promise, stopped]);
}

export class Run {
  /** A reply `message` of a chat, after the messages `before`; it goes on from what it has.
   *  It is asked for when `met`, which resolves to the model's name. */
  constructor({ chat, message, before, met }) {
    this.chat = chat;
    this.message = message;
    this.messages = before;
    this.met = met;
    this.id = null; // as the server knows it, from the first chunk on
    this.phase = "reading"; // then "thinking", "answering"
    this.reading = null; // {processed, total} of the prompt's tokens
    this.isAnswering = false; // was told to answer now
    this.controller = new AbortController();
    this.started = performance.now();
    this.before = { seconds: 0, tokens: 0, thinkTokens: 0, thinkSeconds: 0, ...message.figures };
    message.figures = { ...this.before };
  }

  /** The time goes on, whether something comes or not. */
  tick() {
    const { figures, content } = this.message;
    const spent = (performance.now() - this.started) / 1000;
    figures.seconds = this.before.seconds + spent;
    if (this.phase === "thinking" && !content) figures.thinkSeconds = this.before.thinkSeconds + spent;
  }

  /** Follow the stream to its end, calling `onChunk` for each piece. Resolves to an error or null. */
  async follow(onChunk) {
    const { message } = this;
    message.finish = null;
    delete message.error;
    let finish = "interrupted";
    let failure = null;
    try {
      message.model = await unlessStopped(this.met, this.controller.signal);
      const body = requestBody(message.model, this.messages, message);
      for await (const chunk of streamReply(body, this.controller.signal)) {
        this.take(chunk);
        finish = chunk.choices?.[0]?.finish_reason ?? finish;
        onChunk();
      }
    } catch (error) {
      finish = "interrupted";
      if (error.name !== "AbortError") failure = error;
    }
    this.tick();
    message.finish = finish;
    if (failure) message.error = failure.message;
    return failure;
  }

  take(chunk) {
    const { message } = this;
    this.id ??= chunk.id;
    if (chunk.prompt_progress) this.reading = chunk.prompt_progress;
    this.tick();
    const { reasoning, content, tool_calls: calls } = chunk.choices?.[0]?.delta ?? {};
    for (const piece of calls ?? []) this.takeCall(piece);
    if (reasoning) { message.reasoning += reasoning; this.phase = "thinking"; }
    if (content) { message.content += content; this.phase = "answering"; }
    this.takeFigures(chunk);
  }

  takeCall({ index, id, function: { name, arguments: text } }) {
    const calls = this.message.calls ??= [];
    calls[index] ??= { id, name, arguments: "" };
    calls[index].arguments += text ?? "";
  }

  takeFigures({ timings, usage }) {
    const { figures, content } = this.message;
    if (timings?.predicted_n) {
      figures.tokens = this.before.tokens + timings.predicted_n;
      figures.rate = timings.predicted_per_second;
      figures.contextTokens = timings.cache_n + timings.prompt_n + timings.predicted_n;
      if (this.phase === "thinking" && !content) figures.thinkTokens = figures.tokens;
    }
    if (usage) {
      figures.tokens = this.before.tokens + usage.completion_tokens;
      figures.thinkTokens = this.before.thinkTokens + usage.completion_tokens_details.reasoning_tokens;
      figures.contextTokens = usage.total_tokens;
    }
  }

  stop() { this.controller.abort(); }

  get canAnswerNow() { return Boolean(this.id && this.message.reasoning && !this.message.content); }

  /** End the thinking; the answer follows on the stream. */
  answerNow() {
    this.isAnswering = true;
    return answerNow(this.id);
  }
}
