/* Says a sentence to people who listen instead of look. */

export function announce(sentence) {
  const place = document.getElementById("announcer");
  if (place) place.textContent = sentence;
}
