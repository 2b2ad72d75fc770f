/* The list pane and the detail pane: which row is the selected one, and which pane a phone shows. */

const shell = () => document.querySelector(".shell.has-list");
const onPhone = matchMedia("(max-width: 760px)");

export const rows = () => [...document.querySelectorAll(".rows .row")];
export const selected = () => document.querySelector('.rows .row[aria-current="true"]');

function select(row) {
  rows().forEach((other) => other.setAttribute("aria-current", String(other === row)));
}

function show(pane) {
  const frame = shell();
  if (!frame || frame.dataset.showing === pane) return;
  frame.dataset.showing = pane;
  if (onPhone.matches) scrollTo(0, 0);
}

document.addEventListener("click", (event) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  const row = event.target.closest(".rows .row");
  if (row) select(row);
  const back = event.target.closest('[data-shows="list"]');
  if (back && shell() && onPhone.matches) {
    event.preventDefault();
    history.pushState({ htmx: true }, "", back.href);
    show("list");
    selected()?.focus({ preventScroll: true });
  }
});

document.addEventListener("htmx:after:swap", (event) => {
  const { ctx } = event.detail ?? {};
  if (ctx?.sourceElement?.matches?.(".rows .row")) {
    show("detail");
    document.querySelector(".pane.detail")?.scrollTo(0, 0);
  }
});
