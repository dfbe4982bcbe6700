// What is shown, as functions of the state: nothing here remembers anything, `act` says what a person did.
import { h } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";
import { busy } from "./talk.mjs";
import { asHtml, ofMessage } from "./markdown.mjs";
import { icon } from "./icons.mjs";

export const html = htm.bind(h);
const A_DAY = 86_400_000; // milliseconds

export const App = (state, act, say) => html`
  <div class=${`shell ${state.drawer ? "drawn" : ""}`}>
    ${Sidebar(state, act, say)}
    <button class="veil" aria-label=${say("close")} tabindex="-1" onClick=${() => act.drawer(false)}></button>
    <main id="content">
      ${Header(state, act, say)}
      ${state.open ? Messages(state, act, say) : Welcome(state, act, say)}
      ${Composer(state, act, say)}
    </main>
    ${state.dialog && Dialog(state, act, say)}
    <div class="toast" role="status" aria-live="polite">${state.notice && html`<span>${state.notice}</span>`}</div>
  </div>`;

// ---------------------------------------------------------------- the list

const Sidebar = (state, act, say) => html`
  <aside class="side" aria-label=${say("conversations")}>
    <div class="side-top">
      <a class="brand" href="/" onClick=${(event) => (event.preventDefault(), act.open(null))}>${icon("bubble")}<span>ws_chat</span></a>
      <button class="bare only-phone" aria-label=${say("close")} onClick=${() => act.drawer(false)}>${icon("close")}</button>
    </div>
    <button class="new" onClick=${() => act.open(null)}>${icon("plus")}${say("new")}</button>
    <label class="search">${icon("search")}<span class="unseen">${say("search")}</span>
      <input id="search" type="search" placeholder=${say("search")} value=${state.search} maxlength="200" onInput=${(event) => act.search(event.target.value)} />
    </label>
    <nav class="list" aria-label=${say("conversations")}>${List(state, act, say)}</nav>
    <div class="side-end">
      <button class="who" aria-haspopup="true" aria-expanded=${state.menu === "account"} onClick=${() => act.menu("account")}>
        <span class="face" aria-hidden="true">${state.me.name.slice(0, 1).toUpperCase()}</span><span class="grow">${state.me.name}</span>${icon("dots")}
      </button>
      ${state.menu === "account" && html`
        <div class="menu up" role="menu">
          <div class="themes" role="group" aria-label=${say("theme")}>${["system", "light", "dark"].map((name) => html`
            <button role="menuitemradio" aria-checked=${state.theme === name ? "true" : "false"} onClick=${() => act.theme(name)}>${say(`theme_${name}`)}</button>`)}</div>
          <a role="menuitem" href=${state.me.switch + location.hash} hreflang=${state.me.language === "es" ? "en" : "es"}>${icon("globe")}${say("language")}</a>
          ${state.canNotify && Item("bell", say("notify"), act.notify)}
          ${state.me.admin && Item("invite", say("invite"), act.invite)}
          ${Item("key", say("change_password"), () => act.dialog({ kind: "change_password" }))}
          ${Item("out", say("logout"), act.logout)}
          ${Item("bin", say("delete_account"), () => act.dialog({ kind: "delete_account" }), "bad")}
        </div>`}
    </div>
  </aside>`;

const Item = (name, text, run, kind = "") => html`<button role="menuitem" class=${kind} onClick=${run}>${icon(name)}${text}</button>`;

function List(state, act, say) {
  const { conversations, search } = state;
  if (!conversations.length) return html`<p class="hint">${search ? say("not_found", { text: search }) : say("none")}</p>`;
  const groups = { today: [], week: [], older: [] };
  for (const each of conversations) {
    const age = state.now - Date.parse(each.changed);
    groups[age < A_DAY ? "today" : age < 7 * A_DAY ? "week" : "older"].push(each);
  }
  return Object.entries(groups).map(([name, all]) => all.length > 0 && html`
    <section key=${name}><h2>${say(name)}</h2><ul>${all.map((each) => Entry(each, state, act, say))}</ul></section>`);
}

const Entry = ({ id, title, found }, state, act, say) => html`
  <li key=${id}><a href=${`#${id}`} aria-current=${id === state.open ? "page" : null} onClick=${(event) => (event.preventDefault(), act.open(id))}>
    <span class="title">${title || say("untitled")}</span>${found && html`<span class="found">${found}</span>`}
  </a></li>`;

// ---------------------------------------------------------------- the conversation

const Header = (state, act, say) => html`
  <header class="top">
    <button class="bare only-phone" aria-label=${say("menu")} aria-expanded=${state.drawer} onClick=${() => act.drawer(true)}>${icon("list")}</button>
    <h1 class="grow">${state.open ? state.title || say("untitled") : say("new")}</h1>
    <span class=${`line ${state.up ? "up" : "down"}`} role="status">${state.up ? "" : say("line_off")}</span>
    ${state.open && html`
      <div class="holder">
        <button class="bare" aria-label=${say("more")} title=${say("more")} aria-haspopup="true" aria-expanded=${state.menu === "talk"} onClick=${() => act.menu("talk")}>${icon("dots")}</button>
        ${state.menu === "talk" && html`
          <div class="menu down" role="menu">
            ${Item("pencil", say("rename"), () => act.dialog({ kind: "rename" }))}
            <a role="menuitem" href=${`/api/conversations/${state.open}/export?form=markdown`} download onClick=${() => act.menu(null)}>${icon("down")}${say("export_markdown")}</a>
            <a role="menuitem" href=${`/api/conversations/${state.open}/export?form=json`} download onClick=${() => act.menu(null)}>${icon("down")}${say("export_json")}</a>
            ${Item("bin", say("delete"), () => act.dialog({ kind: "delete" }), "bad")}
          </div>`}
      </div>`}
  </header>`;

const Welcome = (state, act, say) => html`
  <section class="welcome scroll"><div class="column">
    <p class="hello">${say("hello", { name: state.me.name })}</p>
    <p class="ask">${say("ask")}</p>
    <ul class="tries">${[1, 2, 3].map((number) => html`<li><button onClick=${() => act.send(say(`try_${number}`))}>${say(`try_${number}`)}</button></li>`)}</ul>
    <p class="hint">${say("english")}</p>
  </div></section>`;

function Messages(state, act, say) {
  const { talk } = state;
  const last = talk.messages.at(-1);
  const idle = !busy(talk);
  return html`
    <section class="scroll" id="scroll" onScroll=${act.scrolled} role="log" aria-live="off" aria-busy=${!idle} tabindex="0" aria-label=${state.title || say("untitled")}>
      <ol class="column talk">
        ${talk.messages.map((each) => Message(each, each === last && idle, state, act, say))}
        ${talk.pending.map((each) => Pending(each, act, say))}
        ${talk.writing && html`
          <li key=${talk.writing.answer} class="said assistant writing"><span class="unseen">${say("assistant")}</span>
            ${talk.writing.text ? html`<div class="text" ref=${act.decorate} dangerouslySetInnerHTML=${{ __html: asHtml(talk.writing.text) }}></div>` : Dots(say("writing"))}
          </li>`}
        ${!talk.writing && talk.place !== null && html`<li key="place" class="said assistant">${Dots(talk.place > 1 ? say("waiting", { place: talk.place }) : say("writing"), talk.place > 1)}</li>`}
        ${idle && last?.role === "user" && talk.loaded && html`
          <li key="none" class="note">${say("nothing_came")} <button class="link" onClick=${act.regenerate}>${say("regenerate")}</button></li>`}
        ${talk.typing && html`<li key="typing" class="note">${say("typing")}</li>`}
      </ol>
    </section>`;
}

const Dots = (text, shown = false) => html`<div class="dots"><i></i><i></i><i></i><span class=${shown ? "" : "unseen"}>${text}</span></div>`;

function Message(message, last, state, act, say) {
  const { id, role, text, reason } = message;
  if (state.editing === id) return Editor(message, act, say);
  const odd = reason && reason !== "end";
  return html`
    <li key=${id} class=${`said ${role}`}><span class="unseen">${say(role)}</span>
      ${role === "user" ? html`<div class="text plain">${text}</div>` : html`<div class="text" ref=${act.decorate} dangerouslySetInnerHTML=${{ __html: ofMessage(message) }}></div>`}
      ${odd && html`<p class="note">${say(`reason_${reason}`)}</p>`}
      <div class=${`deeds ${last ? "kept" : ""}`}>
        ${Deed("copy", say("copy"), () => act.copy(text))}
        ${role === "user" && Deed("pencil", say("edit"), () => act.edit(id))}
        ${role === "assistant" && last && Deed("again", say("regenerate"), act.regenerate)}
      </div>
    </li>`;
}

const Deed = (name, text, run) => html`<button class="deed" aria-label=${text} title=${text} onClick=${run}>${icon(name)}</button>`;

const Pending = ({ id, text, error }, act, say) => html`
  <li key=${id} class=${`said user ${error ? "refused" : "pending"}`}><div class="text plain">${text}</div>
    ${error && html`<p class="note bad" role="alert">${say(`error_${error}`)} <button class="link" onClick=${() => act.again(id)}>${say("retry")}</button></p>`}
  </li>`;

const Editor = ({ id, text }, act, say) => html`
  <li key=${id} class="said user editing">
    <form onSubmit=${(event) => (event.preventDefault(), act.save(id, event.target.text.value))}>
      <textarea name="text" aria-label=${say("edit")} maxlength="16000" ref=${act.grown} onInput=${(event) => act.grow(event.target)} onKeyDown=${(event) => event.key === "Escape" && (event.stopPropagation(), act.edit(null))}>${text}</textarea>
      <p class="hint">${say("edit_said")}</p>
      <div class="row"><button type="button" class="plain" onClick=${() => act.edit(null)}>${say("cancel")}</button><button type="submit">${say("send")}</button></div>
    </form>
  </li>`;

// ---------------------------------------------------------------- below

function Composer(state, act, say) {
  const writing = state.open && (state.talk.writing !== null || state.talk.place !== null);
  return html`
    <footer class="composer"><div class="column">
      ${state.away && html`<button class="to-end" onClick=${act.toEnd} aria-label=${say("bottom")} title=${say("bottom")}>${icon("end")}</button>`}
      <form class="box" onSubmit=${(event) => (event.preventDefault(), act.submit())}>
        <textarea id="write" rows="1" maxlength="16000" placeholder=${say("write")} aria-label=${say("write")} onInput=${(event) => act.typed(event.target)} onKeyDown=${act.key}></textarea>
        ${writing
          ? html`<button key="stop" type="button" class="round stop" aria-label=${say("stop")} title=${`${say("stop")} (Esc)`} onClick=${act.stop}>${icon("stop")}</button>`
          : html`<button key="send" type="submit" class="round" aria-label=${say("send")} title=${say("send")} disabled=${!state.draft}>${icon("send")}</button>`}
      </form>
      <p class="keys">${say("keys")}</p>
    </div></footer>`;
}

const DIALOGS = {
  rename: (state, act, say) => html`<h2>${say("rename")}</h2>
    <label>${say("title")}<input name="title" value=${state.title} maxlength="200" required autofocus /></label>`,
  delete: (state, act, say) => html`<h2>${say("delete")}</h2><p>${say("delete_said", { title: state.title || say("untitled") })}</p>`,
  change_password: (state, act, say) => html`<h2>${say("change_password")}</h2><p>${say("change_password_said")}</p>
    <label>${say("password_now")}<input name="password" type="password" autocomplete="current-password" maxlength="200" required autofocus /></label>
    <label>${say("password_new")}<input name="new" type="password" autocomplete="new-password" minlength="10" maxlength="200" required /></label>`,
  delete_account: (state, act, say) => html`<h2>${say("delete_account")}</h2><p>${say("delete_account_said")}</p>
    <label>${say("password")}<input name="password" type="password" autocomplete="current-password" required autofocus /></label>`,
  invitation: (state, act, say) => html`<h2>${say("invite")}</h2><p>${say("invite_said", { days: state.dialog.days })}</p>
    <p class="code"><code>${`${location.origin}/login#${state.dialog.code}`}</code></p>`,
};
const CONFIRMED = { rename: "save", change_password: "save", delete: "delete", delete_account: "delete_account", invitation: "copy" };

function Dialog(state, act, say) {
  const { kind, error } = state.dialog;
  const worse = kind.startsWith("delete") ? "danger" : "";
  return html`
    <dialog ref=${act.showDialog} onClose=${() => act.dialog(null)}>
      <form onSubmit=${(event) => (event.preventDefault(), act.confirm(kind, Object.fromEntries(new FormData(event.target))))}>
        ${DIALOGS[kind](state, act, say)}
        ${error && html`<p class="bad" role="alert">${error}</p>`}
        <div class="row"><button type="button" class="plain" onClick=${() => act.dialog(null)}>${say(kind === "invitation" ? "close" : "cancel")}</button><button type="submit" class=${worse}>${say(CONFIRMED[kind])}</button></div>
      </form>
    </dialog>`;
}
