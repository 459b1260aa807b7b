// The section `edit` of the page `generator`: sliders of directions, and the inversion of a photograph, which the page follows.

import { ask, at, latest, remember, say, tooLarge } from "./common.js";

const ALWAYS = 8; // sliders that are shown at once; the others are behind a summary
let selected = null; // what the page draws above, as the event `selected` tells
let photo = ""; // the key of the photograph; "" to edit the selected image
let inverted = false;
let listed = false; // whether the sliders are there

const sliders = () => [...document.querySelectorAll("#sliders input")];
const moves = () => Object.fromEntries(sliders().filter((each) => Number(each.value)).map((each) => [each.dataset.name, Number(each.value)]));
const signed = (value) => (Number(value) > 0 ? `+${value}` : `${value}`.replace("-", "−"));

function redraw() {
  if (!selected || (photo && !inverted)) return;
  const chosen = moves(), changed = Object.keys(chosen).length > 0;
  if (listed) remember({ edits: changed ? JSON.stringify(chosen) : "" }); // before, only the address knows them
  at("reset") && (at("reset").disabled = !changed);
  if (!changed && !photo) {
    for (const id of ["base", "edited"]) at(id).src = selected.uri;
    return;
  }
  const { cell, seed, index, truncation } = selected;
  const values = { ...(photo ? { photo } : { cell, seed, index }), truncation, edits: JSON.stringify(chosen) };
  latest("edit", `/api/edit?${new URLSearchParams(values)}`, (answer) => {
    ["base", "edited"].forEach((id, i) => (at(id).src = answer.images[i]));
  });
}

function slider({ name, label, far }, value) {
  const box = document.createElement("label"), output = document.createElement("output"), input = document.createElement("input");
  Object.assign(input, { type: "range", min: -far, max: far, step: 0.25, value });
  input.dataset.name = name;
  output.textContent = signed(input.value);
  input.addEventListener("input", () => ((output.textContent = signed(input.value)), redraw()));
  box.append(`${label} `, output, input);
  return box;
}

/** Why some directions could not be found, behind a summary; nothing where all were. */
function reasons(skipped) {
  const names = Object.keys(skipped);
  if (!names.length) return [];
  const box = document.createElement("details"), summary = document.createElement("summary"), list = document.createElement("ul");
  box.id = "skipped-directions";
  summary.textContent = names.length > 4 ? `${names.length} directions were not found` : `Not found: ${names.join(", ")}`;
  list.append(...names.map((name) => Object.assign(document.createElement("li"), { textContent: `${name}: ${skipped[name]}.` })));
  box.append(summary, list);
  return [box];
}

async function listDirections() {
  let answer;
  try {
    answer = await ask("/api/directions");
  } catch (error) {
    at("sliders-state").textContent = error.message;
    return;
  }
  let stored = {};
  try {
    stored = JSON.parse(new URLSearchParams(location.search).get("edits") ?? "{}");
  } catch {
    // An address that was edited by hand; the sliders start at 0.
  }
  const all = answer.directions.map((each) => slider(each, stored[each.name] ?? 0));
  const reset = Object.assign(document.createElement("button"), { type: "button", id: "reset", textContent: "All to 0", disabled: true });
  reset.addEventListener("click", () => {
    for (const each of sliders()) (each.value = 0), (each.previousElementSibling.textContent = "0");
    redraw();
  });
  const more = document.createElement("details"), summary = document.createElement("summary");
  summary.textContent = `${all.length - ALWAYS} more directions`;
  const rest = document.createElement("div");
  rest.className = "sliders";
  rest.append(...all.slice(ALWAYS));
  more.append(summary, rest);
  more.open = all.slice(ALWAYS).some((each) => Number(each.querySelector("input").value));
  listed = true;
  at("sliders").replaceChildren(...all.slice(0, ALWAYS), ...(all.length > ALWAYS ? [more] : []), reset, ...reasons(answer.skipped));
  redraw();
}

function show(state) {
  at("original-figure").hidden = !photo;
  at("edit-stage").classList.toggle("three-images", Boolean(photo));
  at("forget").hidden = !photo;
  at("base-name").textContent = photo ? "inversion" : "selected image";
  const working = state && (state.state === "searching" || state.state === "waiting");
  at("search").hidden = !working;
  at("quality").hidden = !state || working;
  at("edit-stage").classList.toggle("searching", Boolean(state) && state.state !== "done");
  if (!state) return;
  at("original").src = state.original;
  at("search-share").value = state.share;
  at("search-state").textContent = state.state === "waiting" ? "Another photograph is being searched for; yours is next." : `Searching for the image of the generator that is closest: ${Math.round(100 * state.share)} %.`;
  at("rating").textContent = state.rating ? state.sentence : `${state.name}: ${state.problem}.`;
  at("remedy").textContent = state.remedy ?? "";
  at("rating").dataset.rating = state.rating ?? "failed";
  const changed = state.notes.length ? ` ${state.name}: ${state.notes.join("; ")}.` : "";
  at("measure").textContent = `${state.measure ?? ""}${changed}`;
}

async function follow(key) {
  photo = key;
  inverted = false;
  remember({ photo });
  while (photo === key) {
    let state;
    try {
      state = await ask(`/api/photograph?photo=${encodeURIComponent(key)}`);
    } catch (error) {
      if (photo === key) forget();
      return say(error.message, 15);
    }
    if (photo !== key) return;
    show(state);
    if (state.state === "done") {
      inverted = true;
      return redraw();
    }
    if (state.state === "failed") return;
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
}

async function send() {
  const file = at("photo-file").files[0];
  if (!file) return;
  if (tooLarge(file)) return say(tooLarge(file), 12);
  const values = { name: file.name, space: at("space")?.value ?? "", cell: selected?.cell ?? "", replaces: photo };
  try {
    follow((await ask(`/api/photograph?${new URLSearchParams(values)}`, { method: "POST", body: file })).photo);
  } catch (error) {
    say(error.message, 15);
  }
}

function forget() {
  photo = "";
  inverted = false;
  at("photo-file").value = "";
  remember({ photo: "" });
  show(null);
  redraw();
}

document.addEventListener("selected", (event) => {
  const first = !selected;
  selected = event.detail;
  if (first) listDirections();
  redraw();
});
for (const id of ["photograph", "sliders"]) at(id).addEventListener("submit", (event) => event.preventDefault());
at("photo-file").addEventListener("change", send);
at("space")?.addEventListener("change", send);
at("forget").addEventListener("click", forget);
const stored = new URLSearchParams(location.search).get("photo");
if (stored) follow(stored);
