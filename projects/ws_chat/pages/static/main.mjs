// The page: one state, one function that shows it, and what a person or the server does to it.
import { render } from "./vendor/preact.mjs";
import { ask } from "./api.mjs";
import { Line } from "./line.mjs";
import { EMPTY, after, busy, refusedMessage } from "./talk.mjs";
import { App, html } from "./view.mjs";
import { cleared, copyText, decorate, grow, notify, remember } from "./page.mjs";
import { said } from "./said.mjs";

const given = JSON.parse(document.getElementById("given").textContent);
const say = (name, values = {}) => (given.texts[`chat.${name}`] ?? given.texts["chat.failed"]).replace(/\{(\w+)\}/g, (_, key) => values[key]);
const root = document.getElementById("app");
const field = () => document.getElementById("write");

let state = {
  me: given, theme: theme.chosen(), conversations: [], search: "", open: null, title: "", talk: EMPTY, up: true, drawer: false, menu: null, now: Date.now(),
  editing: null, dialog: null, notice: null, draft: false, away: false, canNotify: "Notification" in window && Notification.permission === "default",
};

// ---------------------------------------------------------------- showing: once a frame of the screen, however much changes

let planned = false;
function set(changes) {
  state = { ...state, ...changes };
  if (planned) return;
  planned = true;
  // A hidden tab draws no frames: what came meanwhile is shown all the same.
  (document.hidden ? (show) => setTimeout(show, 50) : requestAnimationFrame)(show);
}

function show() {
  planned = false;
  const scroll = document.getElementById("scroll");
  const atEnd = !scroll || scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  render(html`${App(state, act, say)}`, root);
  if (atEnd) act.toEnd();
}

let fading;
function tell(notice) {
  clearTimeout(fading);
  fading = setTimeout(() => set({ notice: null }), 4000);
  set({ notice });
}

const why = ({ status, message }) => (status === 429 ? say("error_too_fast") : status ? said(given.texts, message) : say("line_off"));

const trying = async (work) => {
  try {
    return await work();
  } catch (error) {
    tell(why(error));
    return undefined;
  }
};

// ---------------------------------------------------------------- the server

const line = new Line({ heard, changed, resume, out: () => location.replace("/login") });
let cut = false;

function changed(up) {
  if (up && cut) tell(say("line_back"));
  cut = !up;
  clearTimeout(changed.late);
  // A line that is back within a second was never worth a word.
  if (up) set({ up });
  else changed.late = setTimeout(() => set({ up: false }), 1000);
}

function resume() {
  refresh();
  if (!state.open) return;
  line.send({ type: "subscribe", conversation: state.open, after: state.talk.seq });
  for (const each of state.talk.pending) if (!each.error) sendMessage(each);
}

function heard(frame) {
  if (frame.type === "changed") return refresh(frame.conversation);
  if (frame.type === "error") return refused(frame);
  if (frame.conversation !== state.open) return undefined;
  const talk = after(state.talk, frame);
  if (talk === null) return line.send({ type: "subscribe", conversation: state.open, after: state.talk.seq });
  if (frame.type === "typing") forgetTyping();
  set({ talk });
  if (frame.type === "done") ended();
  if (frame.type === "message" && !state.title) refresh();
  return undefined;
}

function refused({ code, id }) {
  if (code === "unknown_conversation") return act.open(null);
  if (state.talk.pending.some((each) => each.id === id)) return set({ talk: refusedMessage(state.talk, id, code) });
  return code === "nothing" ? undefined : tell(say(`error_${code}`));
}

let typingTimer;
function forgetTyping() {
  clearTimeout(typingTimer);
  typingTimer = setTimeout(() => set({ talk: { ...state.talk, typing: false } }), 3000);
}

function ended() {
  refresh();
  if (document.hidden) notify(state.title || say("name"), say("ended"));
}

async function refresh() {
  const { search } = state;
  const query = search.trim() ? `?search=${encodeURIComponent(search.trim())}` : "";
  const found = await trying(() => ask("GET", `conversations${query}`));
  if (!found || search !== state.search) return;
  const open = found.conversations.find(({ id }) => id === state.open);
  if (state.open && !open && !query && state.talk.loaded) return act.open(null);
  set({ conversations: found.conversations, title: open ? open.title : state.title, now: Date.now() });
}

const identity = () => crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const sendMessage = ({ id, text }) => line.send({ type: "message", conversation: state.open, id, text });

// ---------------------------------------------------------------- what a person does

let searching;
let told = 0;
const act = {
  drawer: (drawer) => set({ drawer }),
  menu: (menu) => set({ menu: state.menu === menu ? null : menu }),
  dialog: (dialog) => set({ dialog, menu: null }),
  open(id) {
    if (state.open) line.send({ type: "unsubscribe", conversation: state.open });
    const title = state.conversations.find((each) => each.id === id)?.title ?? "";
    set({ open: id, title, talk: EMPTY, editing: null, drawer: false, menu: null, away: false });
    remember(id);
    if (id) line.send({ type: "subscribe", conversation: id, after: 0 });
    field()?.focus({ preventScroll: true });
  },
  search(search) {
    set({ search });
    clearTimeout(searching);
    searching = setTimeout(() => refresh(), 200);
  },
  async send(text) {
    if (!state.open) {
      const made = await trying(() => ask("POST", "conversations"));
      if (!made) return false;
      act.open(made.id);
    }
    const each = { id: identity(), text };
    set({ talk: { ...state.talk, pending: [...state.talk.pending, each] } });
    sendMessage(each);
    setTimeout(act.toEnd, 50);
    return true;
  },
  async submit() {
    const text = field().value.trim();
    if (!text || (state.open && busy(state.talk))) return;
    cleared(field());
    set({ draft: false });
    if (!(await act.send(text))) field().value = text;
  },
  again(id) {
    const each = state.talk.pending.find((pending) => pending.id === id);
    set({ talk: { ...state.talk, pending: state.talk.pending.map((pending) => (pending.id === id ? { id, text: each.text } : pending)) } });
    sendMessage(each);
  },
  stop: () => line.send({ type: "stop", conversation: state.open }),
  regenerate: () => line.send({ type: "regenerate", conversation: state.open, id: identity() }),
  edit: (editing) => set({ editing }),
  save(message, text) {
    if (text.trim() && line.send({ type: "edit", conversation: state.open, id: identity(), message, text: text.trim() })) set({ editing: null });
  },
  copy: (text) => copyText(text).then(() => tell(say("copied"))),
  typed(area) {
    grow(area);
    if (Boolean(area.value.trim()) !== state.draft) set({ draft: !state.draft });
    if (state.open && Date.now() - told > 1000) {
      told = Date.now();
      line.send({ type: "typing", conversation: state.open });
    }
  },
  key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      act.submit();
    }
    if (event.key === "ArrowUp" && !event.target.value && !busy(state.talk)) {
      const last = state.talk.messages.findLast(({ role }) => role === "user");
      if (last) act.edit(last.id);
    }
  },
  scrolled({ target }) {
    const away = target.scrollHeight - target.scrollTop - target.clientHeight > 200;
    if (away !== state.away) set({ away });
  },
  toEnd() {
    const scroll = document.getElementById("scroll");
    if (scroll) scroll.scrollTop = scroll.scrollHeight;
  },
  async notify() {
    await Notification.requestPermission();
    set({ canNotify: false, menu: null });
    if (Notification.permission === "granted") tell(say("notified"));
  },
  theme(name) {
    theme.choose(name);
    set({ theme: name });
  },
  async invite() {
    const made = await trying(() => ask("POST", "invitations", { admin: false }));
    if (made) act.dialog({ kind: "invitation", ...made });
  },
  async logout() {
    await trying(() => ask("POST", "logout"));
    location.replace("/login");
  },
  confirm: (kind, values) => CONFIRM[kind](values),
  decorate: (element) => element && decorate(element, say, act.copy),
  grow,
  grown: (area) => area && !area.dataset.grown && ((area.dataset.grown = "yes"), grow(area), area.focus()),
  showDialog: (dialog) => dialog && !dialog.open && dialog.showModal(),
};

const CONFIRM = {
  async rename({ title }) {
    await trying(() => ask("PATCH", `conversations/${state.open}`, { title }));
    act.dialog(null);
    refresh();
  },
  async delete() {
    await trying(() => ask("DELETE", `conversations/${state.open}`));
    act.dialog(null);
    act.open(null);
    refresh();
  },
  async delete_account({ password }) {
    try {
      await ask("POST", "account/delete", { password });
      location.replace("/login");
    } catch (error) {
      act.dialog({ kind: "delete_account", error: why(error) });
    }
  },
  async change_password(values) {
    try {
      await ask("POST", "account/password", values);
      act.dialog(null);
      tell(say("password_changed"));
    } catch (error) {
      act.dialog({ kind: "change_password", error: why(error) });
    }
  },
  invitation: () => act.copy(`${location.origin}/login#${state.dialog.code}`),
};

// ---------------------------------------------------------------- keys, and the beginning

addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "k") {
    event.preventDefault();
    set({ drawer: true });
    document.getElementById("search").focus();
  }
  if (event.key !== "Escape" || state.dialog) return;
  if (state.menu || state.drawer) set({ menu: null, drawer: false });
  else if (state.editing) act.edit(null);
  else if (state.open && busy(state.talk)) act.stop();
});
addEventListener("click", ({ target }) => state.menu && !target.closest(".menu, [aria-haspopup]") && set({ menu: null }));
addEventListener("hashchange", () => location.hash.slice(1) !== (state.open ?? "") && act.open(location.hash.slice(1) || null));

show();
act.open(/^#[\w-]{8,40}$/.test(location.hash) ? location.hash.slice(1) : null);
line.connect();
refresh();
navigator.serviceWorker?.register("/sw.js").catch(() => {}); // without it the page works, but says nothing when offline
