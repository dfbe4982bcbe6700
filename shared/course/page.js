"use strict";
// Remembers the language; `?lang=en` in the address wins. Where nothing may be stored the switch works all the same.
const root = document.documentElement;
const key = "course-language";
const remembered = () => { try { return localStorage.getItem(key); } catch { return null; } };
const remember = (value) => { try { localStorage.setItem(key, value); } catch { /* a private window */ } };
const show = (value) => {
  document.getElementById(value).checked = true;
  root.lang = value;
  document.title = root.dataset[value];
  document.querySelectorAll("[role=region][aria-label]").forEach((each) => {
    each.dataset.names ??= each.getAttribute("aria-label");
    each.setAttribute("aria-label", each.dataset.names.split(" / ")[value === "es" ? 0 : 1]);
  });
};
const asked = new URLSearchParams(location.search).get("lang") ?? remembered();
show(asked === "en" ? "en" : "es");
document.querySelectorAll("input[name=lang]").forEach((each) => {
  each.addEventListener("change", () => { remember(each.id); show(each.id); });
});
