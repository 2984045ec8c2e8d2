// The page: joins the list of conversations, the one that is open, and the replies on their way.
import { isReachable, servedModels } from "./api.js";
import { attachedFiles, clearFiles, listenForFiles } from "./attach.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { $, h } from "./dom.js";
import { examplesFor } from "./examples.js";
import { exportChat, fromJson } from "./export.js";
import { count } from "./figures.js";
import { Library } from "./library.js";
import { endNotice, notice, say } from "./notice.js";
import { Run } from "./run.js";
import { Follower } from "./scroll.js";
import { applyTheme, set, settings } from "./settings.js";
import { listenForSettings, openSettings, showModel, showTools } from "./settings_dialog.js";
import { Sidebar } from "./sidebar.js";
import { consentTo, hasRoundsLeft, isUnderway, meetTools, openCall, settle, takeConsent } from "./tools.js";
import { add, ancestors, choose, newChat, path } from "./tree.js";

const SAVE_EVERY_MS = 1000;
const TICK_MS = 250;
const CHECK_EVERY_MS = 3000;

let model = { id: "magistral" }; // as the server names it
let met = null; // resolves to the model's name when the server was asked for its models and tools
const runs = new Map(); // chat id -> the Run of its reply on the way
const library = new Library(render, () => exportChat(library.open, "json"));
const follower = new Follower($("scroller"), $("messages"), $("to-end"));
const composer = new Composer({
  send, stop: () => running()?.stop(), answerNow, editLast: () => conversation.editLast(),
});
const conversation = new Conversation($("messages"), {
  edit: (message, text) => ask(add(library.open, message.parent, { role: "user", content: text, files: message.files })),
  retry: (message) => ask(library.open.messages[message.parent]),
  resume: (message) => reply(message),
  decide: async (message, call, answer) => {
    await met;
    try { takeConsent(call, answer); } catch (error) { library.report(error); }
    goOn(library.open, message, { call, isAllowed: answer !== "no" && answer !== "never" });
  },
  choose: showVersion,
}, { isPeeking: () => settings.isPeeking, setPeeking: (isPeeking) => remember({ isPeeking }) });
const sidebar = new Sidebar({
  open: openChat,
  rename: (chat, title) => library.rename(chat, title).then(render),
  remove: removeChat,
  restore: (chat) => { library.restore(chat); openChat(chat); },
  forget: (chat) => { library.forget(chat); render(); },
}, settings.isSidebarOpen, (isSidebarOpen) => remember({ isSidebarOpen }));

const running = () => runs.get(library.open.id) ?? null;

function remember(changes) {
  try { set(changes); } catch (error) { library.report(error); }
}

// -- what is on the screen

function render() {
  const chat = library.open;
  conversation.show(chat, running());
  sidebar.show(library.chats, chat, runs);
  $("welcome").hidden = path(chat).length > 0;
  document.title = chat.title ? `${chat.title} · ${model.id}` : model.id;
  renderControls();
}

function renderControls() {
  composer.show(running());
  const used = path(library.open).findLast((message) => message.figures?.contextTokens);
  const limit = model.max_model_len ? ` of ${count(model.max_model_len)}` : "";
  $("meter").replaceChildren(...(used
    ? [`${count(used.figures.contextTokens)}${limit}`, h("span", { class: "wide-only" }, " tokens")] : []));
}

function renderExamples() {
  $("examples").replaceChildren(...examplesFor(model.id).map((question) =>
    h("li", {}, h("button", { type: "button", onclick: () => send(question) }, question))));
}

// -- the server

/** Learn what is served; replies wait for it. Resolves to the model's name, whatever came of it. */
function meetServer() { return met = meet(); }

async function meet() {
  try {
    const models = await servedModels();
    model = models.find(({ id }) => id === settings.model) ?? models[0];
    $("model").textContent = model.id;
    renderExamples();
    showModel(model, models);
    showTools(await meetTools());
    endNotice("server");
    render();
  } catch (error) {
    if (error.status === 401) notice("server", "The server asks for an API key.", "Enter it", () => openSettings("api-key"));
    else notice("server", error.message, "Try again", meetServer);
    if (error.status === 0) waitForServer();
  }
  return model.id;
}

async function waitForServer() {
  while (!(await isReachable())) await new Promise((done) => setTimeout(done, CHECK_EVERY_MS));
  say("The server is back.");
  meetServer();
}

// -- conversations

function openChat(chat) {
  library.open = chat;
  render();
  follower.toEnd();
}

function startChat() {
  if (path(library.open).length) openChat(newChat());
  sidebar.closeDrawer();
  composer.focus();
}

function removeChat(chat) {
  runs.get(chat.id)?.stop();
  library.remove(chat, openChat);
  if (chat === library.open) openChat(newChat());
  else render();
}

function showVersion(message, by) {
  choose(library.open, message);
  library.keep(library.open, false);
  render();
  const [back, on] = conversation.turnOf(message).tools.querySelectorAll(".versions button");
  const wanted = by < 0 ? back : on;
  (wanted.disabled ? (by < 0 ? on : back) : wanted).focus();
}

// -- a reply

function send(text) {
  const files = attachedFiles();
  if (running() || !(text.trim() || files.length)) return false;
  const chat = library.open;
  const message = { role: "user", content: text };
  if (files.length) message.files = files;
  clearFiles();
  ask(add(chat, path(chat).at(-1)?.id ?? "", message));
  return true;
}

function ask(question, chat = library.open) {
  reply(add(chat, question.id, {
    role: "assistant", reasoning: "", content: "", finish: null, model: model.id,
  }), chat);
}

/** Settle the calls of a reply as far as nobody has to be asked, then let the model go on.
 *  `answer` is what the reader said to one of them, and to no other. */
async function goOn(chat, message, answer = null) {
  for (let call = openCall(message); call; call = openCall(message)) {
    if (isUnderway(call)) return; // whoever let it through goes on when it is done
    const consent = call === answer?.call ? answer.isAllowed : consentTo(call);
    if (consent === null) { say("A tool wants to be called."); render(); return; }
    const settled = settle(call, consent);
    render();
    try { await settled; } catch (error) { notice("tool", error.message); render(); return; }
    message.changed = Date.now();
    library.keep(chat);
    render();
  }
  if (!runs.has(chat.id) && hasRoundsLeft(ancestors(chat, message))) ask(message, chat);
}

/** Make a reply, or go on with what there is of it; another chat may be opened meanwhile. */
async function reply(message, chat = library.open) {
  if (!message.content && !message.reasoning) delete message.figures;
  const run = new Run({ chat, message, before: ancestors(chat, message), met });
  runs.set(chat.id, run);
  say("Thinking.");
  const article = () => (library.open === chat ? conversation.turnOf(message)?.article : null);
  const ticker = setInterval(() => { run.tick(); article()?.renderFigures(); }, TICK_MS);
  let saved = performance.now();
  let phase = run.phase;
  const following = run.follow(() => {
    if (run.phase !== phase) { phase = run.phase; begin(run, article()); }
    article()?.update();
    if (performance.now() - saved < SAVE_EVERY_MS) return;
    saved = performance.now();
    message.changed = Date.now();
    library.keep(chat);
  });
  library.keep(chat).then(render);
  render();
  follower.toEnd();
  composer.focusIfLost();
  const failure = await following;
  clearInterval(ticker);
  runs.delete(chat.id);
  message.changed = Date.now();
  const kept = library.keep(chat);
  render();
  say(failure ? failure.message : run.controller.signal.aborted ? "Stopped." : "The answer is complete.");
  if (failure?.status === 401) openSettings("api-key");
  await kept;
  if (openCall(message)) goOn(chat, message);
}

// The thinking folds when the answer begins, but not under the eyes of who reads in it.
function begin(run, article) {
  if (run.phase === "answering") {
    say("The answer begins.");
    if (article && article.isOpen === null && !settings.isPeeking && !follower.isFollowing) article.isOpen = true;
  }
  renderControls();
}

function answerNow() {
  const run = running();
  if (run?.canAnswerNow) run.answerNow().catch((error) => notice("answer", error.message));
}

// -- the rest of the page

listenForSettings((error) => {
  if (error) library.report(error);
  render();
  meetServer();
});
listenForFiles((problem) => notice("file", problem));
for (const button of document.querySelectorAll("[data-export]"))
  button.onclick = () => exportChat(library.open, button.dataset.export).catch((error) => notice("export", error.message));
$("import").onclick = () => $("import-input").click();
$("import-input").onchange = async ({ target }) => {
  $("settings").close();
  try {
    const chat = fromJson(await target.files[0].text());
    await library.keep(chat, false);
    openChat(chat);
  } catch (error) { notice("import", error.message); }
  target.value = "";
};
$("new-chat").onclick = $("new-chat-too").onclick = startChat;
document.addEventListener("keydown", (event) => {
  const isCommand = event.metaKey || event.ctrlKey;
  if (isCommand && event.key.toLowerCase() === "k") { event.preventDefault(); sidebar.toggle(true); }
  if (isCommand && event.shiftKey && event.key.toLowerCase() === "o") { event.preventDefault(); startChat(); }
  // As Ctrl-C in a terminal: the first ends the thinking, the second the reply.
  const run = running();
  if (event.key !== "Escape" || !run || $("settings").open) return;
  if (run.canAnswerNow && !run.isAnswering) answerNow();
  else run.stop();
});
window.addEventListener("pagehide", () => { for (const { chat } of runs.values()) library.keep(chat); });

applyTheme();
renderExamples();
render();
meetServer();
await library.load();
if (!path(library.open).length) library.open = library.chats.find((chat) => !chat.deleted) ?? library.open;
openChat(library.open);
document.body.dataset.ready = "";
