// One message as it is read, in the page and in saved files. Knows messages, not the server.
import { h } from "./dom.js";
import { fileSize, figuresLine, readingLine, thinkingCost } from "./figures.js";
import { GrowingText } from "./markdown.js";

const ENDS = {
  length: "Cut off at a limit of tokens, or because it went in circles.",
  loop: "Ended because it went in circles.",
  interrupted: "Stopped.",
};
// Rendering takes longer as a reply grows; it gets at most a fifth of the time.
const RENDER_SHARE = 5;

/** A question with the files that came with it. */
export class QuestionArticle {
  constructor(message) {
    this.message = message;
    this.body = h("div", { class: "body" }, ...(message.files ?? []).map(fileBox));
    if (message.content) this.body.append(h("div", { class: "text" }, message.content));
    this.element = h("article", { class: "message user", "aria-label": "You" }, this.body);
  }

  render() {}
}

function fileBox({ name, text }) {
  return h("details", { class: "file" },
    h("summary", {}, name, h("small", {}, ` ${fileSize(new Blob([text]).size)}`)),
    h("pre", { tabindex: "0" }, text));
}

/** A reply: its thinking, its answer and what it cost.
 *
 *  `run` is what is known of a reply that goes on: {phase, reading}; null when it is over. While it
 *  thinks the thinking is open, its last three lines or all of it; it folds when the answer begins,
 *  unless the reader has folded or unfolded it.
 */
export class ReplyArticle {
  constructor(message, { isPeeking = () => false, setPeeking = null } = {}) {
    this.message = message;
    this.run = null;
    this.isOpen = null; // as the reader wants it; null is as it comes
    this.isPeeking = isPeeking;
    this.nextRender = 0;
    this.scheduled = false;
    this.build(setPeeking);
    this.render();
  }

  build(setPeeking) {
    this.fold = h("button", { type: "button", class: "fold", onclick: () => this.toggle() });
    this.lines = h("button", {
      type: "button", class: "lines",
      onclick: () => { setPeeking?.(!this.isPeeking()); this.render(); },
    });
    this.thoughts = h("div", { class: "thoughts" });
    this.thinking = h("section", { class: "thinking", "aria-label": "Thinking" },
      h("div", { class: "thinking-head" }, this.fold, this.lines), this.thoughts);
    this.calls = h("div", { class: "calls" });
    this.text = h("div", { class: "text" });
    this.figures = h("p", { class: "figures" });
    this.growing = {
      thoughts: new GrowingText(this.thoughts, { breaks: true }), text: new GrowingText(this.text),
    };
    this.element = h("article", { class: "message assistant", "aria-label": "Magistral" },
      this.thinking, this.calls, this.text, this.figures);
  }

  toggle() {
    this.isOpen = !this.showsThoughts();
    this.render();
  }

  get isThinking() { return Boolean(this.run) && !this.message.content; }

  showsThoughts() { return this.isOpen ?? this.isThinking; }

  /** Show the message soon; cheap to call for each token. */
  update(whenDone = () => {}) {
    if (this.scheduled) return;
    this.scheduled = true;
    const wait = Math.max(0, this.nextRender - performance.now());
    setTimeout(() => requestAnimationFrame(() => {
      this.scheduled = false;
      this.render();
      whenDone();
    }), wait);
  }

  render() {
    const began = performance.now();
    const { message } = this;
    this.element.classList.toggle("running", Boolean(this.run));
    this.element.setAttribute("aria-busy", String(Boolean(this.run)));
    this.renderThinking();
    this.renderCalls();
    this.growing.text.update(message.content ?? "");
    this.renderFigures();
    const now = performance.now();
    this.nextRender = now + RENDER_SHARE * (now - began);
  }

  renderThinking() {
    const { message } = this;
    this.thinking.hidden = !message.reasoning;
    if (!message.reasoning) return;
    const isShown = this.showsThoughts();
    const isPeek = isShown && this.isThinking && this.isPeeking();
    this.fold.textContent = this.isThinking ? "Thinking" : `Thought for ${thinkingCost(message.figures ?? {})}`;
    this.fold.setAttribute("aria-expanded", String(isShown));
    this.lines.hidden = !(isShown && this.isThinking);
    this.lines.textContent = isPeek ? "Show all" : "Three lines";
    this.thoughts.hidden = !isShown;
    this.thoughts.classList.toggle("peek", isPeek);
    if (isShown) this.growing.thoughts.update(message.reasoning);
    this.thoughts.scrollTop = isPeek ? this.thoughts.scrollHeight : 0;
  }

  renderCalls() {
    const calls = this.message.calls ?? [];
    this.calls.hidden = !calls.length;
    this.calls.replaceChildren(...calls.map((call) => h("div", { class: "call" },
      h("p", {}, "Tool call: ", h("code", {}, `${call.name} ${call.arguments}`)),
      call.result === undefined ? null : h("pre", { tabindex: "0" }, call.result))));
  }

  /** The line under the reply: how it goes, or what it took and how it ended. */
  renderFigures() {
    const figures = this.message.figures ?? {};
    const parts = [];
    if (this.run) {
      const isReading = this.run.phase === "reading";
      const doing = isReading ? "Reading" : this.isThinking ? "Thinking" : "Answering";
      parts.push(doing, isReading ? readingLine(figures, this.run.reading) : figuresLine(figures));
    } else {
      if (ENDS[this.message.finish] && !this.message.error) parts.push(ENDS[this.message.finish]);
      if (figures.seconds) parts.push(figuresLine(figures));
    }
    this.figures.textContent = parts.join(this.run ? " · " : " ");
    this.figures.hidden = !parts.length;
  }
}

export function articleOf(message, options) {
  return message.role === "user" ? new QuestionArticle(message) : new ReplyArticle(message, options);
}
