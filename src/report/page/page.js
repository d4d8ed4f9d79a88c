// The sections of the page, in the order in which they are read.

function stat(value, label, extra) {
  return el("div", {class: "card stat"}, el("b", {}, value), el("span", {}, label), extra);
}

function showProblems(run) {
  if (!run.problems.length) return null;
  return el("div", {class: "problems"}, "Some of this run could not be read:", el("ul", {}, run.problems.map(p => el("li", {}, p))));
}

// The likely causes of what the run did not learn, most likely first.
function showDiagnosis(run) {
  if (!run.diagnosis || !run.diagnosis.length) return null;
  return el("section", {class: "card diagnosis", "aria-labelledby": "diagnosis-title"}, el("h2", {id: "diagnosis-title"}, "Why it did not learn more"),
    el("ol", {}, run.diagnosis.map(d => el("li", {}, el("b", {}, d.cause), el("p", {}, d.evidence), d.try && el("p", {}, el("span", {class: "soft"}, "Try: "), d.try)))));
}

function showSummary(data) {
  const run = data.runs[0], start = run.start || {}, end = run.end, last = run.last, result = run.result || {};
  document.title = `${run.name} – qkv report`;
  const main = document.getElementById("main");
  const kind = [start.task, start.model].filter(Boolean).join(", ");
  main.append(el("h1", {}, data.runs.length > 3 ? `${data.runs.length} runs` : data.runs.map(r => r.name).join(" · ")),
              el("p", {class: "lead"}, kind ? `A run of the task ${start.task} with the model ${start.model}` : "A run", start.parameters ? `: ${text(start.parameters)} parameters, ${text(start.train_examples)} training examples.` : "."));
  for (const one of data.runs) {
    const problems = showProblems(one);
    if (problems) main.append(problems);
  }
  const diagnosis = showDiagnosis(run);
  if (diagnosis) main.append(diagnosis);
  const split = result.test ? "test" : "val", final = result[split] || {}, cards = [];
  const expected = new Set(run.expect.map(e => e.metric)), label = (name, split, more) => `${metricTitle(name)}, ${splitTitle(split)}${more || ""}`;
  for (const e of run.expect) {
    const words = `${e.least ? "at least" : "at most"} ${metricText(e.bound)} expected`;
    cards.push(stat(metricText(e.value), label(e.metric, e.split),
      el("em", {class: e.value === null ? null : e.met ? "met" : "missed"}, e.value === null ? words : e.met ? `✓ inside its band: ${words}` : `✗ outside its band: ${words}`)));
  }
  for (const name of Object.keys(final).sort((a, b) => rank(a) - rank(b)))
    if (typeof final[name] === "number" && !expected.has(name) && cards.length < 6) cards.push(stat(metricText(final[name]), label(name, split)));
  if (!cards.length && run.best)
    for (const [name, value] of Object.entries(run.best))
      if (typeof value === "number" && name !== "step" && cards.length < 3) cards.push(stat(metricText(value), label(name, run.best.split, ", best so far")));
  const done = end || last;
  if (done) cards.push(stat(text(done.step), start.max_steps ? `of ${text(start.max_steps)} steps` : "steps", el("em", {}, end ? kEnds[end.reason] || end.reason : "has no end: it goes on, or was killed")));
  const ms = last ? 1000 * last.time_s / last.step : 0;
  if (done && done.time_s) cards.push(stat(clock(done.time_s), last ? `${ms < 100 ? ms.toPrecision(3) : text(Math.round(ms))} ms per step, ${text(Math.round(last.tokens / last.time_s))} tokens/s` : "training time"));
  main.append(el("div", {class: "stats"}, cards));
}

// What its numbers mean: the run among the levels of each metric, the best last.
function showLevels(run) {
  const metrics = [...new Set((run.levels || []).map(level => level.metric))], final = finalOf(run);
  if (!metrics.length) return;
  section("levels", "What the numbers mean", "The run among what needs no training, or less of it; lines in the curves have the same names.",
    el("div", {class: "grid"}, metrics.map(metric => {
      const own = final.values[metric], rows = run.levels.filter(level => level.metric === metric);
      if (Number.isFinite(own)) rows.push({name: run.name, value: own, meaning: `this run, ${splitTitle(final.split)}`, own: true});
      rows.sort((a, b) => lowerIsBetter(metric) ? b.value - a.value : a.value - b.value);
      return scrollCard(metricTitle(metric), dataTable(metricTitle(metric), ["level", "value", "meaning"], ["value"],
        rows.map(level => [level.own ? el("b", {}, level.name) : level.name, level.own ? el("b", {}, metricText(level.value)) : metricText(level.value), level.meaning])));
    })));
}

// Curves of all runs: of one run, training and validation; of several, a colour each.
function showCurves(runs) {
  if (!metricsOf(runs).length) return;
  const grid = curveGrid();
  grid.update(runs);
  section("curves", "Curves", "How the run went: drag over a curve to zoom, double-click to see all of it; with the keyboard, + and − zoom, arrows move, Escape resets." + (runs.length > 1 ? " Dashed lines are of the training, whole ones of the validation." : ""), grid.node, lossNote(runs[0]), checkpointNote(runs[0]));
}

function showComparison(runs) {
  if (runs.length < 2) return;
  const compared = comparison();
  compared.update(runs);
  section("comparison", "Comparison", "The final numbers of all runs, and how far seeds alone move them.", compared.node);
}

const marked = sentence => {
  const parts = tidy(sentence).match(/^([^[]*)\[([^\]]*)\](.*)$/su);
  return parts ? [parts[1], el("mark", {}, parts[2]), parts[3]] : tidy(sentence);
};

function showEvaluation(evaluation) {
  if (!evaluation) return;
  const {labels, confusion, classes} = evaluation, row = i => Math.max(1, confusion[i].reduce((a, b) => a + b, 0));
  const table = dataTable(null, ["class", "precision", "recall", "F1", "examples"], ["precision", "recall", "F1", "examples"],
    classes.map(c => [c.label, ...[c.precision, c.recall, c.f1].map(metricText), text(c.count)]));
  const matrix = el("table", {class: "confusion"}, el("thead", {}, el("tr", {}, el("th", {}, "is ↓  answered →"), labels.map(l => el("th", {scope: "col", style: "text-align:center"}, l)))),
    el("tbody", {}, labels.map((label, g) => el("tr", {}, el("th", {scope: "row"}, label), confusion[g].map((n, p) =>
      el("td", {style: `background:color-mix(in srgb, var(${g === p ? "--V" : "--bad"}) ${(n ? 12 + 68 * n / row(g) : 0).toFixed(0)}%, var(--wash))`, title: `${n} of ${row(g)} “${label}” answered “${labels[p]}”`}, n || "·"))))));
  const mistakes = dataTable(null, ["sentence", "is", "answered", "p", "p of right"], ["p", "p of right"],
    evaluation.mistakes.map(m => [marked(m.text), labels[m.label], el("span", {class: "missed"}, labels[m.answer]), m.probability.toFixed(2), m.right.toFixed(2)]));
  mistakes.className = "wide";
  section("evaluation", "Evaluation", `The best checkpoint on ${text(evaluation.examples)} examples of the ${splitTitle(evaluation.split)} split, which it was not trained on: ${(100 * evaluation.accuracy).toFixed(1)} % right.`,
    el("div", {class: "grid"},
       scrollCard("scores per class", el("h3", {}, "Per class"), table, el("p", {class: "note"}, "Precision: how often an answer is right; recall: how much of a class is found; F1: their harmonic mean.")),
       scrollCard("confusion matrix", el("h3", {}, "Confusion"), matrix, el("p", {class: "note"}, "Rows are what is right, columns what was answered; the diagonal is where both agree."))),
    evaluation.wrong > 0 && el("div", {class: "next"}, scrollCard("mistakes", el("h3", {}, evaluation.wrong > evaluation.mistakes.length ? `The ${evaluation.mistakes.length} surest of ${evaluation.wrong} mistakes` : `All ${evaluation.wrong} mistakes, the surest first`), mistakes)));
}

function showNorms(norms) {
  if (!norms) return;
  const end = list => list ? metricText(list[list.length - 1]) : "–";
  const rows = Object.keys(norms.weight).map(name => [el("code", {}, name), sparkline(norms.weight[name], "var(--Q)"), end(norms.weight[name]),
    sparkline(norms.gradient[name] || [], "var(--K)"), end(norms.gradient[name])]);
  section("norms", "Weights and gradients", "The length of each parameter and of its gradient, from evaluation to evaluation; each small curve has a scale of its own.",
    el("details", {class: "card scroll", tabindex: 0, open: rows.length <= 40}, el("summary", {}, `${rows.length} parameters`),
       dataTable(null, ["parameter", "weight", "last weight", "gradient", "last gradient"], ["last weight", "last gradient"], rows)));
}

function showSeconds(run) {
  if (!run.seconds || !run.end) return;
  const whole = Math.max(run.end.time_s || 0, run.seconds.reduce((a, p) => a + p.seconds, 0));
  const parts = [...run.seconds, {part: "the rest", seconds: whole - run.seconds.reduce((a, p) => a + p.seconds, 0)}].filter(p => p.seconds > 0);
  section("time", "Time", "What the training time went into; the parts of a step first, then what is done between steps.",
    el("div", {class: "card"}, el("div", {class: "split", role: "img", "aria-label": parts.map(p => `${p.part} ${(100 * p.seconds / whole).toFixed(0)} %`).join(", ")},
         parts.map((p, i) => el("span", {style: `flex:${p.seconds};background:${classColour(i)}`, title: `${p.part}: ${p.seconds.toFixed(2)} s`}))),
       legend(parts.map((p, i) => ({name: `${p.part} ${p.seconds.toFixed(2)} s (${(100 * p.seconds / whole).toFixed(1)} %)`, colour: classColour(i)})))));
}

function showConfig(run) {
  if (!run.config.length && !run.env) return;
  const table = dataTable(null, ["key", "value", "from", "meaning"], [], []), body = table.tBodies[0], given = key => key.origin && key.origin !== "default";
  let all = false;
  const more = el("button", {type: "button", "aria-pressed": "false", onclick: () => { all = !all; more.setAttribute("aria-pressed", String(all)); draw(); }}, "show defaults, too");
  function draw() {
    body.replaceChildren(...run.config.filter(k => all || given(k) || !run.config.some(given)).map(k => el("tr", {}, el("th", {scope: "row"}, el("code", {}, k.key)), el("td", {}, el("code", {}, k.value)),
      el("td", {}, el("span", {class: given(k) ? "pill given" : "pill"}, k.origin || "unknown")), el("td", {class: "soft"}, k.help))));
  }
  draw();
  const env = run.env || {};
  section("config", "Config and machine", "Every value that shaped this run, and where it was given: a file and line, the command line, or a default.",
    run.config.length > 0 && el("div", {class: "controls"}, more),
    run.config.length > 0 && scrollCard("config", table),
    run.env && el("div", {class: "next"}, scrollCard("machine", el("table", {}, el("caption", {}, "Machine"), el("tbody", {}, Object.entries(env).map(([k, v]) => el("tr", {}, el("th", {scope: "row"}, k.replaceAll("_", " ")), el("td", {}, el("code", {}, Array.isArray(v) ? v.join(" ") : String(v))))))))));
}

function main() {
  const run = data.runs[0], film = data.film;
  showSummary(data);
  showFork(data.fork, data.runs);
  showLevels(run);
  showComparison(data.runs);
  if (data.runs.length > 1) document.getElementById("main").append(el("p", {class: "note"}, `The comparison and the curves are those of all runs; everything else is of ${run.name}.`));
  if (data.model) showModel(data.model.missing ? null : new PageModel(data.model), data.model, examplesFor(data.model));
  showSamples(run.samples);
  showFilm(film);
  showAttention(film, data.faithful);
  showCurves(data.runs);
  showEvaluation(data.evaluation);
  showNorms(run.norms);
  showSeconds(run);
  showConfig(run);
  document.getElementById("main").append(el("p", {class: "note", style: "margin-top:3rem"}, `Made by qkv ${data.version} from the files of the run; this page needs no network.`));
}
document.addEventListener("DOMContentLoaded", () => data.serve ? serve() : main());  // when all files of the page have been read
