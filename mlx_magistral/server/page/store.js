// Conversations and settings, kept in this browser.
//
// A conversation is {id, title, messages}; a message {role: "user", content} or {role: "assistant",
// reasoning, content, thinkSeconds, thinkTokens, finish, usage}, where `finish` is null as long as
// the reply runs.
const CHATS = "mlx-magistral.chats";
const SETTINGS = "mlx-magistral.settings";
const KEY = "mlx-magistral.api-key";
const DEFAULTS = { system: "", temperature: 0.7, budget: null, theme: "auto" };

function read(storage, key, otherwise) {
  try { return JSON.parse(storage.getItem(key)) ?? otherwise; } catch { return otherwise; }
}

export function loadSettings() {
  return { ...DEFAULTS, ...read(localStorage, SETTINGS, {}) };
}

export function saveSettings(settings) {
  localStorage.setItem(SETTINGS, JSON.stringify(settings));
}

export const apiKey = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
};

/** All conversations, newest first; a reply that a closed tab broke off counts as stopped. */
export function loadChats() {
  const chats = read(localStorage, CHATS, []);
  for (const message of chats.flatMap((chat) => chat.messages))
    if (message.role === "assistant" && message.finish === null) message.finish = "interrupted";
  return chats;
}

/** Keep a conversation, as the newest. Another tab's conversations stay. Throws when full. */
export function saveChat(chat) {
  const others = read(localStorage, CHATS, []).filter((other) => other.id !== chat.id);
  localStorage.setItem(CHATS, JSON.stringify([chat, ...others]));
}

export function deleteChat(id) {
  const others = read(localStorage, CHATS, []).filter((chat) => chat.id !== id);
  localStorage.setItem(CHATS, JSON.stringify(others));
}

export function newChat() {
  return { id: crypto.randomUUID?.() ?? String(Date.now()), title: "", messages: [] };
}

/** A conversation as a Markdown document, thoughts folded. */
export function toMarkdown(chat) {
  const parts = chat.messages.map((message) => {
    if (message.role === "user") return `## You\n\n${message.content}`;
    const thoughts = message.reasoning
      ? `<details><summary>Thinking</summary>\n\n${message.reasoning}\n\n</details>\n\n` : "";
    return `## Magistral\n\n${thoughts}${message.content}`;
  });
  return `# ${chat.title}\n\n${parts.join("\n\n")}\n`;
}
