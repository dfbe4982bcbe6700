// Requests to /api; a change first begins a profile if there is none.
const given = JSON.parse(document.getElementById("given").textContent);
let csrf = given.csrf;

export function say(name, values = {}) {
  return Object.entries(values).reduce((text, [key, value]) => text.replace(`{${key}}`, () => value), given.texts[`app.${name}`]);
}

export function tell(text) {
  document.getElementById("said").textContent = text;
}

async function send(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { ...(body ? { "Content-Type": "application/json" } : {}), ...headers },
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch {
    throw new Error(say("unreachable"));
  }
  const told = await answer.json();
  if (!answer.ok) {
    const reason = told.reasons?.[0];
    throw new Error(say("failed", { detail: reason ? `${reason.where}: ${reason.what}` : told.detail || told.title }));
  }
  return told;
}

export const get = (path) => send("GET", path);
export const post = (path, body) => send("POST", path, body);
export const administer = (method, path, body, key) => send(method, path, body, { Authorization: `Bearer ${key}` });

export async function change(method, path, body) {
  if (!csrf) csrf = (await send("POST", "/api/session")).csrf;
  return send(method, path, body, { "X-CSRF-Token": csrf });
}
