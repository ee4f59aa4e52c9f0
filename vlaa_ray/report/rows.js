// The rows of an evaluation, or of two of them.
(() => {
  const VERDICTS = { right: "✓ right", wrong: "✗ wrong", unsettled: "? unsettled" };
  const SETTLERS = { rule: "a rule", judge: "a judge" };
  const data = readBlock("rows-data");
  const benchmarkFilter = document.querySelector("select[data-filter=benchmark]");
  const categoryFilter = document.querySelector("select[data-filter=category]");
  let pictures = null; // decoded when the first row is shown

  const tests = {
    benchmark: (row, value) => data.benchmarks[row.benchmark] === value,
    verdict: (row, value) => row.answers[0].verdict === value,
    settled: (row, value) => row.answers.some((answer) => (answer.settled || "nothing") === value),
    change: (row, value) => row.change === value,
    category: (row, value) => row.categories.includes(Number(value)),
  };

  function words(row) {
    const answers = row.answers.flatMap((one) => [one.thought, one.rest, one.extracted, one.reason]);
    return [row.index, row.question, row.gold, ...answers].join("\n");
  }

  function testOf(chosen, isWanted) {
    const set = Object.entries(chosen);
    return (row) => set.every(([name, value]) => tests[name](row, value)) && (!isWanted || isWanted(words(row)));
  }

  const countOf = (found) => `${found.length.toLocaleString("en")} of ${data.rows.length.toLocaleString("en")} rows.`;

  function entryOf(row) {
    const marks = row.answers.map((answer) => element("span", answer.verdict, VERDICTS[answer.verdict][0]));
    const name = element("span", "where", `${data.benchmarks[row.benchmark]} ${nameOf(row)}`);
    return [element("span", "marks", ...marks), name, element("span", "snippet", snippetOf(row.question))];
  }

  const haveSeveral = data.rows.some((row) => row.sample > 0);
  const nameOf = (row) => row.index + (haveSeveral ? ` · answer ${row.sample + 1}` : "");

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
    pictures = pictures || readBlock("pictures-data");
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

  function answerMarked(rest) {
    if (!rest) return [element("span", "empty", "(nothing)")];
    const start = rest.lastIndexOf("<answer>"), end = rest.indexOf("</answer>", start);
    if (start < 0 || end < 0) return [rest];
    const stop = end + "</answer>".length;
    return [rest.slice(0, start), element("span", "answer", rest.slice(start, stop)), rest.slice(stop)];
  }

  function fillCategories() {
    const benchmark = benchmarkFilter.value;
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

  // before the viewer, which reads the filters: the categories of a benchmark go with it
  benchmarkFilter.addEventListener("change", fillCategories);
  fillCategories();
  const { filter, reset } = makeViewer({
    ...{ items: data.rows, testOf, entryOf, partsOf: rowParts, countOf, onReset: fillCategories },
    empty: "No row is left by these filters.",
  });
  for (const button of document.querySelectorAll("button[data-category]")) {
    button.addEventListener("click", () => {
      reset();
      categoryFilter.value = button.dataset.category;
      filter();
      byId("rows").scrollIntoView();
    });
  }
})();
