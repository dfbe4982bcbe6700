// The look that somebody chose, before anything is drawn: a classic script, since modules wait for the whole page.
const theme = {
  chosen() {
    try {
      return localStorage.getItem("theme") ?? "system";
    } catch {
      return "system"; // a browser that keeps nothing
    }
  },
  choose(name) {
    try {
      localStorage.setItem("theme", name);
    } catch {
      // it holds until the page is left
    }
    this.show(name);
  },
  show(name) {
    if (name === "light" || name === "dark") document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
    for (const bar of document.querySelectorAll("meta[name=theme-color]")) {
      bar.dataset.of ??= bar.media.includes("dark") ? "dark" : "light"; // of the browser's own bar, on a phone
      bar.media = name === "system" ? `(prefers-color-scheme: ${bar.dataset.of})` : bar.dataset.of === name ? "all" : "not all";
    }
  },
};
theme.show(theme.chosen());
addEventListener("storage", ({ key }) => key === "theme" && theme.show(theme.chosen()));
