// Films as elements; every text is set as text.
import { change, say, tell } from "./api.mjs";

const SVG = "http://www.w3.org/2000/svg";

export function element(name, values = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(values)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function drawn(name, values, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

const cut = (title) => (title.length > 13 ? `${title.slice(0, 12)}…` : title);

export function poster(film) {
  const made = drawn("svg", { class: `poster hue-${film.id % 8}`, viewBox: "0 0 100 140", role: "img", "aria-label": film.title });
  made.append(
    drawn("rect", { width: 100, height: 140, rx: 4 }),
    drawn("circle", { cx: 20 + ((film.id * 7) % 60), cy: 20 + ((film.id * 3) % 40), r: 12 + (film.id % 14) }),
    drawn("text", { x: 8, y: 112 }, cut(film.title)),
    drawn("text", { class: "small", x: 8, y: 128 }, film.year || ""),
  );
  return made;
}

const SAYS = [
  ["like", "♥", (id) => ["PUT", `/api/ratings/${id}`, { stars: 5 }]],
  ["dislike", "✕", (id) => ["PUT", `/api/ratings/${id}`, { stars: 1 }]],
  ["seen", "✓", (id) => ["PUT", `/api/seen/${id}`]],
];

export function opinion(film, changed) {
  return SAYS.map(([name, sign, request]) =>
    element("button", {
      type: "button", class: "plain", "data-says": name, "aria-label": `${say(name)}: ${film.title}`, title: say(name),
      onclick: async () => {
        try {
          await change(...request(film.id));
          tell(say("noted", { title: film.title }));
          await changed(film);
        } catch (error) {
          tell(error.message);
        }
      },
    }, sign));
}

const kinds = (genres) => genres.map((genre) => say(`genre_${genre}`) ?? genre).join(", ");

function reason(why) {
  if (!why || why.because === null) return [];
  const said = [say("because", { title: why.title })];
  if (why.genres.length) said.push(say("both_genres", { what: kinds(why.genres) }));
  if (why.people.length) said.push(say("both_people", { what: why.people.join(", ") }));
  const made = element("p", { class: "why" }, `${said.join("; ")}.`);
  return why.sentence ? [made, element("p", { class: "why" }, element("q", { lang: "en" }, why.sentence))] : [made];
}

export function card(film, changed, why) {
  const link = element("a", { href: `/film/${film.id}` }, poster(film), element("span", { class: "name" }, film.title));
  const facts = element("span", { class: "fine" }, [film.year || "", kinds(film.genres)].filter(Boolean).join(" · "));
  return element("li", { class: "card film", "data-film": film.id }, link, facts, ...reason(why),
    element("p", { class: "opinion" }, ...opinion(film, changed)));
}
