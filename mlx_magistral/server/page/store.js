// Conversations, kept in this browser's database (IndexedDB). Every function may reject with an
// error whose message can be shown.
import { fromList, merged } from "./tree.js";

const DATABASE = "mlx-magistral";
const CHATS = "chats";
// Where conversations were kept as one list, before they could branch.
const LIST_KEY = "mlx-magistral.chats";
// A deleted chat can be restored for so long.
const KEPT_DELETED_MS = 30 * 24 * 3600 * 1000;

// Other tabs with this page hear which chat has changed.
const channel = new BroadcastChannel(DATABASE);
let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(CHATS, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/** Run `work(store, then)` in one transaction and wait until it is on disk. */
async function transact(mode, work) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(CHATS, mode);
    let result;
    transaction.oncomplete = () => resolve(result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
    // A step after a request: what it throws must not be lost in the event.
    const then = (request, step) => {
      request.onsuccess = () => {
        try { result = step(request.result); } catch (error) { reject(error); transaction.abort(); }
      };
    };
    work(transaction.objectStore(CHATS), then);
  });
}

/** All chats, newest first. A reply that a closed tab broke off counts as stopped. */
export async function loadChats() {
  await adoptList();
  const chats = await transact("readonly", (store, then) => then(store.getAll(), (all) => all));
  const kept = [];
  for (const chat of chats) {
    if (chat.deleted && Date.now() - chat.deleted > KEPT_DELETED_MS) await removeChat(chat.id);
    else kept.push(chat);
  }
  for (const message of kept.flatMap((chat) => Object.values(chat.messages)))
    if (message.role === "assistant" && message.finish === null) message.finish = "interrupted";
  return kept.sort((one, other) => other.updated - one.updated);
}

export function loadChat(id) {
  return transact("readonly", (store, then) => then(store.get(id), (chat) => chat));
}

/** Keep a chat. What another tab has added to it meanwhile stays, and comes back as the result. */
export async function saveChat(chat) {
  const whole = await transact("readwrite", (store, then) => then(store.get(chat.id), (stored) => {
    const all = merged(stored, chat);
    store.put(all);
    return all;
  }));
  channel.postMessage(chat.id);
  return whole;
}

/** Forget a chat for good. */
export async function removeChat(id) {
  await transact("readwrite", (store) => { store.delete(id); });
  channel.postMessage(id);
}

/** Call with the id of a chat that another tab has changed. */
export function watchOthers(onChange) {
  channel.onmessage = ({ data }) => onChange(data);
}

async function adoptList() {
  const list = JSON.parse(localStorage.getItem(LIST_KEY) ?? "[]");
  if (!list.length) return;
  await transact("readwrite", (store) => {
    for (const chat of list.reverse()) if (chat.messages.length) store.put(fromList(chat));
  });
  localStorage.removeItem(LIST_KEY);
}
