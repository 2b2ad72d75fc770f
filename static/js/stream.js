/* Lists that follow what happens, without a storm of requests and without taking anything from under a hand.

   <div data-live="guard_call" data-every="1" hx-get="…" hx-trigger="stream" hx-swap="outerMorph">
       live.js nudges it; the event "stream" follows at most once in data-every seconds, never while the page is hidden or the list paused.
       What came meanwhile is fetched when the time is over, the page is looked at again, or the list goes on.
   <button data-pauses hidden><span data-words>Pause</span></button>
       holds every such list on the page still; without script it stays hidden, since nothing moves. */

import { announce } from "./announce.js";

const SELECTOR = "[data-live][data-every]";
const last = new Map();
const due = new Map();
let paused = false;

const button = () => document.querySelector("[data-pauses]");

function look(element) {
  due.delete(element.id);
  last.set(element.id, performance.now());
  element.dispatchEvent(new CustomEvent("stream"));
}

function wanted(id) {
  const element = document.getElementById(id);
  if (!element?.matches(SELECTOR)) {
    due.delete(id);
    return;
  }
  if (paused || document.hidden) {
    due.set(id, null);
    if (paused) say();
    return;
  }
  const wait = (last.get(id) ?? -Infinity) + Number(element.dataset.every) * 1000 - performance.now();
  if (wait <= 0) look(element);
  else due.set(id, setTimeout(() => wanted(id), wait));
}

/* A nudge does not bubble; it is heard on its way down. */
document.addEventListener(
  "nudge",
  (event) => {
    const { id } = event.target;
    if (event.target.matches?.(SELECTOR) && !due.get(id)) wanted(id);
  },
  true,
);

function goOn() {
  [...due].filter(([, timer]) => timer === null).forEach(([id]) => wanted(id));
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) goOn();
});

function say() {
  const control = button();
  if (!control) return;
  const words = paused ? (due.size ? "Go on: something new" : "Go on") : "Pause";
  const place = control.querySelector("[data-words]");
  if (place.textContent !== words) place.textContent = words;
  control.setAttribute("aria-pressed", String(paused));
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-pauses]")) return;
  paused = !paused;
  if (!paused) goOn();
  say();
  announce(paused ? "The list stands still." : "The list follows again.");
});

function show() {
  const control = button();
  if (control) control.hidden = false;
  say();
}

document.addEventListener("htmx:after:swap", show);
show();
