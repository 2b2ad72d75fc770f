/* What just happened, at the bottom of the window.

   The server writes <timed-notice class="notice"> into #notices (with a form in it, if there is something to take back), or sends the event
   "notice" {text, tone} with an answer. A notice goes by itself after data-seconds (8), but not while the pointer or the focus is on it. */

import { announce } from "./announce.js";
import { icon } from "./copy-text.js";

class TimedNotice extends HTMLElement {
  connectedCallback() {
    if (!this.querySelector(".notice-close")) this.append(this.closeButton());
    announce(this.textContent.trim());
    this.wait();
    this.addEventListener("pointerenter", () => clearTimeout(this.timer));
    this.addEventListener("pointerleave", () => this.wait());
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
  }

  wait() {
    clearTimeout(this.timer);
    const seconds = Number(this.dataset.seconds ?? 8);
    if (seconds) this.timer = setTimeout(() => (this.contains(document.activeElement) ? this.wait() : this.remove()), seconds * 1000);
  }

  closeButton() {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "notice-close";
    button.setAttribute("aria-label", "Close");
    button.append(icon("x"));
    button.addEventListener("click", () => this.remove());
    return button;
  }
}

customElements.define("timed-notice", TimedNotice);

export function notice(text, tone = "quiet") {
  const element = document.createElement("timed-notice");
  element.className = "notice";
  element.dataset.tone = tone;
  const words = document.createElement("span");
  words.textContent = text;
  element.append(words);
  document.getElementById("notices")?.append(element);
}

document.addEventListener("notice", (event) => notice(event.detail.text ?? event.detail.value, event.detail.tone));

/* Only what a person started is reported: a refresh that fails shows in the live pill. */
const startedByPerson = (event) => ["click", "submit"].includes(event.detail?.ctx?.sourceEvent?.type);

document.addEventListener("htmx:error", (event) => {
  if (startedByPerson(event)) notice("No answer from the server. Look at the state here before you try again.", "hot");
});

document.addEventListener("htmx:response:error", (event) => {
  const status = event.detail?.ctx?.response?.status;
  if (startedByPerson(event) && status >= 500) notice(`The server could not do that (${status}). Look at the state here before you try again.`, "hot");
});
