// The conversation on the page: its messages, what can be done with each, and its branches.
import { articleOf } from "./article.js";
import { copyFrom } from "./clipboard.js";
import { h, icon } from "./dom.js";
import { wholeText } from "./run.js";
import { isUnderway, openCall, placeOf } from "./tools.js";
import { childrenOf, path } from "./tree.js";

// So many messages are drawn without a pause.
const AT_ONCE = 12;

/** A message on the page, with its row of buttons. */
class Turn {
  constructor(conversation, message) {
    this.conversation = conversation;
    this.message = message;
    this.article = articleOf(message, conversation.reading);
    this.tools = h("div", { class: "tools" });
    this.error = h("div", { class: "error", role: "alert", hidden: true });
    this.consent = h("div", { class: "consent", role: "group", "aria-label": "A tool wants to be called", hidden: true });
    this.offered = null; // what the row was made for
    this.article.element.append(this.consent, this.error, this.tools);
  }

  get element() { return this.article.element; }

  update(onRendered) { this.article.update?.(onRendered); }

  /** What can be done now; `isRunning` says whether this chat has a reply on its way. */
  offer(isRunning, isLast) {
    const { message } = this;
    const can = this.conversation.actions;
    const isMine = message.role === "user";
    const isOver = isMine || message.finish !== null;
    const hasText = isMine || message.content;
    this.showError(isRunning, can);
    const begun = Boolean(message.content || message.reasoning);
    const all = childrenOf(this.conversation.chat, message.parent);
    const call = isLast && !isRunning ? openCall(message) : null;
    const state = [isRunning, isLast, isOver, hasText && true, begun, message.finish, message.error,
      all.indexOf(message), all.length, message.calls?.map(({ result }) => result !== undefined),
      call && placeOf(call), call && isUnderway(call)].join();
    if (state === this.offered) return;
    this.offered = state;
    this.askConsent(call, can);
    const focused = this.tools.contains(document.activeElement) ? nameOf(document.activeElement) : null;
    this.tools.replaceChildren(...[
      this.versions(all, can),
      isOver && hasText && button("Copy", (event) => copyFrom(event.currentTarget, isMine ? wholeText(message) : message.content)),
      isMine && !isRunning && button("Edit", () => this.edit(can)),
      !isMine && isOver && !isRunning && !message.error && button("Try again", () => can.retry(message)),
      !isMine && isOver && !isRunning && !message.error && isLast && !["stop", "tool_calls"].includes(message.finish) && begun
        && button("Continue", () => can.resume(message)),
    ].filter(Boolean));
    // Who is on a button stays on it while the row changes around it.
    if (focused) [...this.tools.querySelectorAll("button")].find((each) => nameOf(each) === focused)?.focus();
  }

  // All that would be sent is shown, as it is: models write it.
  askConsent(call, can) {
    this.consent.hidden = !call;
    this.consent.replaceChildren();
    if (!call) return;
    if (isUnderway(call)) {
      this.consent.append(h("p", {}, h("code", {}, placeOf(call)), " is being called."));
      return;
    }
    const answers = { "Call it": "yes", "For this session": "session", Always: "always", No: "no", Never: "never" };
    this.consent.append(
      h("p", {}, h("code", {}, placeOf(call)), " wants to be called with:"),
      h("pre", { tabindex: "0" }, call.arguments || "{}"),
      h("div", { class: "row wrap" }, ...Object.entries(answers).map(([text, answer]) =>
        button(text, () => can.decide(this.message, call, answer), answer === "yes" ? "primary" : null))));
  }

  // One message of what went wrong and one button: it goes on where the reply was cut.
  showError(isRunning, can) {
    const { error, content, reasoning } = this.message;
    this.error.hidden = !error || isRunning;
    if (this.error.hidden) return;
    const again = content || reasoning ? "Go on from here" : "Try again";
    this.error.replaceChildren(
      h("span", {}, error), button(again, () => can.resume(this.message), "primary"));
  }

  versions(all, can) {
    if (all.length < 2) return null;
    const at = all.indexOf(this.message);
    const step = (by, name, drawing) => h("button", {
      type: "button", class: "quiet", "aria-label": `${name} version`, disabled: !all[at + by],
      onclick: () => can.choose(all[at + by], by),
    }, icon(drawing));
    return h("span", { class: "versions", role: "group", "aria-label": `Version ${at + 1} of ${all.length}` },
      step(-1, "Previous", "left"), h("span", {}, `${at + 1}/${all.length}`), step(1, "Next", "right"));
  }

  edit(can) {
    const { message, article } = this;
    const box = h("textarea", { "aria-label": "Edit your message", rows: "3" });
    box.value = message.content;
    const close = () => { form.remove(); article.body.hidden = this.tools.hidden = false; };
    const form = h("form", {
      class: "editing",
      onsubmit: (event) => {
        event.preventDefault();
        if (!box.value.trim() && !message.files?.length) return;
        close();
        can.edit(message, box.value);
      },
      onkeydown: (event) => {
        if (event.key === "Escape") { event.stopPropagation(); close(); this.tools.querySelector("button:last-of-type")?.focus(); }
        if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) form.requestSubmit();
      },
    }, box, h("p", { class: "hint" }, "The message as it was, and its reply, stay as version "
      + `${childrenOf(this.conversation.chat, message.parent).indexOf(message) + 1}.`),
    h("div", { class: "row" }, button("Cancel", close), h("button", { class: "primary" }, "Send")));
    article.body.hidden = this.tools.hidden = true;
    article.element.prepend(form);
    box.style.height = `${Math.min(box.scrollHeight + 4, window.innerHeight / 2)}px`;
    box.focus({ preventScroll: true });
    form.scrollIntoView({ block: "nearest" });
  }
}

function nameOf(element) {
  return element.getAttribute("aria-label") ?? element.dataset.label ?? element.textContent;
}

function button(text, onclick, kind = null) {
  return h("button", { type: "button", class: kind, onclick }, text);
}

export class Conversation {
  /** `actions`: edit(message, text), retry(message), resume(message), choose(message, by).
   *  `reading`: how thoughts are shown while they come, see ReplyArticle. */
  constructor(list, actions, reading) {
    this.list = list;
    this.actions = actions;
    this.reading = reading;
    this.chat = null;
    this.run = null;
    this.skipped = 0; // messages at the beginning that are still to be drawn
    this.timer = null;
    this.turns = new Map();
  }

  /** Show a chat, or what has changed of it; `run` is its reply on the way or null.
   *
   *  Of a long one the end is there at once, and what came before it piece by piece. */
  show(chat, run) {
    const whole = path(chat);
    if (chat !== this.chat) {
      this.turns.clear();
      this.skipped = Math.max(0, whole.length - AT_ONCE);
    }
    Object.assign(this, { chat, run });
    if (this.skipped > 0) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => { this.skipped -= AT_ONCE; this.show(this.chat, this.run); });
    }
    const shown = whole.slice(Math.max(0, this.skipped));
    const turns = shown.map((message) => {
      let turn = this.turns.get(message.id);
      if (turn?.message !== message) this.turns.set(message.id, turn = new Turn(this, message));
      return turn;
    });
    this.arrange(turns.map((turn) => turn.element));
    for (const turn of turns) {
      if (turn.message.role === "assistant") {
        turn.article.run = run?.message === turn.message ? run : null;
        turn.article.render();
      }
      turn.offer(Boolean(run), turn === turns.at(-1));
    }
  }

  // What stays is not touched: it may have the focus, or be selected.
  arrange(elements) {
    const wanted = new Set(elements);
    for (const element of [...this.list.children]) if (!wanted.has(element)) element.remove();
    elements.forEach((element, index) => {
      const there = this.list.children[index];
      if (there !== element) this.list.insertBefore(element, there ?? null);
    });
  }

  turnOf(message) { return this.turns.get(message.id); }

  /** Edit the last question, as the arrow up in an empty box asks for. */
  editLast() {
    const last = path(this.chat).findLast((message) => message.role === "user");
    if (last) this.turnOf(last).edit(this.actions);
  }
}
