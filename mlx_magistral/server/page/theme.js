// Before anything is drawn: the colours that were chosen, so that a dark page does not begin white.
try {
  const { theme } = JSON.parse(localStorage.getItem("mlx-magistral.settings")) ?? {};
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* as the system has it */ }
