/* The numbers beside a text that is written, and the way from a fault to its line.

   textarea[data-numbers]   the id of the <pre> with its line numbers; both scroll together
   a[data-line]             puts the cursor on that line of the text that the link names */

function number(field, numbers) {
  const wanted = field.value.split("\n").length;
  if (numbers.dataset.count === String(wanted)) return;
  numbers.dataset.count = String(wanted);
  numbers.textContent = Array.from({ length: wanted }, (_, index) => `${index + 1}\n`).join("");
}

function begin(field) {
  const numbers = document.getElementById(field.dataset.numbers);
  if (!numbers) return;
  const follow = () => (numbers.scrollTop = field.scrollTop);
  field.addEventListener("input", () => {
    number(field, numbers);
    follow();
  });
  field.addEventListener("scroll", follow, { passive: true });
  number(field, numbers);
}

function go(field, line) {
  const lines = field.value.split("\n");
  const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  field.focus();
  field.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
  const height = Number.parseFloat(getComputedStyle(field).lineHeight) || 20;
  field.scrollTop = Math.max(0, (line - 4) * height);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-line]");
  const field = link && document.getElementById(link.getAttribute("href").slice(1));
  if (!field) return;
  event.preventDefault();
  go(field, Number(link.dataset.line));
});

document.querySelectorAll("textarea[data-numbers]").forEach(begin);
