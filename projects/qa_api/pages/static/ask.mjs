// Asks, shows the answer in its document, and lets somebody choose where several things are meant.
const given = JSON.parse(document.getElementById("given").textContent);
const by = (id) => document.getElementById(id);
const say = (name, values = {}) =>
  Object.entries(values).reduce((text, [key, value]) => text.replace(`{${key}}`, value), given.texts[`app.${name}`]);
let last = "";

async function send(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { Authorization: `Bearer ${by("key").value.trim()}`, ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch {
    throw new Error(say("unreachable"));
  }
  const told = await answer.json();
  if (!answer.ok) throw new Error(answer.status === 401 ? say("unknown") : say("failed", { detail: told.detail || told.title }));
  return told;
}

async function ask(body) {
  by("said").textContent = say("asking");
  by("answer").hidden = true;
  try {
    await show(await send("POST", "/v1/ask", body));
    by("said").textContent = "";
  } catch (error) {
    by("said").textContent = error.message;
  }
}

async function show(answer) {
  last = answer.id;
  by("text").textContent = answer.kind === "answer" ? answer.text : say(answer.kind);
  const near = answer.suggestions.length ? say("suggest", { names: answer.suggestions.join(", ") }) : "";
  by("chance").textContent = answer.kind === "answer" ? say("chance", { share: Math.round(100 * answer.chance) }) : near;
  by("options").replaceChildren(...answer.options.map((option) => choice(answer, option)));
  by("source").hidden = true;
  if (answer.source) await highlight(answer.source);
  by("judge").hidden = answer.kind === "clarify";
  by("answer").hidden = false;
}

function choice(answer, option) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = `${option.title}: ${option.answer}`;
  button.addEventListener("click", () => ask({ question: "", token: answer.token, document: option.document }));
  item.append(button);
  return item;
}

async function highlight(source) {
  const kept = await send("GET", `/v1/documents/${encodeURIComponent(source.document)}`);
  const letters = [...kept.text]; // offsets count characters, not the halves that some of them are made of
  const part = (from, to) => letters.slice(from, to).join("");
  const mark = document.createElement("mark");
  mark.textContent = part(source.start, source.stop);
  by("source-title").textContent = kept.title;
  by("source-text").replaceChildren(part(0, source.start), mark, part(source.stop));
  by("source").hidden = false;
}

by("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask({ question: by("question").value });
});
by("judge").addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  try {
    await send("POST", "/v1/feedback", { answer: last, right: Boolean(button.dataset.right) });
    by("said").textContent = say("thanks");
  } catch (error) {
    by("said").textContent = error.message;
  }
});
