"use strict";
// The viewer of rows: it shows one row at a time of those that the filters leave.
// Text of data sets and models enters the page through textContent only, never as HTML.
(() => {
  const PAGE = 100; // entries of the list that exist at a time
  const VERDICTS = { right: "✓ right", wrong: "✗ wrong", unsettled: "? unsettled" };
  const SETTLERS = { rule: "a rule", judge: "a judge" };
  const byId = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(byId(id).textContent);
  const viewer = byId("viewer"), list = byId("list"), shown = byId("row");
  const search = viewer.querySelector("input[type=search]");
  const filters = [...viewer.querySelectorAll("select[data-filter]")];
  const categoryFilter = filters.find((select) => select.dataset.filter === "category");
  const data = read("rows-data");
  const state = { found: [], at: 0, first: -1 };
  let pictures = null; // decoded when the first row is shown

  const tests = {
    benchmark: (row, value) => data.benchmarks[row.benchmark] === value,
    verdict: (row, value) => row.answers[0].verdict === value,
    settled: (row, value) => row.answers.some((answer) => (answer.settled || "nothing") === value),
    change: (row, value) => row.change === value,
    category: (row, value) => row.categories.includes(Number(value)),
  };

  function element(tag, look, ...children) {
    const made = document.createElement(tag);
    if (look) made.className = look;
    made.append(...children.filter((child) => child !== ""));
    return made;
  }

  function words(row) {
    const answers = row.answers.flatMap((one) => [one.thought, one.rest, one.extracted, one.reason]);
    return [row.index, row.question, row.gold, ...answers].join("\n").toLowerCase();
  }

  function filter() {
    const chosen = filters.filter((select) => select.value).map((select) => [tests[select.dataset.filter], select.value]);
    const wanted = search.value.trim().toLowerCase();
    const current = state.found[state.at];
    state.found = data.rows.filter(
      (row) => chosen.every(([test, value]) => test(row, value)) && (!wanted || words(row).includes(wanted)),
    );
    state.first = -1;
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
    byId("count").textContent =
      `${state.found.length.toLocaleString("en")} of ${data.rows.length.toLocaleString("en")} rows.`;
    const row = state.found[state.at];
    shown.replaceChildren(...(row ? rowParts(row) : [element("p", "empty", "No row is left by these filters.")]));
    shown.scrollTop = 0;
  }

  function fillList(first) {
    state.first = first;
    const part = state.found.slice(first, first + PAGE);
    list.replaceChildren(...part.map((row, place) => entryOf(row, first + place)));
    list.scrollTop = 0;
    const last = first + part.length;
    byId("range").textContent = part.length ? `${first + 1} to ${last}` : "";
    action("earlier").disabled = first === 0;
    action("later").disabled = last >= state.found.length;
  }

  function entryOf(row, at) {
    const marks = row.answers.map((answer) => element("span", answer.verdict, VERDICTS[answer.verdict][0]));
    const name = element("span", "where", `${data.benchmarks[row.benchmark]} ${nameOf(row)}`);
    const entry = element("div", "entry", element("span", "marks", ...marks), name);
    entry.append(element("span", "snippet", snippetOf(row.question)));
    entry.id = `entry-${at}`;
    entry.dataset.at = at;
    entry.setAttribute("role", "option");
    return entry;
  }

  const haveSeveral = data.rows.some((row) => row.sample > 0);
  const nameOf = (row) => row.index + (haveSeveral ? ` · answer ${row.sample + 1}` : "");

  function snippetOf(question) {
    const start = question.indexOf("Question:"); // before it stand hints, which are the same in many rows
    const asked = start < 0 ? question : question.slice(start + "Question:".length);
    return asked.replaceAll("<image>", " ").replace(/\s+/g, " ").trim().slice(0, 120);
  }

  function rowParts(row) {
    const benchmark = data.benchmarks[row.benchmark];
    const labels = row.categories.map((id) => `${data.categories[id][1]}: ${data.categories[id][2]}`);
    const head = element("header", "", element("h3", "", `${benchmark} ${nameOf(row)}`));
    if (labels.length) head.append(element("p", "where", labels.join(" · ")));
    const question = element("div", "text", ...labelled("Question", row.question, "question"));
    question.append(...labelled("Gold", row.gold, "gold-answer"));
    const body = element("div", "body", question);
    if (row.pictures.length) body.prepend(element("div", "pictures", ...row.pictures.map(pictureOf)));
    const answers = row.answers.map((answer, place) => answerParts(answer, data.titles[place] || ""));
    return [head, body, element("div", answers.length > 1 ? "answers two" : "answers", ...answers)];
  }

  function pictureOf(id) {
    pictures = pictures || read("pictures-data");
    if (!pictures[id]) return element("p", "empty", `not in the page: ${data.pictures[id]}`);
    const image = element("img", "");
    image.alt = "The picture that the question is about";
    image.src = pictures[id];
    return element("div", "picture", image);
  }

  function answerParts(answer, title) {
    const how = SETTLERS[answer.settled] ? ` by ${SETTLERS[answer.settled]}` : "";
    const verdict = element("p", "verdict", element("span", `badge ${answer.verdict}`, VERDICTS[answer.verdict] + how));
    if (answer.reason) verdict.append(" ", element("span", "reason", answer.reason));
    const part = element("section", "answer-of", verdict);
    if (title) part.prepend(element("h4", "", title));
    part.append(...labelled("Extracted answer", answer.extracted || "(none)", "question"));
    if (answer.thought) part.append(element("p", "label", "Reasoning"), scrolled("think", answer.thought));
    part.append(element("p", "label", "Response"), scrolled("", ...answerMarked(answer.rest)));
    const isPart = answer.value !== null && answer.value > 0 && answer.value < 1; // such as the overlap of boxes
    const value = isPart ? `value ${answer.value.toFixed(3)}` : "";
    const tokens = answer.tokens === null ? "" : `${answer.tokens} tokens`;
    const facts = [value, tokens, answer.ended && `ended by ${answer.ended}`];
    part.append(element("p", "where", facts.filter(Boolean).join(" · ")));
    return part;
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

  function answerMarked(rest) {
    if (!rest) return [element("span", "empty", "(nothing)")];
    const start = rest.lastIndexOf("<answer>"), end = rest.indexOf("</answer>", start);
    if (start < 0 || end < 0) return [rest];
    const stop = end + "</answer>".length;
    return [rest.slice(0, start), element("span", "answer", rest.slice(start, stop)), rest.slice(stop)];
  }

  function fillCategories() {
    const benchmark = filters.find((select) => select.dataset.filter === "benchmark").value;
    const before = categoryFilter.value;
    const options = data.categories.flatMap(([owner, name, label], id) => {
      if (benchmark && data.benchmarks[owner] !== benchmark) return [];
      const prefix = benchmark || data.benchmarks.length < 2 ? "" : `${data.benchmarks[owner]} · `;
      const option = element("option", "", `${prefix}${name}: ${label}`);
      option.value = id;
      return [option];
    });
    categoryFilter.replaceChildren(categoryFilter.options[0], ...options);
    categoryFilter.value = options.some((option) => option.value === before) ? before : "";
  }

  function reset() {
    filters.forEach((select) => (select.value = ""));
    search.value = "";
    fillCategories();
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
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  });
  filters.forEach((select) =>
    select.addEventListener("change", () => {
      if (select.dataset.filter === "benchmark") fillCategories();
      filter();
    }),
  );
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
  for (const button of document.querySelectorAll("button[data-category]")) {
    button.addEventListener("click", () => {
      reset();
      categoryFilter.value = button.dataset.category;
      filter();
      byId("rows").scrollIntoView();
    });
  }
  document.addEventListener("keydown", onKey);
  viewer.hidden = false;
  fillCategories();
  filter();
})();
