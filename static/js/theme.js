/* Light or dark: the system's choice until a person makes one. It is kept in a cookie, so that the server writes it into the page and nothing
   flashes. */

const YEAR = 31536000;
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

const current = () => document.documentElement.dataset.theme ?? (systemIsDark.matches ? "dark" : "light");

export function toggleTheme() {
  const theme = current() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${theme}; path=/; max-age=${YEAR}; samesite=lax${secure}`;
}
