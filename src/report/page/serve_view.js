// One run while it trains and afterwards: its numbers, curves and levels, what stops and continues it, and the parts of
// a report.

function actions(runs, name) {
  const said = el("span", {class: "soft", role: "status", id: "action-note"});
  const act = async (path, change, words) => {
    said.className = "soft";
    said.textContent = "…";
    try {
      await ask(path, {run: name, ...change});
      said.textContent = words;
    } catch (error) {
      said.className = "missed";
      said.textContent = error.message;
    }
  };
  const stop = el("button", {type: "button", id: "stop", onclick: () => act("/api/stop", {}, "It stops after its step, and saves.")}, "Stop");
  const steps = el("input", {type: "number", id: "extend-steps", min: 1, step: 1, "aria-label": "train until step"});
  const extend = el("form", {class: "controls", onsubmit: event => { event.preventDefault(); act("/api/extend", {max_steps: Number(steps.value)}, "It goes on in a process of its own."); }},
                    el("label", {}, "Train until step", steps), el("button", {type: "submit", id: "extend"}, "Continue"));
  let filled = 0;
  return {node: el("div", {class: "controls"}, stop, extend, el("a", {href: pageAddress("/report", {run: name})}, "Full report"), said), update(run) {
    stop.hidden = run.state !== "training";
    extend.hidden = run.state === "training";
    if (filled !== run.step) filled = run.step, steps.value = Math.max(run.max_steps, 2 * run.step);
    if (runs.faults[name]) said.className = "missed", said.textContent = runs.faults[name];
  }};
}

function runStats(run, shown) {
  const last = shown.last || {}, cards = [];
  cards.push(stat(text(run.step), run.max_steps > 0 ? `of ${text(run.max_steps)} steps` : "steps", el("em", {}, shown.end ? kEnds[shown.end.reason] || shown.end.reason : run.state)));
  if (run.best_step >= 0) cards.push(stat(metricText(run.best_value), `${metricTitle(run.metric)}, validation, best at step ${text(run.best_step)}`));
  if (last.loss !== undefined) cards.push(stat(metricText(last.loss), "Loss, training"));
  if (last.tokens_per_s !== undefined) cards.push(stat(text(Math.round(last.tokens_per_s)), "tokens per second"));
  if (run.time_s >= 0) cards.push(stat(clock(run.time_s), "training time"));
  return cards;
}

function showRun(runs, name) {
  document.title = `${name} – qkv`;
  const main = document.getElementById("main"), stats = el("div", {class: "stats", id: "stats"}), state = el("span", {}), grid = curveGrid(), buttons = actions(runs, name);
  const top = el("div", {}), rest = el("p", {class: "note"}, "Reading the run …");
  main.append(el("p", {}, el("a", {href: pageAddress("/", {})}, "← all runs")), el("h1", {}, name, " ", state), buttons.node, stats, top);
  section("curves", "Curves", "They grow while the run trains. Drag over a curve to zoom, double-click to see all of it; with the keyboard, + and − zoom, arrows move, Escape resets.", grid.node);
  main.append(rest);
  let described = "";

  // All that does not grow from step to step; again when the run has begun or ended.
  async function describe(run) {
    const fresh = await ask(address("/api/run", {run: name})), film = await ask(address("/api/film", {run: name}));
    for (const old of [...main.querySelectorAll(":scope > section")]) if (old.id !== "curves") old.remove();
    for (const link of [...document.getElementById("nav").children].slice(1)) link.remove();
    Object.assign(runs.shown.get(name), fresh, {name});
    top.replaceChildren(showProblems(fresh) || "");
    rest.remove();
    showLevels(fresh);
    const texts = film && film.texts ? film.texts.map(one => one.text) : [];
    if (run.best_step >= 0 || fresh.result) {
      const about = {task: (fresh.start || {}).task, examples: texts, note: "The server answers with the best checkpoint."};
      showModel(new ServerModel(name), about, ["prompt-answer", "word2vec"].includes(about.task) ? [] : examplesFor(about));
    }
    showFilm(film);
    showAttention(film);
    showNorms(fresh.norms);
    showSeconds(fresh);
    showConfig(fresh);
  }
  const update = async () => {
    const run = runs.all.get(name);
    if (!run) {
      rest.textContent = `There is no run called ${name} in this folder.`;
      return;
    }
    state.replaceChildren(statePill(run.state));
    buttons.update(run);
    const shown = await runs.follow(name), now = `${run.state} ${run.best_step >= 0}`;
    stats.replaceChildren(...runStats(run, shown));
    grid.update([shown]);
    if (now === described) return;
    described = now;
    await describe(run);
    grid.update([runs.shown.get(name)]);
    if (run.state !== "training") top.append(showDiagnosis({diagnosis: await ask(address("/api/why", {run: name}))}) || "");
  };
  return change => {
    if (change.names || change.faults || change.changed.includes(name)) update().catch(error => { rest.textContent = error.message; });
  };
}

function serve() {
  document.querySelector(".brand span").textContent = data.serve.folder;
  const runs = new Runs(), name = new URLSearchParams(location.search).get("run");
  runs.watch(name === null ? showRuns(runs) : showRun(runs, name));
}
