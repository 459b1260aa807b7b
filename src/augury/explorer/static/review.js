// The page `review`: decisions by button or key. The explorer refuses a decision on what someone else has decided meanwhile.

import { ask, say } from "./common.js";

const cards = [...document.querySelectorAll(".review")];

function show(card) {
  const { seen, accepted, filters } = card.dataset;
  const by = seen ? "by hand" : filters ? `by ${filters.replaceAll("_", " ")}` : "";
  const text = filters === "not needed" && !seen ? "not needed" : `${accepted === "true" ? "accepted" : "rejected"} ${by}`;
  card.querySelector(".state").textContent = text.trim();
  for (const button of card.querySelectorAll("[data-decision]")) button.setAttribute("aria-pressed", button.dataset.decision === seen && seen !== "");
}

function count(counts) {
  for (const [name, number] of Object.entries(counts)) {
    const element = document.querySelector(`[data-count="${name}"]`);
    if (element) element.textContent = number.toLocaleString("en");
  }
}

function apply(card, answer) {
  Object.assign(card.dataset, { seen: answer.decision, accepted: answer.accepted, filters: answer.filters });
  show(card);
}

async function decide(card, decision) {
  const { position, image, seen } = card.dataset;
  if (card.busy || decision === seen) return;
  card.busy = true;
  try {
    const body = JSON.stringify({ position: Number(position), decision, seen, image });
    const answer = await ask("/api/review", { method: "POST", body });
    apply(card, answer);
    count(answer.counts);
    if (!answer.stored) say("Someone else has decided on this image meanwhile. Their decision is shown; decide again to change it.", 10);
  } catch (error) {
    say(error.message, 15);
  } finally {
    card.busy = false;
  }
}

/** Show what other windows and people have decided. */
async function follow() {
  try {
    const state = await ask("/api/review");
    count(state.counts);
    for (const card of cards) {
      const decision = state.decisions[card.dataset.position] ?? "";
      if (card.busy || decision === card.dataset.seen) continue;
      const accepted = decision ? decision === "keep" : card.dataset.filters === "";
      apply(card, { decision, accepted, filters: card.dataset.filters });
    }
  } catch (error) {
    say(error.message);
  }
}

for (const card of cards) {
  show(card);
  card.addEventListener("click", (event) => {
    const button = event.target.closest("[data-decision]");
    if (button) decide(card, button.dataset.decision);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
  const card = document.activeElement.closest(".review");
  const step = { ArrowRight: 1, ArrowLeft: -1, j: 1 }[event.key];
  if (step) {
    const next = card ? cards[cards.indexOf(card) + step] : cards[0];
    event.preventDefault();
    return next?.focus();
  }
  const decision = { k: "keep", r: "reject", u: "" }[event.key.toLowerCase()];
  if (card && decision !== undefined) decide(card, decision);
});

setInterval(() => document.hidden || follow(), 3000);
document.addEventListener("visibilitychange", () => document.hidden || follow());
