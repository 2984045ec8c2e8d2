// Text of the model to HTML: Markdown with LaTeX. Raw HTML in it stays text, images are left out
// (they would ask another server), so what comes out can be put into the page as it is.
import MarkdownIt from "./vendor/markdown-it.min.mjs";

const markdown = new MarkdownIt({ html: false, linkify: false, typographer: false });
markdown.disable("image");

const DELIMITERS = [
  { open: "$$", close: "$$", display: true },
  { open: "\\[", close: "\\]", display: true },
  { open: "\\(", close: "\\)", display: false },
  { open: "$", close: "$", display: false },
];

// "$5 and $6" is money: a single dollar opens before and closes after something that is no space,
// and no digit follows the closing one.
function isMoney(body, after) {
  return /^\s|\s$/.test(body) || /\d/.test(after);
}

function inlineMath(state, silent) {
  const found = DELIMITERS.find(({ open }) => state.src.startsWith(open, state.pos));
  if (!found) return false;
  const start = state.pos + found.open.length;
  let end = state.src.indexOf(found.close, start);
  while (end > 0 && found.close[0] === "$" && state.src[end - 1] === "\\")
    end = state.src.indexOf(found.close, end + 1);
  if (end < 0 || end === start) return false;
  const body = state.src.slice(start, end);
  const next = end + found.close.length;
  if (found.open === "$" && isMoney(body, state.src.slice(next, next + 1))) return false;
  if (!silent) {
    const token = state.push("math", "", 0);
    token.content = body;
    token.meta = { display: found.display };
  }
  state.pos = next;
  return true;
}

// A display formula may hold blank lines and "=" lines, which Markdown would read as its own.
function blockMath(state, startLine, endLine, silent) {
  const first = state.src.slice(
    state.bMarks[startLine] + state.tShift[startLine], state.eMarks[startLine]);
  const found = DELIMITERS.find(({ open, display }) => display && first.startsWith(open));
  if (!found) return false;
  const from = state.bMarks[startLine] + state.tShift[startLine] + found.open.length;
  const end = state.src.indexOf(found.close, from);
  if (end < 0 || end > state.eMarks[endLine - 1]) return false;
  let line = startLine;
  while (state.eMarks[line] < end + found.close.length) line += 1;
  if (state.src.slice(end + found.close.length, state.eMarks[line]).trim()) return false;
  if (silent) return true;
  const token = state.push("math", "", 0);
  token.block = true;
  token.content = state.src.slice(from, end);
  token.meta = { display: true };
  state.line = line + 1;
  return true;
}

markdown.inline.ruler.before("escape", "math", inlineMath);
markdown.block.ruler.before("paragraph", "math", blockMath, {
  alt: ["paragraph", "reference", "blockquote", "list"],
});
markdown.renderer.rules.math = (tokens, index) =>
  window.temml.renderToString(tokens[index].content, {
    displayMode: tokens[index].meta.display, throwOnError: false, annotate: false,
  });
markdown.renderer.rules.link_open = (tokens, index, options, env, self) => {
  tokens[index].attrSet("target", "_blank");
  tokens[index].attrSet("rel", "noopener noreferrer");
  return self.renderToken(tokens, index, options);
};

/** Fill an element with a text's HTML; code blocks get a button that copies them. `breaks` keeps
 *  the text's own lines, as thoughts on scratch paper want it. */
export function renderInto(element, text, { breaks = false } = {}) {
  markdown.set({ breaks });
  element.innerHTML = markdown.render(text);
  for (const block of element.querySelectorAll("pre")) {
    const button = document.createElement("button");
    button.textContent = "Copy";
    button.onclick = () => navigator.clipboard.writeText(block.querySelector("code").textContent);
    block.append(button);
  }
}
