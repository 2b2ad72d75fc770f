/* <time-left data-until="1795341600" data-total="900" data-say="the hold on etl_reader">: how long is left, counted by the server's clock.

   data-until    seconds since 1970; data-total fills the ring around it; data-say is spoken at five minutes and at one
   data-urgency  is set here: calm, soon (under 3 minutes), now (under 1), due

   Without script the element shows the moment itself, which the server wrote inside. */

import { announce } from "./announce.js";
import { now } from "./clock.js";

const SOON = 180;
const NOW = 60;
const SPOKEN = [
  [300, "Five minutes left for"],
  [60, "One minute left for"],
];
const AROUND = 226; // the ring's circumference, 2π · 36

const shown = new Set();
const two = (number) => String(number).padStart(2, "0");

export function inWords(seconds) {
  if (seconds <= 0) return "due";
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h ${two(Math.floor((seconds % 3600) / 60))}m`;
  return `${Math.floor(seconds / 86400)}d ${two(Math.floor((seconds % 86400) / 3600))}h`;
}

export function urgencyOf(seconds) {
  if (seconds <= 0) return "due";
  if (seconds < NOW) return "now";
  return seconds < SOON ? "soon" : "calm";
}

class TimeLeft extends HTMLElement {
  static observedAttributes = ["data-until"];

  connectedCallback() {
    shown.add(this);
    this.before = Infinity;
    this.tick();
  }

  disconnectedCallback() {
    shown.delete(this);
  }

  attributeChangedCallback() {
    if (shown.has(this)) this.tick();
  }

  tick() {
    const left = Math.max(0, Math.ceil(Number(this.dataset.until) - now() / 1000));
    const words = inWords(left);
    const urgency = urgencyOf(left);
    if (this.textContent !== words) this.textContent = words;
    if (this.dataset.urgency !== urgency) this.dataset.urgency = urgency;
    this.toggleAttribute("data-long", words.length > 5);
    this.fillRing(left);
    this.speak(left);
    this.before = left;
  }

  fillRing(left) {
    const ring = this.closest(".ring")?.querySelector(".ring-left");
    if (!ring) return;
    const share = Math.min(1, left / Number(this.dataset.total || 900));
    ring.setAttribute("stroke-dashoffset", (AROUND * (1 - share)).toFixed(1));
  }

  /* only when a threshold is crossed while watching, not for whatever is overdue when the page opens */
  speak(left) {
    if (!this.dataset.say || this.before === Infinity) return;
    const crossed = SPOKEN.find(([threshold]) => left <= threshold && this.before > threshold);
    if (crossed) announce(`${crossed[1]} ${this.dataset.say}`);
  }
}

customElements.define("time-left", TimeLeft);
setInterval(() => shown.forEach((element) => element.tick()), 250);
