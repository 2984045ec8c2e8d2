// What the conversation looks like. Knows messages, not the server.
import { renderInto } from "./markdown.js";

const ENDS = {
  length: "Cut off: the reply reached its limit of tokens.",
  loop: "Ended because it went in circles.",
  interrupted: "Stopped.",
  content_filter: "",
};
// Rendering takes longer as a reply grows; it gets at most a fifth of the time.
const RENDER_SHARE = 5;

const list = document.getElementById("messages");

function fromTemplate(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** "9 s, 412 tokens" */
function thinkingCost(message) {
  const seconds = message.thinkSeconds ?? 0;
  const time = seconds < 10 ? seconds.toFixed(1) : seconds.toFixed(0);
  return `${time} s` + (message.thinkTokens ? `, ${message.thinkTokens} tokens` : "");
}

/** One message on the page; `update` shows what has changed. */
export class MessageView {
  constructor(message) {
    this.message = message;
    this.element = fromTemplate(`${message.role}-template`);
    this.nextRender = 0;
    this.scheduled = false;
    this.element.messageView = this;
    list.append(this.element);
    this.render();
  }

  part(selector) { return this.element.querySelector(selector); }

  /** Show the message soon; cheap to call for each token. */
  update() {
    if (this.scheduled) return;
    this.scheduled = true;
    const wait = Math.max(0, this.nextRender - performance.now());
    setTimeout(() => requestAnimationFrame(() => { this.scheduled = false; this.render(); }), wait);
  }

  render() {
    const began = performance.now();
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    if (this.message.role === "user") this.part(".text").textContent = this.message.content;
    else this.renderReply();
    if (isAtEnd) list.scrollTop = list.scrollHeight;
    const now = performance.now();
    this.nextRender = now + RENDER_SHARE * (now - began);
  }

  renderReply() {
    const { message } = this;
    const isRunning = message.finish === null;
    this.element.classList.toggle("running", isRunning);
    this.element.setAttribute("aria-busy", String(isRunning));
    const thinking = this.part(".thinking");
    thinking.hidden = !message.reasoning && !(isRunning && !message.content);
    const isThinking = isRunning && !message.content;
    this.part("summary").textContent =
      isThinking && !message.reasoning ? "Reading"
      : isThinking ? `Thinking, ${thinkingCost(message)}`
      : `Thought for ${thinkingCost(message)}`;
    if (thinking.open || !isRunning)
      renderInto(this.part(".thoughts"), message.reasoning, { breaks: true });
    renderInto(this.part(".text"), message.content);
    const end = ENDS[message.finish] ?? "";
    this.part(".end").textContent = message.error ?? end;
    this.part(".end").hidden = isRunning || !(message.error ?? end);
    this.offer("copy", !isRunning && message.content);
  }

  offer(action, isOffered) {
    this.part(`[data-action="${action}"]`).hidden = !isOffered;
  }
}

/** Only the last reply can be tried again or gone on with. */
export function offerActions(isRunning) {
  const views = [...list.children].map((element) => element.messageView);
  for (const view of views) {
    const { message } = view;
    const isLast = view === views.at(-1) && !isRunning;
    if (message.role === "user") view.offer("edit", !isRunning);
    else {
      view.offer("retry", isLast);
      view.offer("continue", isLast && message.finish !== "stop"
        && Boolean(message.content || message.reasoning));
    }
  }
}

/** Show a conversation from its beginning. */
export function showMessages(messages) {
  list.replaceChildren();
  const views = messages.map((message) => new MessageView(message));
  list.scrollTop = list.scrollHeight;
  return views;
}

// A closed thought is rendered when it is opened, not with each token.
list.addEventListener("toggle", (event) => {
  if (event.target.open) event.target.closest(".message").messageView.update();
}, true);
