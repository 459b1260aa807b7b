// The page `generator`: every control redraws; an answer that is no longer wanted is dropped. The address keeps the choice.

import { at, latest, remember, say, tooLarge } from "./common.js";

const cell = (prefix) => [...document.querySelectorAll(`[data-cell="${prefix}"]`)].map((each) => each.value).join(",");

/** A row of buttons with images, of which one is pressed; arrow keys move between them. */
function fill(container, uris, pressed, name, choose) {
  while (container.children.length > uris.length) container.lastChild.remove();
  uris.forEach((uri, i) => {
    if (!container.children[i]) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(document.createElement("img"));
      button.firstChild.className = "pixelated";
      button.addEventListener("click", () => choose(i));
      container.append(button);
    }
    container.children[i].firstChild.src = uri;
    container.children[i].firstChild.alt = `${name} ${i}`;
  });
  press(container, pressed);
}

function press(container, pressed) {
  [...container.children].forEach((button, i) => {
    button.setAttribute("aria-pressed", i === pressed);
    button.tabIndex = i === pressed ? 0 : -1;
  });
}

document.addEventListener("keydown", (event) => {
  const button = event.target.closest(".sheet button");
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 0, ArrowUp: 0 }[event.key];
  if (!button || step === undefined) return;
  const row = getComputedStyle(button.parentElement).gridTemplateColumns.split(" ").length;
  const move = step || (event.key === "ArrowDown" ? row : -row);
  const others = [...button.parentElement.children], next = others[others.indexOf(button) + move];
  event.preventDefault();
  next?.focus();
  next?.click();
});

if (at("draw")) drawing();
if (at("turn")) turning();

function drawing() {
  let images = [], frames = [], chosen = 0;
  const seed = () => Math.max(0, Math.floor(Number(at("seed").value) || 0));

  function restore() {
    const stored = new URLSearchParams(location.search);
    for (const id of ["seed", "truncation", "to-seed", "layers"]) if (stored.has(id) && at(id)) at(id).value = stored.get(id);
    for (const prefix of ["cell", "to"]) {
      (stored.get(prefix) ?? "").split(",").forEach((code, i) => code && at(`${prefix}${i}`) && (at(`${prefix}${i}`).value = code));
    }
    chosen = Number(stored.get("image")) || 0;
  }

  function store() {
    const values = { cell: cell("cell"), seed: seed(), image: chosen };
    for (const id of ["truncation", "to-seed", "layers"]) if (at(id)) values[id] = at(id).value;
    if (at("to0")) values.to = cell("to");
    remember(values);
  }

  function enlarge(i) {
    chosen = Math.min(i, images.length - 1);
    at("large").src = images[chosen];
    at("named").textContent = `seed ${seed()}, image ${chosen}`;
    press(at("sheet"), chosen);
    store();
    const detail = { cell: cell("cell"), seed: seed(), index: chosen, truncation: at("truncation")?.value ?? 1, uri: images[chosen] };
    document.dispatchEvent(new CustomEvent("selected", { detail }));
  }

  function draw() {
    const values = new URLSearchParams({ cell: cell("cell"), seed: seed() });
    if (at("truncation")) {
      values.set("truncation", at("truncation").value);
      at("truncation-value").textContent = at("truncation").value;
    }
    return latest("draw", `/api/draw?${values}`, (answer) => {
      images = answer.images;
      fill(at("sheet"), images, chosen, "image", (i) => (enlarge(i), walk()));
      at("sheet").hidden = images.length < 2;
      enlarge(chosen);
    });
  }

  function show(i) {
    at("position").value = i;
    at("position-value").textContent = `${i + 1} of ${frames.length}`;
    at("frame").src = frames[i];
    press(at("frames"), i);
  }

  function walk() {
    if (!at("walk")) return;
    store();
    const values = { cell: cell("cell"), seed: seed(), index: chosen, to_cell: cell("to"), to_seed: at("to-seed").value || 0, to_index: chosen };
    return latest("walk", `/api/walk?${new URLSearchParams(values)}`, (answer) => {
      frames = answer.images;
      fill(at("frames"), frames, Number(at("position").value), "frame", show);
      show(Number(at("position").value));
    });
  }

  function mix() {
    if (!at("mixing")) return;
    store();
    const values = { cell: cell("cell"), to_cell: cell("to"), seed: seed(), layers: at("layers").value };
    return latest("mix", `/api/mix?${new URLSearchParams(values)}`, (answer) => {
      const picture = (uri, alt, edge) => Object.assign(document.createElement("img"), { src: uri, alt, className: `pixelated${edge ? " edge" : ""}` });
      const tiles = [document.createElement("span"), ...answer.columns.map((uri, c) => picture(uri, `column ${c}`, true))];
      answer.table.forEach((row, r) => {
        tiles.push(picture(answer.rows[r], `row ${r}`, true), ...row.map((uri, c) => picture(uri, `row ${r} with ${at("layers").value} layers of column ${c}`)));
      });
      at("mixing").replaceChildren(...tiles);
    });
  }

  const all = async () => {
    await draw();
    await walk();
    await mix();
  };
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  at("truncation")?.addEventListener("input", draw);
  at("seed").addEventListener("change", all);
  at("other").addEventListener("click", () => {
    at("seed").value = seed() + 1;
    all();
  });
  for (const each of document.querySelectorAll('[data-cell="cell"]')) each.addEventListener("change", all);
  for (const each of document.querySelectorAll('[data-cell="to"]')) each.addEventListener("change", () => walk()?.then(mix));
  at("to-seed")?.addEventListener("change", walk);
  at("layers")?.addEventListener("change", mix);
  at("position")?.addEventListener("input", () => frames.length && show(Number(at("position").value)));
  restore();
  all();
}

function turning() {
  function translate() {
    const file = at("upload").files[0];
    const pressed = document.querySelector("#sources [aria-pressed=true]");
    const values = new URLSearchParams({ cell: cell("change") });
    if (file && tooLarge(file)) return say(tooLarge(file), 12);
    if (file) values.set("name", file.name);
    else if (pressed) values.set("source", pressed.dataset.position);
    else return say("Choose a file to change.");
    if (cell("change").split(",").every((code) => code === "-1")) return say("Choose what to change.");
    return latest("turn", `/api/translate?${values}`, (answer) => {
      ["source", "changed"].forEach((id, i) => Object.assign(at(id), { src: answer.images[i], hidden: false }));
      at("read-as").textContent = answer.notes.length ? `${file.name}: ${answer.notes.join("; ")}.` : "";
    }, { method: "POST", body: file ?? "" });
  }

  at("changes").addEventListener("submit", (event) => event.preventDefault());
  at("changes").addEventListener("change", (event) => {
    if (event.target === at("upload") && at("sources")) press(at("sources"), -1);
    translate();
  });
  at("sources")?.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    at("upload").value = "";
    press(at("sources"), [...at("sources").children].indexOf(button));
    translate();
  });
  const first = document.querySelector('[data-cell="change"]:last-of-type') && [...document.querySelectorAll('[data-cell="change"]')].at(-1);
  if (first && at("sources")) {
    first.selectedIndex = 1;
    translate();
  }
}
