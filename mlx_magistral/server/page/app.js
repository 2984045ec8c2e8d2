// The page: one conversation, one reply at a time. Joins view, store and api.
import { answerNow, isReachable, servedModel, ServerError, streamReply } from "./api.js";
import * as store from "./store.js";
import { MessageView, offerActions, showMessages } from "./view.js";

const SAVE_EVERY_MS = 1000;
const CHECK_EVERY_MS = 3000;

const $ = (id) => document.getElementById(id);
const settings = store.loadSettings();
let chats = store.loadChats();
let chat = chats[0] ?? store.newChat();
let views = [];
let running = null; // {controller, id, view} of the reply on its way
let model = { id: "magistral" }; // as the server names it

// -- what is on the screen

function say(text) { $("status").textContent = text; }

function notice(text, isOffline = false) {
  $("notice-text").textContent = text;
  $("notice").hidden = !text;
  if (isOffline) waitForServer();
}

async function waitForServer() {
  while (!(await isReachable())) await new Promise((done) => setTimeout(done, CHECK_EVERY_MS));
  notice("");
  say("The server is back.");
  showModel();
}

async function showModel() {
  try {
    model = await servedModel(store.apiKey.get());
    $("model").textContent = model.id;
    document.title = model.id;
    showMeter();
  } catch (error) { report(error); }
}

function showMeter() {
  const usage = chat.messages.at(-1)?.usage;
  if (!usage) { $("meter").textContent = ""; return; }
  const used = (usage.prompt_tokens + usage.completion_tokens).toLocaleString("en");
  const limit = model.max_model_len ? ` of ${model.max_model_len.toLocaleString("en")}` : "";
  $("meter").textContent = `${used}${limit} tokens`;
}

function showList() {
  const items = chats.map((other) => {
    const item = document.createElement("li");
    const open = document.createElement("button");
    open.textContent = other.title || "Untitled";
    open.setAttribute("aria-current", String(other.id === chat.id));
    open.onclick = () => openChat(other);
    const remove = document.createElement("button");
    remove.textContent = "Delete";
    remove.setAttribute("aria-label", `Delete ${other.title}`);
    remove.onclick = () => removeChat(other);
    item.append(open, remove);
    return item;
  });
  $("conversation-list").replaceChildren(...items);
}

function showControls() {
  const isThinking = running && !running.view.message.content;
  $("send").hidden = Boolean(running);
  $("stop").hidden = !running;
  $("answer-now").hidden = !(isThinking && running.id && running.view.message.reasoning);
  offerActions(Boolean(running));
}

function applyTheme() {
  if (settings.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = settings.theme;
}

function report(error) {
  if (error.status === 401) { notice("The server asks for an API key: open Settings."); return; }
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  notice(error.message + wait, error instanceof ServerError && error.status === 0);
}

// -- conversations

function openChat(other) {
  stop();
  chat = other;
  views = showMessages(chat.messages);
  notice("");
  showList();
  showMeter();
  showControls();
}

function removeChat(other) {
  if (!confirm(`Delete "${other.title}"? It is kept nowhere else.`)) return;
  store.deleteChat(other.id);
  chats = chats.filter((kept) => kept.id !== other.id);
  if (other.id === chat.id) openChat(chats[0] ?? store.newChat());
  else showList();
}

function save() {
  chats = [chat, ...chats.filter((other) => other.id !== chat.id)];
  try { store.saveChat(chat); } catch {
    notice("The browser's storage is full: export this chat and delete old ones.");
  }
}

function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// -- a reply

function requestBody(isContinued) {
  const earlier = isContinued ? chat.messages : chat.messages.slice(0, -1);
  const messages = earlier.map((message, index) => {
    if (message.role === "user") return { role: "user", content: message.content };
    if (index < chat.messages.length - 1) return { role: "assistant", content: message.content };
    const begun = { role: "assistant", prefix: true };
    if (message.reasoning) begun.reasoning = message.reasoning;
    if (message.content) begun.content = message.content;
    return begun;
  }).filter((message) => message.content || message.reasoning);
  if (settings.system) messages.unshift({ role: "system", content: settings.system });
  const body = { model: model.id, messages, stream_options: { include_usage: true } };
  if (settings.temperature !== null) body.temperature = settings.temperature;
  if (settings.budget !== null) body.thinking_token_budget = settings.budget;
  return body;
}

function take(chunk, message, clock) {
  running.id ??= chunk.id;
  if (chunk.usage) {
    message.usage = chunk.usage;
    const tokens = chunk.usage.completion_tokens_details?.reasoning_tokens;
    if (tokens) message.thinkTokens = clock.tokensBefore + tokens;
  }
  const choice = chunk.choices?.[0];
  if (!choice) return;
  const { reasoning, content } = choice.delta ?? {};
  if (reasoning) {
    message.reasoning += reasoning;
    clock.thinkingSince ??= performance.now();
    message.thinkSeconds = clock.secondsBefore + (performance.now() - clock.thinkingSince) / 1000;
  }
  if (content) {
    if (!message.content) say("The answer begins.");
    message.content += content;
  }
  if (choice.finish_reason) message.finish = choice.finish_reason;
}

async function run(view, isContinued) {
  const { message } = view;
  const body = requestBody(isContinued);
  const controller = new AbortController();
  const clock = {
    secondsBefore: message.thinkSeconds ?? 0, tokensBefore: message.thinkTokens ?? 0,
    thinkingSince: null,
  };
  running = { controller, id: null, view };
  message.finish = null;
  delete message.error;
  let ended = "interrupted";
  let saved = performance.now();
  notice("");
  say("Thinking.");
  save();
  showControls();
  view.update();
  try {
    for await (const chunk of streamReply(body, store.apiKey.get(), controller.signal)) {
      take(chunk, message, clock);
      ended = message.finish ?? ended;
      message.finish = null;
      view.update();
      showControls();
      if (performance.now() - saved > SAVE_EVERY_MS) { save(); saved = performance.now(); }
    }
    say("The answer is complete.");
  } catch (error) {
    ended = "interrupted";
    if (error.name !== "AbortError") { message.error = error.message; report(error); }
    say(error.name === "AbortError" ? "Stopped." : error.message);
  } finally {
    message.finish = ended;
    if (running?.view === view) running = null;
    store.saveChat(chats.find((kept) => kept.messages.includes(message)) ?? chat);
    view.render();
    showMeter();
    showList();
    showControls();
  }
}

function reply() {
  const message = { role: "assistant", reasoning: "", content: "", finish: null };
  chat.messages.push(message);
  const view = new MessageView(message);
  views.push(view);
  run(view, false);
}

function send(text) {
  if (running || !text.trim()) return;
  if (!chat.messages.length) chat.title = text.trim().split("\n")[0].slice(0, 60);
  const message = { role: "user", content: text };
  chat.messages.push(message);
  views.push(new MessageView(message));
  $("messages").scrollTop = $("messages").scrollHeight;
  reply();
}

function stop() { running?.controller.abort(); }

function answer() {
  if (!running?.id) return;
  answerNow(running.id, store.apiKey.get()).catch(report);
}

/** Take the conversation back to before a message. */
function cutBefore(view) {
  const at = views.indexOf(view);
  for (const later of views.splice(at)) later.element.remove();
  chat.messages.splice(at);
}

const ACTIONS = {
  copy: ({ message }) => navigator.clipboard.writeText(message.content),
  continue: (view) => run(view, true),
  retry: (view) => { cutBefore(view); reply(); },
  edit: (view) => {
    cutBefore(view);
    $("question").value = view.message.content;
    $("question").focus();
    fitComposer();
    showControls();
  },
};

// -- what the person does

function fitComposer() {
  const box = $("question");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}

function submit() {
  const text = $("question").value;
  if (running || !text.trim()) return;
  $("question").value = "";
  fitComposer();
  send(text);
}

function number(id) {
  const { value } = $(id);
  return value === "" ? null : Number(value);
}

function readSettings() {
  Object.assign(settings, {
    system: $("system").value.trim(), temperature: number("temperature"),
    budget: number("budget"), theme: $("theme").value,
  });
  store.apiKey.set($("api-key").value);
  store.saveSettings(settings);
  applyTheme();
  showModel();
}

function openSettings() {
  $("system").value = settings.system;
  $("temperature").value = settings.temperature ?? "";
  $("budget").value = settings.budget ?? "";
  $("theme").value = settings.theme;
  $("api-key").value = store.apiKey.get();
  $("settings").showModal();
}

$("composer").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
$("question").addEventListener("input", fitComposer);
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
});
// As Ctrl-C in a terminal: the first ends the thinking, the second the reply.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !running || $("settings").open) return;
  if ($("answer-now").hidden || running.isAnswering) stop();
  else { running.isAnswering = true; answer(); }
});
$("stop").onclick = stop;
$("answer-now").onclick = answer;
$("messages").addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) ACTIONS[button.dataset.action](button.closest(".message").messageView);
});
$("notice-retry").onclick = () => {
  notice("");
  const last = views.at(-1);
  if (!running && last?.message.role === "assistant" && last.message.error) {
    if (last.message.content || last.message.reasoning) ACTIONS.continue(last);
    else ACTIONS.retry(last);
  } else showModel();
};
$("new-chat").onclick = () => { openChat(store.newChat()); $("question").focus(); };
$("toggle-list").onclick = () => {
  const isOpen = $("conversations").hidden;
  $("conversations").hidden = !isOpen;
  $("toggle-list").setAttribute("aria-expanded", String(isOpen));
};
$("open-settings").onclick = openSettings;
$("settings").addEventListener("close", readSettings);
$("export-markdown").onclick = () =>
  download("conversation.md", "text/markdown", store.toMarkdown(chat));
$("export-json").onclick = () =>
  download("conversation.json", "application/json", JSON.stringify(chat, null, 2));
window.addEventListener("pagehide", () => { if (running) save(); });

applyTheme();
openChat(chat);
showModel();
