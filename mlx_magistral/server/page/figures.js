// Times, counts and speeds in words. `figures` of a reply: {seconds, tokens, rate, thinkSeconds,
// thinkTokens, promptTokens, contextTokens}; what is not known yet is left out.

export const count = (number) => Math.round(number).toLocaleString("en");

/** "9.4 s", "42 s", "1:23" */
export function time(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const rest = String(whole % 60).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}:${rest}`;
  const minutes = String(Math.floor(whole / 60) % 60).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${minutes}:${rest}`;
}

const tokens = (number) => `${count(number)} ${number === 1 ? "token" : "tokens"}`;

function rate(perSecond) {
  return `${perSecond < 10 ? perSecond.toFixed(1) : perSecond.toFixed(0)} tok/s`;
}

export function gigabytes(bytes) {
  if (bytes < 1e8) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${(bytes / 1e9).toFixed(bytes < 1e10 ? 2 : 1)} GB`;
}

export function fileSize(bytes) {
  return bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(bytes < 1e4 ? 1 : 0)} kB`;
}

/** "1:23 · 1,540 tokens · 20 tok/s" */
export function figuresLine(figures) {
  const parts = [time(figures.seconds ?? 0)];
  if (figures.tokens) parts.push(tokens(figures.tokens));
  if (figures.rate) parts.push(rate(figures.rate));
  return parts.join(" · ");
}

/** "0.4 s · 2,048 of 10,240 tokens read" */
export function readingLine(figures, reading) {
  const spent = time(figures.seconds ?? 0);
  if (!reading) return spent;
  return `${spent} · ${count(reading.processed)} of ${tokens(reading.total)} read`;
}

/** "1:02, 1,200 tokens" */
export function thinkingCost(figures) {
  const spent = time(figures.thinkSeconds ?? 0);
  return figures.thinkTokens ? `${spent}, ${tokens(figures.thinkTokens)}` : spent;
}
