// Asks, shows the answer in its document, lets somebody choose where several things are meant, and keeps documents.
const given = JSON.parse(document.getElementById("given").textContent);
const by = (id) => document.getElementById(id);
const say = (name, values = {}) =>
  Object.entries(values).reduce((text, [key, value]) => text.replace(`{${key}}`, () => value), given.texts[`app.${name}`]);
const refusals = { 401: "unknown", 403: "scope", 507: "full" };
let last = "", turn = 0;

async function send(method, path, body) {
  const key = by("key").value.trim();
  if (!key) {
    by("key").focus();
    throw new Error(say("nokey"));
  }
  const headers = { Authorization: `Bearer ${key}`, ...(body ? { "Content-Type": "application/json" } : {}) };
  let answer, told;
  try {
    answer = await fetch(path, { method, headers, body: body ? JSON.stringify(body) : undefined });
    told = await answer.json();
  } catch (error) {
    throw new Error(error instanceof TypeError && !/ByteString|header/i.test(error.message) ? say("unreachable") : say("unknown"));
  }
  if (answer.ok) return { status: answer.status, told };
  if (answer.status === 503 || answer.status === 429) throw new Error(say("busy", { seconds: answer.headers.get("Retry-After") || "1" }));
  const error = new Error(refusals[answer.status] ? say(refusals[answer.status]) : say("failed", { detail: told.detail || told.title }));
  error.status = answer.status;
  throw error;
}

async function ask(body) {
  const own = ++turn; // of two questions at once the later one is shown
  by("said").textContent = say("asking");
  by("answer").hidden = true;
  try {
    const { told } = await send("POST", "/v1/ask", body);
    const source = told.source ? (await send("GET", `/v1/documents/${encodeURIComponent(told.source.document)}`)).told : null;
    if (own !== turn) return;
    show(told, source);
    by("said").textContent = "";
  } catch (error) {
    if (own === turn) by("said").textContent = error.message;
  }
}

function show(answer, document) {
  last = answer.id;
  by("text").textContent = answer.kind === "answer" ? answer.text : say(answer.kind);
  by("chance").textContent = answer.kind === "answer" ? say("chance", { share: Math.round(100 * answer.chance) })
    : answer.suggestions.length ? say("suggest") : "";
  by("options").replaceChildren(
    ...answer.options.map((option) => choice(option.title, option.answer, () => ask({ question: "", token: answer.token, document: option.document }))),
    ...answer.suggestions.map((name) => choice(name, "", () => {
      by("question").value = name;
      by("question").focus();
    })),
  );
  by("source").hidden = !answer.source;
  if (answer.source) highlight(answer.source, document);
  by("judge").hidden = answer.kind === "clarify";
  by("answer").hidden = false;
  by("answer").focus({ preventScroll: true });
}

function choice(name, more, chosen) {
  const item = document.createElement("li"), button = document.createElement("button");
  const strong = document.createElement("strong"), span = document.createElement("span");
  strong.textContent = name;
  span.textContent = more;
  button.type = "button";
  button.className = "plain";
  button.append(strong, span);
  button.addEventListener("click", chosen);
  item.append(button);
  return item;
}

function highlight(source, kept) {
  const letters = [...kept.text]; // offsets count characters, not the halves that some of them are made of
  const part = (from, to) => letters.slice(from, to).join("");
  const mark = document.createElement("mark");
  mark.textContent = part(source.start, source.stop);
  by("source-title").textContent = kept.title;
  by("source-text").lang = kept.language;
  by("source-text").replaceChildren(part(0, source.start), mark, part(source.stop));
}

async function told(where, work) {
  by(where).textContent = "";
  try {
    by(where).textContent = await work();
  } catch (error) {
    by(where).textContent = error.message;
  }
}

async function remove(id) {
  try {
    await send("DELETE", `/v1/documents/${encodeURIComponent(id)}`);
  } catch (error) {
    if (error.status === 404) return say("missing", { id });
    throw error;
  }
  document.querySelector(`#mine li[data-id="${CSS.escape(id)}"]`)?.remove();
  return say("removed", { id });
}

function listed(id, title) {
  document.querySelector(`#mine li[data-id="${CSS.escape(id)}"]`)?.remove();
  const item = document.createElement("li"), name = document.createElement("span"), button = document.createElement("button");
  item.dataset.id = id;
  name.textContent = title;
  button.type = "button";
  button.className = "plain";
  button.textContent = say("remove", { id });
  button.addEventListener("click", () => told("put", () => remove(id)));
  item.append(name, button);
  by("mine").prepend(item);
}

by("who").addEventListener("submit", (event) => {
  event.preventDefault();
  by("question").focus();
});
by("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask({ question: by("question").value });
});
by("own").addEventListener("submit", (event) => {
  event.preventDefault();
  told("put", async () => {
    const id = by("identity").value, title = by("name").value;
    await send("PUT", `/v1/documents/${encodeURIComponent(id)}`, { title, text: by("words").value, language: by("language").value });
    listed(id, title);
    return say("saved", { id });
  });
});
by("remove").addEventListener("submit", (event) => {
  event.preventDefault();
  told("put", () => remove(by("gone").value));
});
by("file").addEventListener("change", () => told("put", async () => {
  const [file] = by("file").files, most = by("words").maxLength;
  if (!file) return "";
  if (file.size > 4 * most) throw new Error(say("large", { most }));
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Error(say("encoding"));
  }
  if ([...text].length > most) throw new Error(say("large", { most }));
  by("words").value = text;
  const stem = file.name.replace(/\.[^.]*$/, "");
  by("name").value ||= stem;
  by("identity").value ||= stem.normalize("NFD").replace(/[^A-Za-z0-9_.:-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 100);
  return "";
}));
by("language").value = given.language;
by("judge").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) told("said", async () => {
    await send("POST", "/v1/feedback", { answer: last, right: Boolean(button.dataset.right) });
    return say("thanks");
  });
});
