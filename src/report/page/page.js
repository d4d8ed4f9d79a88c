// The sections of the page, in the order in which they are read.

const runColour = i => i < 8 ? `var(--c${i})` : `hsl(${47 * i % 360} 50% 55%)`;
const kTitles = {loss: "Loss", accuracy: "Accuracy", macro_f1: "Macro-F1", lr: "Learning rate", grad_norm: "Gradient norm", tokens_per_s: "Tokens per second", step_ms: "Milliseconds per step", perplexity: "Perplexity", bits_per_char: "Bits per character"};
const kEnds = {max_steps: "all steps done", early_stop: "stopped early: no further improvement", interrupted: "interrupted", diverged: "diverged"};

function stat(value, label, extra) {
  return el("div", {class: "card stat"}, el("b", {}, value), el("span", {}, label), extra);
}

function showProblems(run) {
  if (!run.problems.length) return null;
  return el("div", {class: "problems"}, "Some of this run could not be read:", el("ul", {}, run.problems.map(p => el("li", {}, p))));
}

function showSummary(data) {
  const run = data.runs[0], start = run.start || {}, end = run.end, last = run.last, result = run.result || {};
  document.title = `${run.name} – qkv report`;
  const main = document.getElementById("main");
  const kind = [start.task, start.model].filter(Boolean).join(", ");
  main.append(el("h1", {}, data.runs.map(r => r.name).join(" · ")),
              el("p", {class: "lead"}, kind ? `A run of the task ${start.task} with the model ${start.model}` : "A run", start.parameters ? `: ${text(start.parameters)} parameters, ${text(start.train_examples)} training examples.` : "."));
  for (const one of data.runs) {
    const problems = showProblems(one);
    if (problems) main.append(problems);
  }
  const split = result.test ? "test" : "val", final = result[split] || {}, cards = [];
  const expected = new Set(run.expect.map(e => e.metric));
  for (const e of run.expect) {
    const words = `${e.least ? "at least" : "at most"} ${text(e.bound)} expected`;
    cards.push(stat(text(e.value), `${kTitles[e.metric] || e.metric}, ${e.split}`,
      el("em", {class: e.value === null ? null : e.met ? "met" : "missed"}, e.value === null ? words : e.met ? `✓ inside its band: ${words}` : `✗ outside its band: ${words}`)));
  }
  for (const [name, value] of Object.entries(final))
    if (typeof value === "number" && !expected.has(name) && cards.length < 6) cards.push(stat(text(value), `${kTitles[name] || name}, ${split}`));
  if (!cards.length && run.best)
    for (const [name, value] of Object.entries(run.best))
      if (typeof value === "number" && name !== "step" && cards.length < 3) cards.push(stat(text(value), `${kTitles[name] || name}, ${run.best.split}, best so far`));
  const done = end || last;
  if (done) cards.push(stat(text(done.step), start.max_steps ? `of ${text(start.max_steps)} steps` : "steps", el("em", {}, end ? kEnds[end.reason] || end.reason : "has no end: it goes on, or was killed")));
  if (done && done.time_s) cards.push(stat(`${text(Number(done.time_s.toFixed(1)))} s`, last ? `${text(1000 * last.time_s / last.step)} ms per step, ${text(Math.round(last.tokens / last.time_s))} tokens/s` : "training time"));
  main.append(el("div", {class: "stats"}, cards));
}

// Curves of all runs: of one run, training and validation; of several, a colour each.
function showCurves(runs) {
  const names = [...new Set(runs.flatMap(run => Object.keys(run.curves)))];
  const order = ["loss", "accuracy", "macro_f1"];
  names.sort((a, b) => (order.indexOf(a) + 1 || 9) - (order.indexOf(b) + 1 || 9));
  const charts = names.map(name => {
    const series = runs.flatMap((run, i) => Object.entries(run.curves[name] || {}).map(([split, curve]) => ({
      name: runs.length > 1 ? `${run.name}, ${split}` : split, x: curve.x, y: curve.y,
      colour: runs.length > 1 ? runColour(i) : split === "val" ? "var(--K)" : "var(--Q)", dash: runs.length > 1 && split === "train" ? "4 3" : null})));
    return lineChart(kTitles[name] || name, series);
  });
  if (charts.length)
    section("curves", "Curves", "How the run went: drag over a curve to zoom, double-click to see all of it; with the keyboard, + and − zoom, arrows move, Escape resets." + (runs.length > 1 ? " Dashed lines are of the training, whole ones of the validation." : ""),
            el("div", {class: "grid"}, charts));
}

const marked = sentence => {
  const parts = tidy(sentence).match(/^([^[]*)\[([^\]]*)\](.*)$/su);
  return parts ? [parts[1], el("mark", {}, parts[2]), parts[3]] : tidy(sentence);
};

function showEvaluation(evaluation) {
  if (!evaluation) return;
  const {labels, confusion, classes} = evaluation, row = i => Math.max(1, confusion[i].reduce((a, b) => a + b, 0));
  const table = el("table", {}, el("thead", {}, el("tr", {}, ["class", "precision", "recall", "F1", "examples"].map((h, i) => el("th", {class: i ? "n" : null}, h)))),
    el("tbody", {}, classes.map(c => el("tr", {}, el("td", {}, c.label), [c.precision, c.recall, c.f1].map(v => el("td", {class: "n"}, v.toFixed(3))), el("td", {class: "n"}, c.count)))));
  const matrix = el("table", {class: "confusion"}, el("thead", {}, el("tr", {}, el("th", {}, "is ↓  answered →"), labels.map(l => el("th", {style: "text-align:center"}, l)))),
    el("tbody", {}, labels.map((label, g) => el("tr", {}, el("th", {}, label), confusion[g].map((n, p) =>
      el("td", {style: `background:color-mix(in srgb, var(${g === p ? "--V" : "--bad"}) ${(n ? 12 + 68 * n / row(g) : 0).toFixed(0)}%, var(--wash))`, title: `${n} of ${row(g)} “${label}” answered “${labels[p]}”`}, n || "·"))))));
  const mistakes = el("table", {}, el("thead", {}, el("tr", {}, ["sentence", "is", "answered", "p", "p of right"].map((h, i) => el("th", {class: i > 2 ? "n" : null}, h)))),
    el("tbody", {}, evaluation.mistakes.map(m => el("tr", {}, el("td", {}, marked(m.text)), el("td", {}, labels[m.label]), el("td", {class: "missed"}, labels[m.answer]), el("td", {class: "n"}, m.probability.toFixed(2)), el("td", {class: "n"}, m.right.toFixed(2))))));
  section("evaluation", "Evaluation", `The best checkpoint on ${text(evaluation.examples)} ${evaluation.split} examples it has never seen: ${(100 * evaluation.accuracy).toFixed(1)} % right.`,
    el("div", {class: "grid"},
       el("div", {class: "card scroll"}, el("h3", {}, "Per class"), table, el("p", {class: "note"}, "Precision: how often an answer is right; recall: how much of a class is found; F1: their harmonic mean.")),
       el("div", {class: "card scroll"}, el("h3", {}, "Confusion"), matrix, el("p", {class: "note"}, "Rows are what is right, columns what was answered; the diagonal is where both agree."))),
    evaluation.wrong > 0 && el("div", {class: "card scroll", style: "margin-top:1rem"}, el("h3", {}, evaluation.wrong > evaluation.mistakes.length ? `The ${evaluation.mistakes.length} surest of ${evaluation.wrong} mistakes` : `All ${evaluation.wrong} mistakes, the surest first`), mistakes));
}

function showNorms(norms) {
  if (!norms) return;
  const end = list => list ? text(list[list.length - 1]) : "–";
  const rows = Object.keys(norms.weight).map(name => el("tr", {}, el("td", {}, el("code", {}, name)),
    el("td", {}, sparkline(norms.weight[name], "var(--Q)")), el("td", {class: "n"}, end(norms.weight[name])),
    el("td", {}, sparkline(norms.gradient[name] || [], "var(--K)")), el("td", {class: "n"}, end(norms.gradient[name]))));
  section("norms", "Weights and gradients", "The length of each parameter and of its gradient, from evaluation to evaluation; each small curve has a scale of its own.",
    el("details", {class: "card scroll", open: rows.length <= 40}, el("summary", {}, `${rows.length} parameters`),
       el("table", {}, el("thead", {}, el("tr", {}, ["parameter", "weight", "last", "gradient", "last"].map((h, i) => el("th", {class: i === 2 || i === 4 ? "n" : null}, h)))), el("tbody", {}, rows))));
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
  const body = el("tbody", {}), given = key => key.origin && key.origin !== "default";
  let all = false;
  const more = el("button", {type: "button", "aria-pressed": "false", onclick: () => { all = !all; more.setAttribute("aria-pressed", String(all)); draw(); }}, "show defaults, too");
  function draw() {
    body.replaceChildren(...run.config.filter(k => all || given(k) || !run.config.some(given)).map(k => el("tr", {}, el("td", {}, el("code", {}, k.key)), el("td", {}, el("code", {}, k.value)),
      el("td", {}, el("span", {class: given(k) ? "pill given" : "pill"}, k.origin || "unknown")), el("td", {style: "color:var(--soft)"}, k.help))));
  }
  draw();
  const env = run.env || {};
  section("config", "Config and machine", "Every value that shaped this run, and where it was given: a file and line, the command line, or a default.",
    run.config.length > 0 && el("div", {class: "controls"}, more),
    run.config.length > 0 && el("div", {class: "card scroll"}, el("table", {}, el("thead", {}, el("tr", {}, ["key", "value", "from", "meaning"].map(h => el("th", {}, h)))), body)),
    run.env && el("div", {class: "card scroll", style: "margin-top:1rem"}, el("table", {}, el("tbody", {}, Object.entries(env).map(([k, v]) => el("tr", {}, el("th", {}, k), el("td", {}, el("code", {}, Array.isArray(v) ? v.join(" ") : String(v)))))))));
}

function main() {
  const run = data.runs[0], film = data.film;
  showSummary(data);
  if (data.runs.length > 1) document.getElementById("main").append(el("p", {class: "note"}, `Curves are those of all runs; everything else is of ${run.name}.`));
  const examples = film && film.texts.length ? film.texts : data.evaluation ? data.evaluation.mistakes : [];
  showModel(data.model, examples.map(t => t.text));
  showFilm(film);
  showAttention(film);
  showCurves(data.runs);
  showEvaluation(data.evaluation);
  showNorms(run.norms);
  showSeconds(run);
  showConfig(run);
  document.getElementById("main").append(el("p", {class: "note", style: "margin-top:3rem"}, `Made by qkv ${data.version} from the files of the run; this page needs no network.`));
}
main();
