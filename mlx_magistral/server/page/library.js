// All conversations of this browser: which is open, and keeping them on disk.
import { notice, toast } from "./notice.js";
import * as store from "./store.js";
import { merged, newChat } from "./tree.js";

export class Library {
  /** `onChange(chat)` is called when another tab has changed a chat, or the list has changed. */
  constructor(onChange, exportAll) {
    this.chats = [];
    this.open = newChat();
    this.onChange = onChange;
    this.exportAll = exportAll;
  }

  async load() {
    try {
      const stored = await store.loadChats();
      // What was said before they were loaded is here already.
      const isHere = (chat) => this.chats.some((other) => other.id === chat.id);
      this.chats = [...this.chats, ...stored.filter((chat) => !isHere(chat))];
      store.watchOthers((id) => this.takeFromOther(id));
    } catch (error) { this.report(error); }
  }

  report(error) {
    const full = error?.name === "QuotaExceededError";
    notice("storage", full
      ? "This browser's storage is full: nothing more is kept. Export this conversation and forget old ones."
      : `This browser keeps no conversations (${error?.message ?? "it says not why"}). They are lost when the page is closed.`,
    "Export this one", this.exportAll);
  }

  /** Write a chat to disk; it is the newest in the list from its first message on. */
  async keep(chat, isTouched = true) {
    if (isTouched) chat.updated = Date.now();
    this.chats = [chat, ...this.chats.filter((other) => other !== chat)]
      .sort((one, other) => other.updated - one.updated);
    try { this.adopt(chat, await store.saveChat(chat)); } catch (error) { this.report(error); }
  }

  // What another tab has said in the same chat.
  adopt(chat, whole) {
    for (const [id, message] of Object.entries(whole.messages)) chat.messages[id] ??= message;
  }

  async takeFromOther(id) {
    const stored = await store.loadChat(id);
    const mine = this.chats.find((chat) => chat.id === id);
    if (!stored) this.chats = this.chats.filter((chat) => chat.id !== id);
    else if (!mine) this.chats = [stored, ...this.chats];
    else Object.assign(mine, { ...stored, ...merged(stored, mine), title: stored.title, deleted: stored.deleted, updated: stored.updated });
    this.onChange();
  }

  rename(chat, title) {
    chat.title = title;
    return this.keep(chat, false);
  }

  /** Deleted is not gone: it can be restored at once, or later from the end of the list. */
  remove(chat, onUndo) {
    chat.deleted = Date.now();
    this.keep(chat, false);
    toast(`Deleted “${chat.title}”.`, () => { this.restore(chat); onUndo(chat); });
  }

  restore(chat) {
    chat.deleted = null;
    return this.keep(chat, false);
  }

  async forget(chat) {
    this.chats = this.chats.filter((other) => other !== chat);
    try { await store.removeChat(chat.id); } catch (error) { this.report(error); }
  }
}
