// The rollouts of a run, a group at a time: all completions of one prompt side by side.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const data = readBlock("rows-data");
  const at = Object.fromEntries(data.columns.map((name, place) => [name, place])); // a rollout is a list
  const total = data.groups.reduce((sum, group) => sum + group.rollouts.length, 0);
  let pictures = null; // decoded when the first group is shown

  // A figure within the range of its filters; a rollout without the figure is outside any range
  function within(chosen, name) {
    const low = chosen[`${name}_from`], high = chosen[`${name}_to`];
    if (low === undefined && high === undefined) return null;
    const [from, to] = [low === undefined ? -Infinity : Number(low), high === undefined ? Infinity : Number(high)];
    return (value) => typeof value === "number" && value >= from && value <= to;
  }

  // The test of a group also notes in `group.hits` which of its rollouts pass
  function testOf(chosen, isWanted) {
    const [step, reward, tokens] = ["step", "reward", "tokens"].map((name) => within(chosen, name));
    const passes = (rollout, isFound) =>
      (!reward || reward(rollout[at.reward])) &&
      (!tokens || tokens(rollout[at.tokens])) &&
      (isFound || isWanted(rollout[at.completion]) || isWanted(rollout[at.extracted]) || isWanted(rollout[at.reason]));
    return (group) => {
      if (step && !step(group.step)) return false;
      if (chosen.type !== undefined && group.type !== chosen.type) return false;
      if (chosen.source !== undefined && group.source !== chosen.source) return false;
      const isFound = !isWanted || isWanted(group.question) || isWanted(group.gold) || isWanted(group.prompt);
      group.hits = group.rollouts.filter((rollout) => passes(rollout, isFound));
      return group.hits.length > 0;
    };
  }

  function countOf(found) {
    const passing = found.reduce((sum, group) => sum + group.hits.length, 0);
    const said = [passing, total, found.length].map((number) => number.toLocaleString("en"));
    return `${said[0]} of ${said[1]} rollouts, in ${said[2]} groups.`;
  }

  const isNumber = (value) => typeof value === "number";
  const fixed = (value) => (isNumber(value) ? value.toFixed(3) : "–");
  const quality = (reward) =>
    `reward-${!isNumber(reward) ? "none" : reward >= 0.75 ? "high" : reward < 0.25 ? "low" : "middle"}`;

  function meanReward(group) {
    const rewards = group.rollouts.map((rollout) => rollout[at.reward]).filter(isNumber);
    return rewards.length ? rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length : null;
  }

  function entryOf(group) {
    const mean = meanReward(group);
    const mark = element("span", `marks ${quality(mean)}`, fixed(mean));
    const some = group.hits.length < group.rollouts.length ? ` · ${group.hits.length} of ${group.rollouts.length}` : "";
    const where = element("span", "where", `step ${group.step} · ${group.type} · ${group.prompt}${some}`);
    return [mark, where, element("span", "snippet", snippetOf(group.question))];
  }

  function partsOf(group) {
    const head = element("header", "", element("h3", "", `Step ${group.step} · ${group.type}`));
    const mean = `mean reward ${fixed(meanReward(group))} of ${group.rollouts.length}`;
    head.append(element("p", "where", [group.source, group.prompt, mean].filter(Boolean).join(" · ")));
    const asked = element("div", "text", ...labelled("Question", group.question, "question"));
    asked.append(...labelled("Gold", group.gold, "gold-answer"));
    const body = element("div", "body", asked);
    if (group.pictures.length) {
      body.prepend(element("div", "pictures", ...group.pictures.map((path, place) => pictureOf(path, place === group.marked ? group : null))));
    }
    return [head, body, element("div", "answers two", ...group.rollouts.map((one) => cardOf(one, group)))];
  }

  // `marking` is the group whose boxes and points lie on the picture, or null
  function pictureOf(path, marking) {
    pictures = pictures || readBlock("pictures-data");
    const picture = pictures[path] || { missing: `no room in the page: ${path}` };
    if (!picture.uri) return element("p", "empty", picture.missing);
    const image = element("img", "");
    image.alt = "The picture that the question is about";
    image.src = picture.uri;
    const holder = element("div", picture.pixelated ? "picture pixelated" : "picture", image);
    if (!marking) return holder;
    const marks = marking.marks.map((mark) => ["gold", mark, ""]);
    for (const one of marking.rollouts) for (const mark of one[at.marks]) marks.push(["predicted", mark, numberOf(one)]);
    if (marks.length) holder.append(drawn(marks), ...marks.filter(([, , number]) => number).map(tagOf));
    return holder;
  }

  function drawn(marks) {
    const canvas = document.createElementNS(SVG, "svg");
    canvas.setAttribute("viewBox", "0 0 1 1");
    canvas.setAttribute("preserveAspectRatio", "none");
    canvas.setAttribute("role", "img");
    const said = ([owner, mark, number]) => `${owner} ${isPoint(mark) ? "point" : "box"} ${number} ${mark.join(", ")}`;
    canvas.setAttribute("aria-label", marks.map(said).join(". "));
    for (const [owner, mark, number] of marks) {
      for (const look of ["halo", owner]) {
        const shape = document.createElementNS(SVG, isPoint(mark) ? "path" : "rect");
        if (isPoint(mark)) shape.setAttribute("d", `M${mark[0]} ${mark[1]}h0`);
        else ["x", "y", "width", "height"].forEach((side, place) => shape.setAttribute(side, mark[place]));
        shape.setAttribute("class", look);
        shape.dataset.of = number;
        canvas.append(shape);
      }
    }
    return canvas;
  }

  const isPoint = (mark) => mark.length === 2;

  function tagOf([, mark, number]) {
    const tag = element("span", "box-number", number);
    tag.style.left = `${100 * mark[0]}%`;
    tag.style.top = `${100 * mark[1]}%`;
    tag.dataset.of = number;
    return tag;
  }

  const numberOf = (rollout) => String((rollout[at.sample] || 0) + 1);

  function cardOf(rollout, group) {
    const reward = rollout[at.reward];
    const said = isNumber(reward) ? `reward ${fixed(reward)}` : "not judged";
    const verdict = element("p", "verdict", element("span", `badge ${quality(reward)}`, said));
    verdict.append(" ", element("span", "where", `rollout ${numberOf(rollout)}`));
    if (rollout[at.reason]) verdict.append(" ", element("span", "reason", rollout[at.reason]));
    const card = element("section", group.hits.includes(rollout) ? "answer-of" : "answer-of other", verdict);
    card.append(...labelled("Answer found", rollout[at.extracted] || "(none)", "question"));
    if (rollout[at.parts]) card.append(...labelled("Parts of the reward", rollout[at.parts], "question"));
    card.append(element("p", "label", "Completion"), scrolled("", ...pieces(rollout[at.completion])));
    const [tokens, ended, version] = [rollout[at.tokens], rollout[at.ended], rollout[at.version]];
    const facts = [tokens !== null && `${tokens} tokens`, ended && `ended by ${ended}`];
    facts.push(version !== null && `weight version ${version}`);
    facts.push(isNumber(rollout[at.advantage]) && `advantage ${fixed(rollout[at.advantage])}`);
    facts.push(isNumber(rollout[at.logprob]) && `mean logprob ${fixed(rollout[at.logprob])}`);
    card.append(element("p", "where", facts.filter(Boolean).join(" · ")));
    for (const event of ["mouseenter", "focusin"]) card.addEventListener(event, () => point(numberOf(rollout)));
    return card;
  }

  // The boxes of the rollout that is looked at stand out from those of the others
  function point(number) {
    for (const mark of byId("row").querySelectorAll(".picture [data-of]")) {
      mark.classList.toggle("faint", mark.dataset.of !== "" && mark.dataset.of !== number);
    }
  }

  function pieces(completion) {
    if (!completion) return [element("span", "empty", "(empty)")];
    const pattern = /<(think|answer)>[\s\S]*?(?:<\/\1>|$)|(?:(?!<think>|<answer>)[\s\S])+/g;
    return [...completion.matchAll(pattern)].map((match) => element("span", match[1] || "", match[0]));
  }

  makeViewer({
    ...{ items: data.groups, testOf, entryOf, partsOf, countOf },
    empty: "No rollout is left by these filters.",
  });
})();
