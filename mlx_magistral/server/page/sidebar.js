// The conversations kept in this browser: by date, found by a word, renamed, deleted and restored.
import { $, h, icon } from "./dom.js";

const DAY_MS = 24 * 3600 * 1000;
const NARROW = window.matchMedia("(max-width: 56rem)");

function groupOf(time) {
  const today = new Date().setHours(0, 0, 0, 0);
  if (time >= today) return "Today";
  if (time >= today - DAY_MS) return "Yesterday";
  if (time >= today - 7 * DAY_MS) return "Last 7 days";
  if (time >= today - 30 * DAY_MS) return "Last 30 days";
  return new Date(time).toLocaleDateString("en", { month: "long", year: "numeric" });
}

/** Where a word stands in a chat: {chat, excerpt}, no excerpt for the title; null for nowhere. */
function found(chat, word) {
  if (!word || chat.title.toLowerCase().includes(word)) return { chat, excerpt: null };
  for (const { content = "" } of Object.values(chat.messages)) {
    const at = content.toLowerCase().indexOf(word);
    if (at >= 0) return { chat, excerpt: content.slice(Math.max(0, at - 20), at + 60).replace(/\s+/g, " ") };
  }
  return null;
}

export class Sidebar {
  /** `actions`: open(chat), rename(chat, title), remove(chat), restore(chat), forget(chat);
   *  `setOpen(isOpen)` remembers whether it is open on a wide screen. */
  constructor(actions, isOpen, setOpen) {
    this.actions = actions;
    this.setOpen = setOpen;
    this.isOpen = isOpen && !NARROW.matches;
    this.word = "";
    $("search").addEventListener("input", ({ target }) => {
      this.word = target.value.trim().toLowerCase();
      this.render();
    });
    $("toggle-sidebar").onclick = () => this.toggle(!this.isOpen);
    $("close-sidebar").onclick = () => this.toggle(false);
    $("backdrop").onclick = () => this.toggle(false);
    // Wherever the focus is: what had it may have been deleted.
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.isOpen || !NARROW.matches) return;
      event.stopImmediatePropagation();
      this.toggle(false);
    });
    NARROW.addEventListener("change", () => this.apply());
    this.apply();
  }

  toggle(isOpen) {
    this.isOpen = isOpen;
    if (!NARROW.matches) this.setOpen(isOpen);
    this.apply();
    // On a screen keyboard's screen the search would call it up.
    $(!isOpen ? "toggle-sidebar" : NARROW.matches ? "close-sidebar" : "search").focus();
  }

  /** On a narrow screen it is a drawer over the page, which is out of reach meanwhile. */
  apply() {
    $("sidebar").hidden = !this.isOpen;
    $("backdrop").hidden = !(this.isOpen && NARROW.matches);
    $("stage").inert = this.isOpen && NARROW.matches;
    $("toggle-sidebar").setAttribute("aria-expanded", String(this.isOpen));
  }

  closeDrawer() { if (NARROW.matches && this.isOpen) this.toggle(false); }

  /** `chats` are newest first; `running` are the ids of those with a reply on its way. */
  show(chats, current, running) {
    Object.assign(this, { chats, current, running });
    this.render();
  }

  render() {
    const groups = new Map();
    for (const chat of this.chats.filter((each) => !each.deleted)) {
      const hit = found(chat, this.word);
      if (!hit) continue;
      const name = groupOf(chat.updated);
      groups.set(name, [...(groups.get(name) ?? []), this.item(hit)]);
    }
    const sections = [...groups].map(([name, items]) => h("section", { "aria-label": name },
      h("h2", {}, name), h("ul", {}, ...items)));
    $("chat-list").replaceChildren(...sections);
    $("no-chats").hidden = groups.size > 0;
    $("no-chats").textContent = this.word ? "Nothing has this word." : "No conversations yet.";
    this.renderDeleted();
  }

  item({ chat, excerpt }) {
    const title = chat.title || "Untitled";
    const isCurrent = chat.id === this.current.id;
    const open = h("button", {
      type: "button", class: "chat-title", "aria-current": isCurrent && "true",
      onclick: () => { this.actions.open(chat); this.closeDrawer(); },
    }, h("span", {}, title), excerpt && h("small", {}, excerpt));
    if (this.running.has(chat.id)) open.append(h("small", { class: "live" }, "Replying"));
    const item = h("li", {}, open,
      this.small(`Rename ${title}`, "pencil", () => this.rename(item, chat)),
      this.small(`Delete ${title}`, "trash", () => this.actions.remove(chat)));
    return item;
  }

  small(label, drawing, onclick) {
    return h("button", { type: "button", class: "quiet", "aria-label": label, title: label.split(" ")[0], onclick }, icon(drawing));
  }

  rename(item, chat) {
    const box = h("input", { "aria-label": "Name of the conversation", value: chat.title, maxlength: "120" });
    const end = (title) => {
      if (!box.isConnected || item.isOver) return;
      item.isOver = true;
      if (title && title !== chat.title) this.actions.rename(chat, title);
      this.render();
    };
    box.addEventListener("blur", () => end(box.value.trim()));
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter") end(box.value.trim());
      if (event.key === "Escape") { event.stopPropagation(); end(null); }
    });
    item.replaceChildren(box);
    box.select();
  }

  renderDeleted() {
    const deleted = this.chats.filter((chat) => chat.deleted);
    $("deleted").hidden = !deleted.length;
    $("deleted-count").textContent = `Deleted (${deleted.length})`;
    $("deleted-list").replaceChildren(...deleted.map((chat) => h("li", {},
      h("span", { class: "chat-title" }, chat.title || "Untitled"),
      h("button", { type: "button", "aria-label": `Restore ${chat.title}`, onclick: () => this.actions.restore(chat) }, "Restore"),
      this.small(`Forget ${chat.title}`, "close", () => {
        if (confirm(`Forget “${chat.title}” for good? It is kept nowhere else.`)) this.actions.forget(chat);
      }))));
  }
}
