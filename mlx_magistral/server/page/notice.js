// One line on what is wrong, with one thing to do about it; and a passing word with an Undo.
import { $ } from "./dom.js";

const TOAST_MS = 10_000;
let toastTimer = null;
let shown = null; // what the notice is about

/** For a screen reader alone. */
export function say(text) { $("status").textContent = text; }

/** `about` names the trouble, so that what ends it can take it away. */
export function notice(about, text, label = null, action = null) {
  shown = about;
  $("notice-text").textContent = text;
  $("notice-action").textContent = label;
  $("notice-action").hidden = !label;
  $("notice-action").onclick = () => { endNotice(about); action(); };
  $("notice").hidden = false;
}

export function endNotice(about) {
  if (shown !== about) return;
  shown = null;
  $("notice").hidden = true;
}

/** It has the focus where what had it is gone, and stays as long as it has. */
export function toast(text, undo) {
  const close = () => { $("toast").hidden = true; };
  const closeLater = () => {
    if ($("toast").contains(document.activeElement)) toastTimer = setTimeout(closeLater, TOAST_MS);
    else close();
  };
  $("toast-text").textContent = text;
  $("toast-undo").onclick = () => { close(); undo(); };
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(closeLater, TOAST_MS);
  setTimeout(() => { if (document.activeElement === document.body) $("toast-undo").focus(); });
}

$("notice-close").onclick = () => endNotice(shown);
