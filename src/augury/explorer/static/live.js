// Pages that follow a run: the parts `live` and `curves` are loaded again, and the samples grow.

import { replaceParts } from "./common.js";

const at = (id) => document.getElementById(id);

function sample(index) {
  const names = [...document.querySelectorAll("#samples li")];
  if (!names.length) return;
  const slider = at("sample");
  at("timeline").hidden = false;
  slider.max = names.length - 1;
  slider.value = Math.min(index, names.length - 1);
  at("sample-step").textContent = Number(names[slider.value].dataset.step).toLocaleString("en");
  const address = `/samples/${names[slider.value].textContent}`;
  if (at("sheet").getAttribute("src") !== address) at("sheet").src = address;
}

async function follow() {
  const last = at("sample").value === at("sample").max;
  try {
    await replaceParts(location.href, ["live", "curves"]);
    sample(last ? Infinity : Number(at("sample").value));
  } catch {
    // The explorer was stopped; the page keeps what it shows and tries again.
  }
}

if (at("live")) {
  at("sample").addEventListener("input", () => sample(Number(at("sample").value)));
  sample(Infinity);
  let ticks = 0; // a run that does not work now may begin to
  setInterval(() => {
    ticks += 1;
    if (!document.hidden && (at("live").dataset.working === "true" || ticks % 5 === 0)) follow();
  }, 2000);
}
