/* Ctrl+K: go somewhere, do something, find someone. Commands stand in the page; names come from the server while one types. */

import { announce } from "./announce.js";
import { toggleTheme } from "./theme.js";

const palette = document.getElementById("palette");
const field = palette?.querySelector("input");
const found = document.getElementById("palette-found");

const COMMANDS = {
  theme: toggleTheme,
  shortcuts: () => document.getElementById("shortcuts")?.showModal(),
  palette: openPalette,
};

export function openPalette() {
  if (!palette || palette.open) return;
  palette.showModal();
  field.value = "";
  found.replaceChildren();
  filter();
  field.focus();
}

export function run(command) {
  if (palette?.open) palette.close();
  COMMANDS[command]?.();
}

const options = () => [...palette.querySelectorAll('[role="option"]')].filter((option) => option.checkVisibility());

function filter() {
  const words = field.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  for (const option of palette.querySelectorAll('#palette-commands [role="option"]')) {
    const text = option.textContent.toLowerCase();
    const needed = option.dataset.presses && !document.querySelector(`[data-key="${option.dataset.presses}"]`);
    option.hidden = needed || !words.every((word) => text.includes(word));
  }
  for (const group of palette.querySelectorAll("#palette-commands [role=group]")) {
    group.hidden = !group.querySelector('[role="option"]:not([hidden])');
  }
  mark(0);
}

function mark(position) {
  const all = options();
  palette.querySelector(".palette-none").hidden = all.length > 0;
  palette.querySelectorAll('[aria-selected="true"]').forEach((option) => option.setAttribute("aria-selected", "false"));
  const option = all[(position + all.length) % all.length];
  if (!option) return field.removeAttribute("aria-activedescendant");
  option.id ||= `option-${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}`;
  option.setAttribute("aria-selected", "true");
  option.scrollIntoView({ block: "nearest" });
  field.setAttribute("aria-activedescendant", option.id);
}

function onKey(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    mark(options().findIndex((option) => option.getAttribute("aria-selected") === "true") + step);
  } else if (event.key === "Enter") {
    event.preventDefault();
    palette.querySelector('[aria-selected="true"]')?.click();
  }
}

function onChoice(event) {
  const option = event.target.closest('[role="option"]');
  if (!option) return;
  palette.close();
  if (option.dataset.presses) document.querySelector(`[data-key="${option.dataset.presses}"]`)?.click();
}

if (palette) {
  field.addEventListener("input", filter);
  field.addEventListener("keydown", onKey);
  palette.addEventListener("click", onChoice);
  field.addEventListener("htmx:after:swap", () => {
    mark(0);
    announce(`${options().length} results`);
  });
}

document.addEventListener("click", (event) => {
  const control = event.target.closest("[data-command]");
  if (!control) return;
  event.preventDefault();
  run(control.dataset.command);
});
