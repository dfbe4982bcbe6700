// The page of the monitor: asks for the chosen series once a second, and draws what has come.

// What the monitor says in words, in the page's language; what is not known stays as it came.
function explained(detail) {
  for (const [name, pattern] of Object.entries({
    said_steps: /^steps (\d+) to (\d+), largest at (\d+)$/,
    said_channel: /^channel (\d+): (\w+)$/,
    said_gone: /^channel (\d+) has gone$/,
    said_silence: /^(\d+) steps without a value$/,
    said_moved: /^what is normal has moved$/,
  })) {
    const found = pattern.exec(detail);
    if (!found) continue;
    const kind = given[`watch.head_${found[2]}`];
    return say(name, kind ? [found[0], found[1], kind] : found);
  }
  return detail;
}

const given = JSON.parse(document.getElementById("given").textContent);
const say = (name, values = {}) =>
  given[`watch.${name}`].replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
const byId = (id) => document.getElementById(id);
const SHOWN = 600;
const MIDDLE = 230; // of the drawing's 420: values above, surprise below
const state = { name: "", points: [], moving: false };

async function ask(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

async function refresh() {
  try {
    const all = await ask("/v1/series");
    byId("lost").hidden = true;
    byId("none").hidden = all.length > 0;
    byId("watch").hidden = all.length === 0;
    choose(all.map((each) => each.name));
    if (state.name) await show();
  } catch {
    byId("lost").hidden = false;
  }
  setTimeout(refresh, 1000);
}

function choose(names) {
  const select = byId("series");
  if ([...select.options].map((each) => each.value).join("\n") !== names.join("\n")) {
    select.replaceChildren(...names.map((name) => new Option(name, name, false, name === state.name)));
  }
  if (!names.includes(state.name)) state.name = names[0] ?? "";
}

async function show() {
  const name = state.name;
  const since = state.points.at(-1)?.step ?? -1;
  const found = await ask(`/v1/series/${encodeURIComponent(name)}?since=${since}&limit=${SHOWN}`);
  if (name !== state.name) return;
  const last = state.points.at(-1)?.step ?? -1; // two answers may be on their way at once
  state.points = [...state.points, ...found.shown.filter((each) => each.step > last)].slice(-SHOWN);
  tell(found);
  draw(found);
  list(found.told);
}

function tell(found) {
  const now = byId("now");
  now.className = found.open ? "bad" : found.warming ? "warn" : "good";
  const said = found.warming
    ? say("warming", { count: found.warming })
    : `${found.open ? say("going") : say("calm")} · ${say("points", { count: found.points })}`;
  if (now.textContent !== said) now.textContent = said;
  const slider = byId("slider");
  slider.disabled = byId("automatic").disabled = found.threshold === null;
  if (state.moving || found.threshold === null) return;
  slider.max = String(Math.max(30, Math.ceil(2 * found.threshold)));
  slider.value = String(found.threshold);
  byId("level").textContent = found.threshold.toFixed(1);
  byId("automatic").checked = found.automatic;
}

function draw(found) {
  const points = state.points;
  const across = (index) => (900 * (index + 0.5)) / Math.max(points.length, 1);
  const known = points.flatMap((each) => each.values).filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const up = (value) => 10 + (MIDDLE - 30) * (1 - (value - low) / (high - low || 1));
  const most = Math.max(1, 1.2 * (found.threshold ?? 0), ...points.map((each) => each.score ?? 0));
  const down = (score) => MIDDLE + 10 + (410 - MIDDLE - 10) * (1 - score / most);
  const parts = points.flatMap((each, index) =>
    each.alarm ? [part("rect", { class: "alarm", x: across(index) - 450 / points.length, y: 0, width: 900 / points.length, height: 420 })] : []);
  parts.push(part("line", { class: "half", x1: 0, x2: 900, y1: MIDDLE, y2: MIDDLE }));
  const channels = points[0]?.values.length ?? 0;
  for (let channel = channels - 1; channel >= 0; channel -= 1) {
    const kind = channel ? "values other" : "values";
    parts.push(part("path", { class: kind, d: line(points.map((each) => each.values[channel]), across, up) }));
  }
  parts.push(part("path", { class: "surprise", d: line(points.map((each) => each.score), across, down) }));
  if (found.threshold !== null) {
    parts.push(part("line", { class: "level", x1: 0, x2: 900, y1: down(found.threshold), y2: down(found.threshold) }));
  }
  byId("chart").replaceChildren(...parts);
}

function line(values, across, up) {
  let pen = "M";
  return values.map((value, index) => {
    if (value === null) { pen = "M"; return ""; }
    const step = `${pen}${across(index).toFixed(1)} ${up(value).toFixed(1)}`;
    pen = "L";
    return step;
  }).join("");
}

function part(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}

function list(told) {
  byId("quiet").hidden = told.length > 0;
  byId("events").hidden = told.length === 0;
  byId("events").tBodies[0].replaceChildren(...told.toReversed().map((each) => {
    const row = document.createElement("tr");
    const time = new Date(1000 * each.time).toLocaleString(document.documentElement.lang);
    const severity = each.severity ? say(`severity_${each.severity}`) : "";
    const cells = [time, say(`kind_${each.kind}`), each.score ? each.score.toFixed(1) : "", severity, explained(each.detail)];
    for (const text of cells) row.insertCell().textContent = text;
    return row;
  }));
}

async function move(threshold) {
  try {
    await ask(`/v1/series/${encodeURIComponent(state.name)}/threshold`, {
      method: "PUT",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ threshold }),
    });
  } catch {
    byId("lost").hidden = false;
  }
  state.moving = false;
}

byId("series").addEventListener("change", (event) => {
  Object.assign(state, { name: event.target.value, points: [] });
  show();
});
byId("slider").addEventListener("input", (event) => {
  state.moving = true;
  byId("automatic").checked = false;
  byId("level").textContent = Number(event.target.value).toFixed(1);
});
byId("slider").addEventListener("change", (event) => move(Number(event.target.value)));
byId("automatic").addEventListener("change", (event) =>
  move(event.target.checked ? null : Number(byId("slider").value)));
refresh();
