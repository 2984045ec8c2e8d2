// A conversation as a tree: nothing said is ever replaced, an edit or another try is a branch.
//
// A chat is {id, title, created, updated, deleted, messages, chosen}. `messages` has each
// message by its id: {id, parent, at, changed, role, content, ...}, where `parent` is the message
// before, "" at the beginning. `chosen` says for a message which of those after it is shown.

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function newChat() {
  const now = Date.now();
  return {
    id: newId(), title: "", created: now, updated: now, deleted: null,
    messages: {}, chosen: {},
  };
}

/** Put a message after another and show it; it gets an id. */
export function add(chat, parent, message) {
  const now = Date.now();
  Object.assign(message, { id: newId(), parent, at: now, changed: now });
  chat.messages[message.id] = message;
  chat.chosen[parent] = message.id;
  chat.updated = now;
  if (!chat.title && message.role === "user") chat.title = titleFrom(message);
  return message;
}

function titleFrom({ content, files }) {
  const line = content.trim().split("\n")[0] || files?.[0]?.name || "";
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}

/** The messages that can follow another, oldest first. */
export function childrenOf(chat, parent) {
  return Object.values(chat.messages)
    .filter((message) => message.parent === parent).sort((one, other) => one.at - other.at);
}

/** The conversation as it is shown, from its beginning. */
export function path(chat) {
  const found = [];
  for (let next = chat.messages[chat.chosen[""]]; next; next = chat.messages[chat.chosen[next.id]])
    found.push(next);
  return found;
}

/** What was said before a message, from the beginning on. */
export function ancestors(chat, message) {
  const found = [];
  for (let each = chat.messages[message.parent]; each; each = chat.messages[each.parent]) found.unshift(each);
  return found;
}

export function choose(chat, message) {
  chat.chosen[message.parent] = message.id;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value) => typeof value === "string";

function isMessage(message) {
  if (!isObject(message) || !isText(message.content)) return false;
  if (message.role === "assistant") return isText(message.reasoning) && isObject(message.figures ?? {});
  const files = message.files ?? [];
  return message.role === "user" && Array.isArray(files)
    && files.every((file) => isObject(file) && isText(file.name) && isText(file.text));
}

/** Whether something from a file can be shown as a chat. */
export function isChat(value) {
  if (!isObject(value) || !isText(value.title)) return false;
  const { messages, chosen } = value;
  if (!isObject(messages) || !isObject(chosen)) return false;
  // A message stands after its parent, so that none is its own ancestor.
  const seen = new Set([""]);
  const isTree = Object.entries(messages).every(([id, message]) => {
    const isSound = isMessage(message) && message.id === id && seen.has(message.parent);
    seen.add(id);
    return isSound;
  });
  return isTree && Object.entries(chosen).every(([parent, id]) => messages[id]?.parent === parent);
}

/** Two states of one chat as one: all messages of both, each as it was changed last. */
export function merged(stored, mine) {
  if (!stored) return mine;
  const messages = { ...stored.messages };
  for (const [id, message] of Object.entries(mine.messages))
    if (!(messages[id]?.changed > message.changed)) messages[id] = message;
  return { ...mine, messages, chosen: { ...stored.chosen, ...mine.chosen } };
}

/** A chat from a plain list of messages. */
export function fromList({ title, messages }) {
  const chat = newChat();
  let parent = "";
  for (const message of messages) parent = add(chat, parent, { ...message }).id;
  if (title) chat.title = title;
  return chat;
}
