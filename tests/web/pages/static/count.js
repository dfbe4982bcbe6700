const counted = document.querySelector("#counted");
document.querySelector("button").addEventListener("click", (event) => {
  event.preventDefault();
  counted.textContent = String(Number(counted.textContent) + 1);
});
