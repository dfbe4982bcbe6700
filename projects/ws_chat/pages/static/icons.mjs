// Icons of 24 by 24, drawn with lines that have the colour of the text.
import { h } from "./vendor/preact.mjs";

const PATHS = {
  bubble: "M4 12a8 7 0 1 1 3.500 5.900L4 19l1.200-3.200A7 7 0 0 1 4 12z",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4",
  dots: "M5 12h.01M12 12h.01M19 12h.01",
  globe: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l1.500 2h-15zM10 20.500h4",
  invite: "M10 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM3.500 20a6.500 6.500 0 0 1 13 0M19 8v6M16 11h6",
  key: "M8 11a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM11 12l9-8M16 7.500l3 3",
  out: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  bin: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  list: "M4 7h16M4 12h16M4 17h10",
  pencil: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  down: "M12 4v11M7 11l5 5 5-5M5 20h14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  again: "M19 12a7 7 0 1 1-2-5l2 2M19 4v5h-5",
  end: "M12 5v13M6 12l6 6 6-6",
  send: "M12 19V6M6 12l6-6 6 6",
  stop: "M7 7h10v10H7z",
};

export const icon = (name) =>
  h("svg", { class: `icon icon-${name}`, viewBox: "0 0 24 24", width: 20, height: 20, "aria-hidden": "true", fill: name === "stop" ? "currentColor" : "none", stroke: "currentColor", "stroke-width": name === "dots" ? 2.6 : 1.7, "stroke-linecap": "round", "stroke-linejoin": "round" }, h("path", { d: PATHS[name] }));
