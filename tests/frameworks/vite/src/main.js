import "./style.css";
import { text } from "./text.js";

const show = (value) => (document.getElementById("text").textContent = value);
show(text);
// A change of text.js replaces the text in the page, without a reload.
import.meta.hot.accept("./text.js", (changed) => show(changed.text));
