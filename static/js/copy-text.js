/* <copy-text>sha256:…</copy-text>: a value with a button that copies it. */

import { announce } from "./announce.js";

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const sprite = document.querySelector('meta[name="icons"]').content;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}

class CopyText extends HTMLElement {
  connectedCallback() {
    if (this.querySelector("button")) return;
    const value = this.dataset.value ?? this.textContent.trim();
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `Copy ${this.dataset.label ?? value}`);
    button.append(icon("copy"));
    button.addEventListener("click", async (event) => {
      event.preventDefault();
      await navigator.clipboard.writeText(value);
      button.replaceChildren(icon("check"));
      announce("Copied");
      setTimeout(() => button.replaceChildren(icon("copy")), 1500);
    });
    this.append(button);
  }
}

customElements.define("copy-text", CopyText);
