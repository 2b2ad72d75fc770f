/* Triage by keyboard. Single keys can be switched off (WCAG 2.1.4) in the list of shortcuts; Ctrl+K stays.

   j k        down and up the list             a r e u     whatever carries data-key of that letter
   /          find                             ?           all shortcuts
   d          dark or light                    g then …    follow the link with that data-go */

import { openPalette, run } from "./palette.js";
import { rows, selected } from "./panes.js";

const STORE = "holdfast-single-keys";
const WAIT_FOR_SECOND = 1200;
const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  "/": openPalette,
  "?": () => run("shortcuts"),
  d: () => run("theme"),
};

let waitingSince = -Infinity;

const switchedOff = () => localStorage.getItem(STORE) === "off";

function move(step) {
  const all = rows();
  if (!all.length) return;
  const position = all.indexOf(selected()) + step;
  const row = all[Math.min(all.length - 1, Math.max(0, position))];
  row.click();
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function press(letter) {
  const control = [...document.querySelectorAll(`[data-key="${CSS.escape(letter)}"]`)].find((element) => element.checkVisibility());
  control?.click();
  return Boolean(control);
}

function go(letter) {
  const link = document.querySelector(`[data-go="${CSS.escape(letter)}"]`);
  if (link) location.assign(link.href);
  return Boolean(link);
}

/* True if the key meant something. */
function obey(key) {
  if (performance.now() - waitingSince < WAIT_FOR_SECOND) {
    waitingSince = -Infinity;
    return go(key);
  }
  if (key === "g") {
    waitingSince = performance.now();
    return true;
  }
  if (KEYS[key]) {
    KEYS[key]();
    return true;
  }
  return /^[a-z]$/.test(key) && press(key);
}

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || switchedOff()) return;
  if (event.target.closest("input, textarea, select, dialog, [contenteditable]")) return;
  if (obey(event.key)) event.preventDefault();
});

const singleKeys = document.getElementById("single-keys");
if (singleKeys) {
  singleKeys.checked = !switchedOff();
  singleKeys.addEventListener("change", () => localStorage.setItem(STORE, singleKeys.checked ? "on" : "off"));
}
