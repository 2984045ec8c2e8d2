// Text files that go with a question: chosen, dropped or pasted.
import { countTokens } from "./api.js";
import { $, h, icon } from "./dom.js";
import { count, fileSize } from "./figures.js";

// More than any context holds; a larger file would only hold up the page.
const MOST_BYTES = 2_000_000;

let files = []; // {name, text, tokens}
let tellProblem = () => {};

export function attachedFiles() { return files.map(({ name, text }) => ({ name, text })); }

export function clearFiles() { files = []; show(); }

function show() {
  $("files").hidden = !files.length;
  $("files").replaceChildren(...files.map((file) => h("li", {},
    h("span", { class: "file-name" }, file.name),
    h("small", {}, file.tokens === null ? fileSize(file.text.length) : `${count(file.tokens)} tokens`),
    h("button", {
      type: "button", class: "quiet", "aria-label": `Leave out ${file.name}`,
      onclick: () => { files = files.filter((other) => other !== file); show(); $("question").focus(); },
    }, icon("close")))));
}

async function readText(file) {
  if (file.size > MOST_BYTES)
    throw new Error(`${file.name} is too large: ${fileSize(file.size)}, and ${fileSize(MOST_BYTES)} is the most.`);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    if (text.includes("\0")) throw new TypeError();
    return text;
  } catch {
    throw new Error(`${file.name} is not a text file. This model reads text: attach .txt, .md, code, .csv and the like.`);
  }
}

export async function attach(chosen) {
  for (const each of chosen) {
    try {
      const file = { name: each.name, text: await readText(each), tokens: null };
      files.push(file);
      show();
      if (file.text.trim()) countTokens(file.text).then((tokens) => { file.tokens = tokens; show(); }, () => {});
    } catch (error) { tellProblem(error.message); }
  }
}

/** Listen to the button, to drops anywhere on the page and to files that are pasted. */
export function listenForFiles(onProblem) {
  tellProblem = onProblem;
  $("attach").onclick = () => $("file-input").click();
  $("file-input").onchange = async ({ target }) => { await attach([...target.files]); target.value = ""; };
  $("question").addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])];
    if (pasted.length) { event.preventDefault(); attach(pasted); }
  });
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (isOver) => document.body.classList.toggle("dropping", isOver);
  document.addEventListener("dragover", (event) => {
    if (hasFiles(event)) { event.preventDefault(); mark(true); }
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) mark(false); });
  document.addEventListener("drop", (event) => {
    mark(false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    attach([...event.dataTransfer.files]);
  });
}
