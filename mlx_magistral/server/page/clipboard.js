// Copying, also where the browser has no clipboard for pages: over plain http from another machine.

/** Whether the text is in the clipboard now. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

// The old way works on every address. The box must be in the open dialog, or it cannot be selected.
function copyBySelection(text) {
  const before = document.activeElement;
  const box = document.createElement("textarea");
  box.value = text;
  box.readOnly = true;
  box.className = "copy-box";
  (document.querySelector("dialog[open]") ?? document.body).append(box);
  box.select();
  let isCopied = false;
  try { isCopied = document.execCommand("copy"); } catch { /* said by the button */ }
  box.remove();
  before?.focus?.();
  return isCopied;
}

/** Copy, and say on the button how it went. */
export async function copyFrom(button, text) {
  const isCopied = await copyText(text);
  button.dataset.label ??= button.textContent;
  button.textContent = isCopied ? "Copied" : "Not copied";
  const status = document.getElementById("status");
  if (status) status.textContent = isCopied ? "Copied." : "The browser refused to copy.";
  clearTimeout(button.timer);
  button.timer = setTimeout(() => { button.textContent = button.dataset.label; }, 2000);
}
