// The page: ask, show, explain, correct, send files. Every text is put into the page as text, never as markup.

const given = JSON.parse(document.getElementById("given").textContent);
const at = (id) => document.getElementById(id);
const say = (name, values = {}) =>
  given.texts[`news.${name}`].replace(/\{(\w+)\}/g, (_, key) => String(values[key]));

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error(say("unreachable"));
  }
  const body = await answer.json();
  if (!answer.ok) {
    const reasons = (body.reasons ?? []).map((each) => `${each.where}: ${each.what}`).join("; ");
    throw new Error(say("failed", { detail: reasons || body.detail || body.title }));
  }
  return body;
}

const post = (path, value) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

function made(tag, text, className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

async function busy(form, work, problem) {
  form.setAttribute("aria-busy", "true");
  at(problem).textContent = "";
  try {
    await work();
  } catch (error) {
    at(problem).textContent = error.message;
  } finally {
    form.removeAttribute("aria-busy");
  }
}

let asked = "";

function show(answer) {
  at("said").textContent = answer.topic;
  at("unsure").hidden = !answer.unsure;
  at("by").textContent = say("by", { version: answer.version });
  at("topics").replaceChildren(
    ...answer.topics.map(({ topic, probability }) => {
      const line = made("li", "");
      const bar = document.createElement("meter");
      bar.value = probability;
      bar.setAttribute("aria-label", topic);
      const share = probability.toLocaleString(given.language, { style: "percent", maximumFractionDigits: 0 });
      line.append(made("span", topic), bar, made("span", share, "share"));
      return line;
    }),
  );
  at("label").value = answer.topic;
  at("reasons").hidden = true;
  at("thanks").textContent = "";
  at("answer").hidden = false;
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  busy(at("ask"), async () => {
    asked = at("text").value;
    show(await post("/classify", { text: asked, top_k: 5 }));
  }, "problem");
});

at("example").addEventListener("click", () => {
  at("text").value = say("example");
  at("ask").requestSubmit();
});

function shade(score, largest) {
  const share = score / largest;
  if (Math.abs(share) < 0.12) return "";
  return `${share > 0 ? "plus" : "minus"}${Math.abs(share) > 0.45 ? 2 : 1}`;
}

at("why").addEventListener("click", () =>
  busy(at("answer"), async () => {
    const found = await post("/explain", { text: asked });
    const largest = Math.max(...found.words.map((each) => Math.abs(each.score)), 1e-9);
    at("words").replaceChildren(
      ...found.words.flatMap(({ word, score }) => {
        const one = made("span", word, shade(score, largest));
        one.title = score.toFixed(3);
        return [one, document.createTextNode(" ")];
      }),
    );
    const error = (100 * found.error).toFixed(1);
    at("sum").textContent = say("sum", { logit: (found.logit - found.baseline).toFixed(2), error });
    at("reasons").hidden = false;
  }, "problem"),
);

at("right").addEventListener("submit", (event) => {
  event.preventDefault();
  busy(at("right"), async () => {
    const kept = await post("/feedback", { text: asked, label: at("label").value });
    at("thanks").textContent = say("thanks", { waiting: kept.waiting });
    await versions();
  }, "problem");
});

at("upload").addEventListener("submit", (event) => {
  event.preventDefault();
  busy(at("upload"), async () => {
    const file = at("table").files[0];
    const column = encodeURIComponent(at("column").value);
    let state = await call(`/files?column=${column}`, {
      method: "POST",
      headers: { "Content-Type": "text/csv" },
      body: file,
    });
    at("sent").hidden = false;
    at("download").hidden = true;
    while (true) {
      at("progress").value = state.done / state.rows;
      at("progress-said").textContent = say("progress", state);
      if (state.finished) break;
      if (state.problem) throw new Error(say("failed", { detail: state.problem }));
      await new Promise((resolve) => setTimeout(resolve, 300));
      state = await call(`/files/${state.id}`);
    }
    at("download").href = `/files/${state.id}/result`;
    at("download").hidden = false;
  }, "file-problem");
});

// Reasons of decisions are stored in English; those that the project gives have a translation.
function reason(told) {
  const name = told.replace(/[ ,]/g, "_");
  return `news.${name}` in given.texts ? say(name) : told;
}

async function versions() {
  const known = await call("/versions");
  at("now").textContent = say("now", { version: known.current, waiting: known.feedback_waiting });
  at("decisions").replaceChildren(
    ...known.decisions.map((each) => {
      const line = document.createElement("tr");
      const when = new Date(each.made).toLocaleString(given.language);
      for (const text of [when, say(each.action), each.version, reason(each.reason)]) line.append(made("td", String(text)));
      return line;
    }),
  );
}

versions().catch((error) => {
  at("now").textContent = error.message;
});
