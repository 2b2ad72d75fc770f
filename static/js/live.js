/* Signal over the socket, HTML over HTTP. The socket says only what changed; each element that shows it fetches itself again, with the
   permissions of whoever looks.

   An element that wants to be fresh:   <div id="queue" data-live="hold run" hx-get="…" hx-trigger="nudge delay:80ms" hx-swap="innerMorph">
   Messages:                            {"type": "hello", "server_ms": …}   {"type": "changed", "verb": "hold.opened", "refs": ["hold:0190…"]}
   A token of data-live is a kind ("hold"), one thing ("hold:0190…"), or "*".

   A signal may get lost: after every reconnect and every minute all elements look again, and while the socket is down every five seconds. */

import { heard } from "./clock.js";

const EVERY_MINUTE = 60_000;
const WHILE_DOWN = 5_000;
const WORDS = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", polling: "Polling" };

let polling = null;
let state = "connecting";

const watchers = () => [...document.querySelectorAll("[data-live]")];

function nudge(elements) {
  elements.forEach((element) => element.dispatchEvent(new CustomEvent("nudge")));
}

function wants(element, refs) {
  const tokens = element.dataset.live.split(/\s+/);
  return tokens.includes("*") || refs.some((ref) => tokens.includes(ref) || tokens.includes(ref.split(":", 1)[0]));
}

function become(next) {
  if (state === next) return;
  state = next;
  const pill = document.getElementById("live-state");
  if (pill) {
    pill.dataset.state = next;
    pill.querySelector("[data-words]").textContent = WORDS[next];
  }
  document.dispatchEvent(new CustomEvent("live-state", { detail: { state: next } }));
}

function poll() {
  become("polling");
  nudge(watchers());
}

function wentDown() {
  if (polling !== null) return;
  become("reconnecting");
  polling = setInterval(poll, WHILE_DOWN);
}

function cameUp() {
  clearInterval(polling);
  polling = null;
  become("live");
  nudge(watchers());
}

function read(data) {
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    return;
  }
  if (message.type === "hello") heard(message.server_ms);
  if (message.type !== "changed") return;
  const refs = message.refs ?? [];
  nudge(watchers().filter((element) => wants(element, refs)));
  document.dispatchEvent(new CustomEvent("changed", { detail: { verb: message.verb, refs } }));
}

/* Someone signed out, elsewhere or by time: a fragment must not show the sign-in page inside the page. */
function signedOut(event) {
  const answer = event.detail?.ctx?.response?.raw;
  return answer?.redirected && new URL(answer.url).pathname.startsWith("/accounts/");
}

document.addEventListener("htmx:ws:after:connection", cameUp);
document.addEventListener("htmx:ws:close", (event) => {
  if (event.detail.reason !== "removed") wentDown();
});
document.addEventListener("htmx:ws:before:message:incoming", (event) => read(event.detail.message.data));
document.addEventListener("htmx:before:swap", (event) => {
  if (!signedOut(event)) return;
  event.preventDefault();
  location.reload();
});
setInterval(() => nudge(watchers()), EVERY_MINUTE);
