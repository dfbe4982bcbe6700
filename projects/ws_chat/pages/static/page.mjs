// What the page does to the browser: heights, copies, notifications, the address.

export function grow(area) {
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight + 2, innerHeight * 0.4)}px`;
}

export function cleared(area) {
  area.value = "";
  grow(area);
}

export const remember = (id) => history.replaceState(null, "", id ? `#${id}` : location.pathname + location.search);

export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // without TLS a browser lends its clipboard to nobody
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  return undefined;
}

// A button on each block of code.
export function decorate(element, say, copy) {
  for (const block of element.querySelectorAll("pre")) {
    if (block.parentElement.classList.contains("block")) continue;
    const holder = document.createElement("div");
    const button = document.createElement("button");
    holder.className = "block";
    button.type = "button";
    button.textContent = say("copy");
    button.addEventListener("click", () => copy(block.textContent));
    block.tabIndex = 0; // it scrolls by itself, so that a keyboard must reach it
    block.replaceWith(holder);
    holder.append(block, button);
  }
  for (const table of element.querySelectorAll("table")) {
    if (table.parentElement.classList.contains("wide")) continue;
    const holder = document.createElement("div");
    holder.className = "wide";
    holder.tabIndex = 0;
    table.replaceWith(holder);
    holder.append(table);
  }
}

let before = null;
export function notify(title, body) {
  before ??= document.title;
  document.title = `● ${before}`;
  if ("Notification" in window && Notification.permission === "granted") new Notification(title, { body, tag: "answer" });
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && before !== null) document.title = before;
});
