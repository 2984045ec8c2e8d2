// A conversation as a file, and back from one.
import { savedTemplate } from "./api.js";
import { escapeHtml } from "./code.js";
import { download } from "./dom.js";
import { wholeText } from "./run.js";
import { isChat, newId, path } from "./tree.js";

function fileName(chat, suffix) {
  const name = chat.title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 40);
  return `${name || "conversation"}.${suffix}`;
}

/** The conversation as it is shown, as Markdown, thoughts folded. */
export function toMarkdown(chat) {
  const parts = path(chat).map((message) => {
    if (message.role === "user") return `## You\n\n${wholeText(message)}`;
    const thoughts = message.reasoning
      ? `<details><summary>Thinking</summary>\n\n${message.reasoning}\n\n</details>\n\n` : "";
    return `## Magistral\n\n${thoughts}${message.content}`;
  });
  return `# ${chat.title}\n\n${parts.join("\n\n")}\n`;
}

/** The conversation as a page of its own, drawn by the same code as this one. */
export async function toHtml(chat) {
  const parts = {
    TITLE: escapeHtml(chat.title),
    TEXT: escapeHtml(toMarkdown(chat)),
    MESSAGES: JSON.stringify({ messages: path(chat) }).replaceAll("<", "\\u003c"),
  };
  return (await savedTemplate()).replace(/%%(TITLE|TEXT|MESSAGES)%%/g, (_, name) => parts[name]);
}

/** Give the chat as a file; JSON has all its branches, the others what is shown. */
export async function exportChat(chat, kind) {
  if (kind === "markdown") download(fileName(chat, "md"), "text/markdown", toMarkdown(chat));
  if (kind === "html") download(fileName(chat, "html"), "text/html", await toHtml(chat));
  if (kind === "json") download(fileName(chat, "json"), "application/json", JSON.stringify(chat, null, 2));
}

/** The chat in an exported JSON file, as one more chat; throws with a sentence for the reader. */
export function fromJson(text) {
  let chat;
  try { chat = JSON.parse(text); } catch { chat = null; }
  if (!isChat(chat))
    throw new Error("This is no conversation that was exported from here as JSON.");
  return { ...chat, id: newId(), updated: Date.now(), deleted: null };
}
