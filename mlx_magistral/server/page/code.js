// Blocks of code: their language, colours and a button that copies them.
import { copyFrom } from "./clipboard.js";

// Longer blocks stay plain: colouring them would hold up the page.
const MOST_COLOURED = 50_000;

export function escapeHtml(text) {
  return text.replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]);
}

function coloured(code, language) {
  const { hljs } = window;
  if (!hljs?.getLanguage(language) || code.length > MOST_COLOURED) return escapeHtml(code);
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}

/** The HTML of a block; `info` is what stands behind the fence: "python", or nothing. */
export function codeBlock(code, info) {
  const language = info.trim().split(/\s+/)[0].toLowerCase();
  const name = escapeHtml(language || "text");
  return `<div class="code"><div class="code-head"><span>${name}</span>`
    + `<button type="button" class="copy-code" aria-label="Copy this ${name} code">Copy</button></div>`
    + `<pre tabindex="0"><code>${coloured(code, language)}</code></pre></div>\n`;
}

// One listener for all blocks, those to come included.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".copy-code");
  if (button) copyFrom(button, button.closest(".code").querySelector("code").textContent);
});
