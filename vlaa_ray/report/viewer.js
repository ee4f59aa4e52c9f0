"use strict";
// The viewer of a list: it shows one item at a time of those that the filters leave, and moves by keys.
// Text of data sets and models enters a page through textContent only, never as HTML.
const byId = (id) => document.getElementById(id);
const readBlock = (id) => JSON.parse(byId(id).textContent);

function element(tag, look, ...children) {
  const made = document.createElement(tag);
  if (look) made.className = look;
  made.append(...children.filter((child) => child !== ""));
  return made;
}

function labelled(label, text, look) {
  const paragraph = element("p", look, text);
  paragraph.dir = "auto";
  return [element("p", "label", label), paragraph];
}

function scrolled(look, ...children) {
  const block = element("pre", "completion", element("span", look, ...children));
  block.dir = "auto";
  block.tabIndex = 0;
  return block;
}

function snippetOf(question) {
  const start = question.indexOf("Question:"); // before it stand hints, which are the same in many rows
  const asked = start < 0 ? question : question.slice(start + "Question:".length);
  return asked.replaceAll("<image>", " ").replace(/\s+/g, " ").trim().slice(0, 120);
}

// `testOf(chosen, isWanted)` returns the test of an item: `chosen` has the value of each filter that is set, by its
// name, and `isWanted(text)` looks for the search's text; it is null without a search.
// `entryOf(item)` and `partsOf(item)` return elements for the list and for the chosen item, `countOf(found)` a text.
function makeViewer({ items, testOf, entryOf, partsOf, countOf, onReset = () => {}, empty }) {
  const PAGE = 100; // entries of the list that exist at a time
  const viewer = byId("viewer"), list = byId("list"), shown = byId("row");
  const search = viewer.querySelector("input[type=search]");
  const filters = [...viewer.querySelectorAll("[data-filter]")];
  const state = { found: [], at: 0, first: -1 };

  function filter() {
    const set = filters.filter((control) => control.value);
    const chosen = Object.fromEntries(set.map((control) => [control.dataset.filter, control.value]));
    const wanted = search.value.trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const pattern = wanted && new RegExp(wanted, "i"); // quicker than copies of all texts in lower case
    const current = state.found[state.at];
    state.found = items.filter(testOf(chosen, pattern ? (text) => pattern.test(text) : null));
    state.first = -1;
    byId("count").textContent = countOf(state.found);
    show(Math.max(0, state.found.indexOf(current)));
  }

  function show(at) {
    state.at = Math.min(Math.max(at, 0), Math.max(state.found.length - 1, 0));
    const first = state.at - (state.at % PAGE);
    if (first !== state.first) fillList(first);
    for (const entry of list.children) {
      const isCurrent = Number(entry.dataset.at) === state.at;
      entry.setAttribute("aria-selected", String(isCurrent));
      if (isCurrent) {
        list.setAttribute("aria-activedescendant", entry.id);
        list.scrollTop += Math.min(0, entry.offsetTop - list.scrollTop);
        list.scrollTop += Math.max(0, entry.offsetTop + entry.offsetHeight - list.scrollTop - list.clientHeight);
      }
    }
    const item = state.found[state.at];
    shown.replaceChildren(...(item ? partsOf(item) : [element("p", "empty", empty)]));
    shown.scrollTop = 0;
  }

  function fillList(first) {
    state.first = first;
    const part = state.found.slice(first, first + PAGE);
    list.replaceChildren(...part.map((item, place) => listed(item, first + place)));
    list.scrollTop = 0;
    const last = first + part.length;
    byId("range").textContent = part.length ? `${first + 1} to ${last}` : "";
    action("earlier").disabled = first === 0;
    action("later").disabled = last >= state.found.length;
  }

  function listed(item, at) {
    const entry = element("div", "entry", ...entryOf(item));
    entry.id = `entry-${at}`;
    entry.dataset.at = at;
    entry.setAttribute("role", "option");
    return entry;
  }

  function reset() {
    filters.forEach((control) => (control.value = ""));
    search.value = "";
    onReset();
  }

  const action = (name) => viewer.querySelector(`[data-action=${name}]`);
  const steps = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 };
  const stepsInList = { ...steps, ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key === "Escape") list.focus();
      return;
    }
    if (event.target.matches("pre") && event.key.startsWith("Arrow")) return; // they scroll it
    const step = (event.target === list ? stepsInList : steps)[event.key];
    if (step) show(state.at + step);
    else if (event.key === "/") search.focus();
    else return;
    event.preventDefault();
  }

  let waiting = 0;
  const whenTyped = () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  };
  for (const control of [search, ...filters]) {
    if (control.matches("select")) control.addEventListener("change", filter);
    else control.addEventListener("input", whenTyped);
  }
  list.addEventListener("click", (event) => {
    const entry = event.target.closest(".entry");
    if (entry) show(Number(entry.dataset.at));
  });
  action("earlier").addEventListener("click", () => show(state.first - PAGE));
  action("later").addEventListener("click", () => show(state.first + PAGE));
  action("reset").addEventListener("click", () => {
    reset();
    filter();
  });
  document.addEventListener("keydown", onKey);
  viewer.hidden = false;
  filter();
  return { filter, reset };
}
