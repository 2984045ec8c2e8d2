// What the reader has set, kept in this browser; the API key for as long as the tab is open.

const SETTINGS = "mlx-magistral.settings";
const KEY = "mlx-magistral.api-key";
const DEFAULTS = {
  system: "", temperature: null, budget: null, seed: null, theme: "auto", isPeeking: true,
  isSidebarOpen: true, model: null, toolsOff: [], consents: {},
};

function loaded() {
  try { return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(SETTINGS)) }; } catch { return { ...DEFAULTS }; }
}

export const settings = loaded();

/** Change some of them; throws where the browser keeps nothing, and then they hold until it closes. */
export function set(changes) {
  Object.assign(settings, changes);
  localStorage.setItem(SETTINGS, JSON.stringify(settings));
}

let key = "";
try { key = sessionStorage.getItem(KEY) ?? ""; } catch { /* asked for again after a reload */ }

export const apiKey = {
  get: () => key,
  set: (value) => {
    key = value;
    try { sessionStorage.setItem(KEY, value); } catch { /* holds until the page is left */ }
  },
};

export function applyTheme() {
  if (settings.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = settings.theme;
}
