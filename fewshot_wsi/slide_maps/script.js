"use strict";
const map = document.getElementById("map");
const layers = [...map.querySelectorAll(".layer")];
const slider = document.getElementById("opacity");

slider.addEventListener("input", () => {
  map.style.setProperty("--opacity", slider.value / 100);
  document.getElementById("shown").textContent = `${slider.value} %`;
});
slider.dispatchEvent(new Event("input"));

for (const box of document.querySelectorAll("input[type=checkbox][data-class]")) {
  const show = () => { layers[box.dataset.class].hidden = !box.checked; };
  box.addEventListener("input", show);
  show();
}
