// What the pages do.
import { administer, change, get, post, say, tell } from "./api.mjs";
import { card, opinion } from "./view.mjs";

const by = (id) => document.getElementById(id);
const told = (error) => tell(error.message);
const SHOWN = 6;
let from = 0;

async function list() {
  const form = new FormData(by("parts"));
  const query = new URLSearchParams({
    k: 12, ratings: form.get("ratings"), text: form.get("text"), popular: form.get("popular"),
    diversity: 1 - Number(form.get("varied")), wish: form.get("wish"),
  });
  const found = await get(`/api/list?${query}`);
  by("kind").textContent = found.films.length ? say(found.personal ? "personal" : "popular") : say("nothing");
  by("list").replaceChildren(...found.films.map((each) => card(each.film, refresh, each.why)));
  by("list").setAttribute("aria-busy", "false");
}

async function questions() {
  const { films } = await get("/api/questions");
  by("asking").hidden = films.length === 0;
  const start = films.length ? from % films.length : 0;
  const shown = [...films.slice(start), ...films.slice(0, start)].slice(0, SHOWN);
  by("questions").replaceChildren(...shown.map((film) => card(film, refresh)));
}

async function refresh() {
  await Promise.all([list(), questions()]);
}

async function search(event) {
  event.preventDefault();
  const { films } = await post("/api/search", { text: new FormData(event.target).get("text"), k: 10 });
  by("found").hidden = false;
  by("found").replaceChildren(...films.map((film) => card(film, refresh)));
  tell(films.length ? "" : say("nothing"));
}

async function undo() {
  const { changed } = await change("POST", "/api/undo");
  tell(say(changed ? "undone" : "nothing_to_undo"));
  await refresh();
}

async function administered(event) {
  event.preventDefault();
  const form = new FormData(event.target);
  const id = form.get("id");
  const removing = event.submitter?.value === "remove";
  if (!/^[\x21-\x7e]+$/.test(form.get("key"))) throw new Error(say("bad_key"));
  if (removing && !id) throw new Error(say("no_number"));
  if (!removing && !form.get("title").trim()) throw new Error(say("no_title"));
  if (removing) {
    await administer("DELETE", `/api/films/${id}`, undefined, form.get("key"));
    tell(say("removed"));
    return;
  }
  const genres = form.get("genres").split(",").map((each) => each.trim()).filter(Boolean);
  const film = { title: form.get("title"), year: Number(form.get("year")), genres, text: form.get("text") };
  const saved = await administer(id ? "PUT" : "POST", id ? `/api/films/${id}` : "/api/films", film, form.get("key"));
  tell(say("saved", { id: saved.id }));
}

if (by("list")) {
  by("search").addEventListener("submit", (event) => search(event).catch(told));
  by("parts").addEventListener("change", () => list().catch(told));
  by("parts").addEventListener("submit", (event) => event.preventDefault());
  by("undo").addEventListener("click", () => undo().catch(told));
  by("more").addEventListener("click", () => { from += SHOWN; questions().catch(told); });
  refresh().catch(told);
}
if (by("opinion")) {
  const film = { id: Number(by("opinion").dataset.film), title: document.querySelector("h1").textContent.trim() };
  by("opinion").append(...opinion(film, () => undefined));
}
by("admin")?.addEventListener("submit", (event) => administered(event).catch(told));
by("delete")?.addEventListener("click", () => confirm(say("sure")) && change("DELETE", "/api/profile").then(() => location.reload()).catch(told));
for (const button of document.querySelectorAll("[data-forget]")) {
  button.addEventListener("click", () => change("DELETE", `/api/ratings/${button.dataset.forget}`).then(() => location.reload()).catch(told));
}
