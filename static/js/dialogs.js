/* Dialogs for reasons and confirmations: the native element, opened by whatever carries data-opens.

   Without script the same control is a link, and the server sends the page back with the dialog open in the flow. */

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) {
    const dialog = document.getElementById(opener.dataset.opens);
    if (!dialog) return;
    event.preventDefault();
    if (dialog.open) dialog.close();
    dialog.showModal();
    return;
  }
  if (event.target.closest("[data-closes]")) {
    event.preventDefault();
    event.target.closest("dialog")?.close();
    return;
  }
  if (event.target.matches("dialog:modal") && outside(event)) event.target.close();
});

/* A click on the backdrop has the dialog as its target, and lies outside its box. */
function outside(event) {
  const box = event.target.getBoundingClientRect();
  return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
}
