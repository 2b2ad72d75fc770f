/* The server's time, as well as this page can know it. The PC's clock is never asked: it may be wrong, or be changed.

   The page carries the server's time of its making; every hello of the socket brings a fresher one; in between performance.now() counts. */

const arrived = performance.getEntriesByType("navigation")[0]?.responseStart ?? performance.now();
const written = Number(document.querySelector('meta[name="server-now"]')?.content);

let serverAtZero = (written || Date.now()) - arrived;

/** Milliseconds since 1970 by the server's clock. */
export const now = () => serverAtZero + performance.now();

export function heard(serverMilliseconds) {
  serverAtZero = serverMilliseconds - performance.now();
}
