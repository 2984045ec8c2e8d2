// Text of the model to HTML: Markdown with LaTeX. Raw HTML in it stays text, images are left out
// (they would ask another server), so what comes out can be put into the page as it is.
import { codeBlock, escapeHtml } from "./code.js";

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
    token.meta = { display: found.display, source: state.src.slice(state.pos, next) };
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
  token.meta = { display: true, source: found.open + token.content + found.close };
  token.map = [startLine, line + 1];
  state.line = line + 1;
  return true;
}

// What is no LaTeX that Temml knows stays as it was written.
function formula(tokens, index) {
  const { display, source } = tokens[index].meta;
  let html;
  try {
    html = window.temml.renderToString(tokens[index].content, {
      displayMode: display, throwOnError: true, annotate: false,
    });
  } catch { return `<code>${escapeHtml(source)}</code>`; }
  return display ? `<span class="wide" tabindex="0">${html}</span>` : html;
}

/** A renderer; `breaks` keeps the text's own lines, as thoughts on scratch paper want it. */
function makeMarkdown(breaks) {
  const made = window.markdownit({ html: false, linkify: false, typographer: false, breaks });
  made.disable("image");
  made.inline.ruler.before("escape", "math", inlineMath);
  made.block.ruler.before("paragraph", "math", blockMath, {
    alt: ["paragraph", "reference", "blockquote", "list"],
  });
  const { rules } = made.renderer;
  rules.math = formula;
  rules.fence = (tokens, index) => codeBlock(tokens[index].content, tokens[index].info);
  rules.code_block = (tokens, index) => codeBlock(tokens[index].content, "");
  rules.table_open = () => '<div class="wide" tabindex="0"><table>';
  rules.table_close = () => "</table></div>";
  rules.link_open = (tokens, index, options, env, self) => {
    tokens[index].attrSet("target", "_blank");
    tokens[index].attrSet("rel", "noopener noreferrer");
    return self.renderToken(tokens, index, options);
  };
  return made;
}

const ANSWERS = makeMarkdown(false);
const THOUGHTS = makeMarkdown(true);

/** The top-level blocks of a text as HTML, made when asked for: [{source, html()}]. */
function blocks(markdown, text) {
  const env = {};
  const lines = text.split("\n");
  const found = [];
  let begun = [];
  for (const token of markdown.parse(text, env)) {
    begun.push(token);
    if (token.level !== 0 || token.nesting === 1) continue;
    const tokens = begun;
    begun = [];
    const [from, to] = tokens[0].map ?? [0, lines.length];
    found.push({
      source: lines.slice(from, to).join("\n"),
      html: () => markdown.renderer.render(tokens, markdown.options, env),
    });
  }
  return found;
}

/** A text that grows in an element: only blocks that have changed are made again, so what was
 *  selected stays selected and a long reply costs no more than its last paragraph. */
export class GrowingText {
  constructor(element, { breaks = false } = {}) {
    this.element = element;
    this.markdown = breaks ? THOUGHTS : ANSWERS;
    this.text = "";
    this.shown = []; // {source, nodes} of each block
  }

  update(text) {
    if (text === this.text) return;
    this.text = text;
    const wanted = blocks(this.markdown, text);
    let same = 0;
    while (same < wanted.length && this.shown[same]?.source === wanted[same].source) same += 1;
    for (const { nodes } of this.shown.splice(same)) for (const node of nodes) node.remove();
    for (const { source, html } of wanted.slice(same)) {
      const template = document.createElement("template");
      template.innerHTML = html();
      const nodes = [...template.content.childNodes];
      this.element.append(...nodes);
      this.shown.push({ source, nodes });
    }
  }
}

/** Fill an element with a whole text. */
export function renderInto(element, text, options = {}) {
  element.replaceChildren();
  new GrowingText(element, options).update(text);
}
