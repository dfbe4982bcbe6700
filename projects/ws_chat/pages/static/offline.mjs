// Opens the chat again as soon as the server answers.
async function look() {
  try {
    if ((await fetch("/health", { cache: "no-store" })).ok) location.replace("/");
  } catch {
    setTimeout(look, 3000);
  }
}
addEventListener("online", look);
setTimeout(look, 3000);
