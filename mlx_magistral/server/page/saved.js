// A saved conversation: its messages stand in the file itself, as JSON. Where no script runs, what
// is read is the text that this replaces.
import { articleOf } from "./article.js";

const { messages } = JSON.parse(document.getElementById("messages").textContent);
document.querySelector("main").replaceChildren(...messages.map((message) => articleOf(message).element));
