// Puts the page together.
import { render } from "solid-js/web";
import { App, follow } from "./app";
import "./style.css";

const root = document.getElementById("root");
if (root) render(() => <App />, root);
document.addEventListener("click", follow);
