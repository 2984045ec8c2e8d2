// The box to write in, and the buttons of a reply on its way.
import { attachedFiles } from "./attach.js";
import { $ } from "./dom.js";

const DRAFT = "mlx-magistral.draft";
// On a screen keyboard Enter breaks the line and the button sends.
const TOUCH = window.matchMedia("(pointer: coarse)");

export class Composer {
  /** `actions`: send(text) says whether it was sent; stop(), answerNow(), editLast(). */
  constructor(actions) {
    this.actions = actions;
    this.box = $("question");
    this.isRunning = false;
    try { this.box.value = sessionStorage.getItem(DRAFT) ?? ""; } catch { /* starts empty */ }
    this.fit();
    $("composer").addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    this.box.addEventListener("input", () => this.changed());
    this.box.addEventListener("keydown", (event) => this.pressed(event));
    $("stop").onclick = () => { actions.stop(); this.focus(); };
    $("answer-now").onclick = () => { actions.answerNow(); this.focus(); };
  }

  focus() { this.box.focus(); }

  /** Where the button that was pressed is gone; not where that calls up a screen keyboard. */
  focusIfLost() {
    if (document.activeElement === document.body && !TOUCH.matches) this.focus();
  }

  pressed(event) {
    const isPlain = !event.shiftKey && !event.isComposing && !event.altKey;
    if (event.key === "Enter" && isPlain && (!TOUCH.matches || event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.submit();
    }
    if (event.key === "ArrowUp" && !this.box.value && !attachedFiles().length && !this.isRunning) {
      event.preventDefault();
      this.actions.editLast();
    }
  }

  submit() {
    if (!this.actions.send(this.box.value)) return;
    this.box.value = "";
    this.changed();
  }

  changed() {
    this.fit();
    try { sessionStorage.setItem(DRAFT, this.box.value); } catch { /* lost on a reload */ }
  }

  fit() {
    this.box.style.height = "auto";
    this.box.style.height = `${this.box.scrollHeight}px`;
  }

  /** What can be pressed while a `run` goes on, or without one. */
  show(run) {
    this.isRunning = Boolean(run);
    $("send").hidden = Boolean(run);
    $("stop").hidden = !run;
    $("answer-now").hidden = !run?.canAnswerNow;
    $("answer-now").disabled = Boolean(run?.isAnswering);
  }
}
