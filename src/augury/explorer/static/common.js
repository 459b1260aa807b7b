// What every page needs: requests with errors in words, and forms that show their choice at once.

const status = document.getElementById("status");
let timer = 0;

/** Show a message at the foot of the page; it stays for some seconds. */
export function say(message, seconds = 6) {
  status.textContent = message;
  clearTimeout(timer);
  if (message) timer = setTimeout(() => (status.textContent = ""), 1000 * seconds);
}

/** The JSON answer of the explorer; an Error with its words otherwise. `signal` cancels the request. */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The explorer does not answer. Is it still running in the terminal? Nothing that was stored is lost.");
  }
  const answer = await response.json().catch(() => ({ error: `The explorer answered ${response.status}.` }));
  if (!response.ok && !(response.status === 409 && "stored" in answer)) throw new Error(answer.error);
  return answer;
}

export const at = (id) => document.getElementById(id);

const pending = {};

/** Ask for `path` and hand the answer to `show`, unless the same task is asked again before it comes. */
export async function latest(task, path, show, options = {}) {
  pending[task]?.abort();
  const controller = (pending[task] = new AbortController());
  document.body.classList.add("busy");
  try {
    show(await ask(path, { ...options, signal: controller.signal }));
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
  } finally {
    if (pending[task] === controller) delete pending[task];
    if (!Object.keys(pending).length) document.body.classList.remove("busy");
  }
}

/** Keep values in the address of the page; empty ones leave it. */
export function remember(values) {
  const stored = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) value === "" ? stored.delete(name) : stored.set(name, value);
  history.replaceState(null, "", `?${stored}`);
}

/** Say why a file cannot be sent; "" for one that can. */
export function tooLarge(file) {
  const limit = 20 * 2 ** 20;
  return file.size > limit ? `${file.name} has ${Math.round(file.size / 2 ** 20)} MB, but 20 MB is the most; give a smaller one.` : "";
}

/** Load the page again at `address` and replace the elements with these ids. */
export async function replaceParts(address, ids) {
  const response = await fetch(address);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const id of ids) {
    const before = document.getElementById(id), after = page.getElementById(id);
    if (before && after && before.innerHTML !== after.innerHTML) before.replaceWith(document.adoptNode(after));
  }
  return page;
}

document.addEventListener("change", async (event) => {
  const form = event.target.closest("form[data-submit]");
  if (!form) return;
  const address = `${location.pathname}?${new URLSearchParams(new FormData(form))}`;
  const part = form.closest("[data-live-form]");
  if (!part) return location.assign(address);
  const name = event.target.name, position = [...part.querySelectorAll("form")].indexOf(form);
  await replaceParts(address, [part.id]).catch(() => location.assign(address));
  history.replaceState(null, "", address);
  document.getElementById(part.id).querySelectorAll("form")[position]?.elements[name]?.focus();
});
