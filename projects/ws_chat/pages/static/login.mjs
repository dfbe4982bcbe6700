// Log in, or make an account with an invitation. The code comes after the # of an address, which no server is sent.
import { said as inOurWords } from "./said.mjs";

const texts = JSON.parse(document.getElementById("given").textContent);
const say = (name, values = {}) => texts[`login.${name}`].replace(/\{(\w+)\}/g, (_, key) => values[key]);
const form = document.getElementById("enter");
const [said, code, least, other] = ["said", "code", "least", "other"].map((id) => document.getElementById(id));
const send = form.querySelector("[type=submit]");
let invited = false;

function choose(now) {
  invited = now;
  code.hidden = least.hidden = !invited;
  form.password.autocomplete = invited ? "new-password" : "current-password";
  send.textContent = say(invited ? "register" : "enter");
  other.textContent = say(invited ? "known" : "invited");
  said.hidden = true;
}

function complain(text) {
  said.textContent = text;
  said.hidden = false;
}

async function enter() {
  const { name, password, invitation } = form;
  if (invited && password.value.length < 10) return complain(say("least"));
  const body = { name: name.value.trim(), password: password.value };
  if (invited) body.invitation = invitation.value.trim();
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(invited ? "/api/register" : "/api/login", { method: "POST", headers, body: JSON.stringify(body) });
  if (answer.ok) return location.replace("/");
  if (answer.status === 429) return complain(say("often", { seconds: answer.headers.get("Retry-After") }));
  if (answer.status === 401) return complain(say("wrong"));
  const problem = await answer.json();
  const detail = problem.reasons?.[0] ? `${problem.reasons[0].where}: ${problem.reasons[0].what}` : problem.detail;
  const known = inOurWords(texts, detail);
  return complain(known === detail ? say("failed", { detail }) : known);
}

other.addEventListener("click", () => choose(!invited));
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  send.disabled = true;
  try {
    await enter();
  } catch {
    complain(say("unreachable"));
  } finally {
    send.disabled = false;
  }
});

const given = decodeURIComponent(location.hash.slice(1));
choose(given !== "");
if (given) {
  form.invitation.value = given;
  history.replaceState(null, "", "/login");
}
form.name.focus();
