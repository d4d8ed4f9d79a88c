// What several runs have in common and what tells them apart: parts that work on any list of runs, growing ones too.
//
//   curveGrid() -> {node, update(runs)}: a chart for each metric of the runs, with the levels of its metric
//   comparison() -> {node, update(runs)}: final numbers; runs that differ in the seed alone are one row with its noise
//   A run: {name, curves: {metric: {split: {x, y}}}, levels, start, result, best, config: [{key, value, origin}]}; only the name
//   must be there. `colours` of update, a function of the position, is runColour unless given.

const kFirst = ["loss", "accuracy", "exact_match", "macro_f1", "bits_per_char", "perplexity", "bleu", "chrf"];
const rank = name => kFirst.indexOf(name) + 1 || 99;
const metricsOf = runs => [...new Set(runs.flatMap(run => Object.keys(run.curves || {})))].sort((a, b) => rank(a) - rank(b));

// Of one run, training and validation; of several, a colour each, and training dashed.
function seriesOf(runs, metric, colours = runColour) {
  const one = runs.length === 1;
  return runs.flatMap((run, i) => Object.entries((run.curves || {})[metric] || {}).map(([split, curve]) => ({
    name: one ? splitTitle(split) : `${run.name}, ${splitTitle(split)}`, key: one ? null : run.name, x: curve.x, y: curve.y,
    colour: !one ? colours(i) : split === "val" ? "var(--K)" : "var(--Q)", dash: split === "train" && !one ? "4 3" : null})));
}

// The levels of a metric that all of these runs share.
function levelsOf(runs, metric) {
  const same = (a, b) => a.name === b.name && a.metric === b.metric && Math.abs(a.value - b.value) <= 1e-6 * Math.abs(a.value);
  const [first, ...rest] = runs.map(run => run.levels || []);
  return (first || []).filter(level => level.metric === metric && rest.every(list => list.some(other => same(level, other))));
}

function curveGrid() {
  const node = el("div", {class: "grid"}), charts = new Map();
  return {node, update(runs, colours) {
    const metrics = metricsOf(runs);
    for (const [metric, chart] of charts) chart.node.hidden = !metrics.includes(metric);
    metrics.forEach(metric => {
      const series = seriesOf(runs, metric, colours), levels = levelsOf(runs, metric);
      if (charts.has(metric)) {
        charts.get(metric).update(series, levels);
        return;
      }
      charts.set(metric, lineChart(metricTitle(metric), series, levels));
      const next = [...charts.keys()].filter(other => rank(other) > rank(metric))[0];
      node.insertBefore(charts.get(metric).node, next ? charts.get(next).node : null);
    });
  }};
}

// ---- final numbers

// {split, step, values: {metric: number}}: those of the best checkpoint, or what there is so far.
function finalOf(run) {
  const numbers = record => Object.fromEntries(Object.entries(record).filter(([key, v]) => typeof v === "number" && key !== "step"));
  for (const split of ["test", "val"])
    if (run.result && run.result[split]) return {split, values: numbers(run.result[split])};
  if (run.best) return {split: run.best.split || "val", step: run.best.step, values: numbers(run.best)};
  const values = {};
  for (const [metric, splits] of Object.entries(run.curves || {}))
    if (splits.val && typeof splits.val.y[splits.val.y.length - 1] === "number") values[metric] = splits.val.y[splits.val.y.length - 1];
  return {split: "val", values};
}

// [{runs, keys: Map of key to value, given: keys that are set}]: runs whose configs are the same but for the seed and for what does not change results.
function groupsOf(runs) {
  const kSame = ["run.name", "run.seed", "run.out_dir", "run.threads"], groups = new Map();
  for (const run of runs) {
    const keys = (run.config || []).filter(one => !kSame.includes(one.key)).map(one => [one.key, one.value]);
    const name = keys.length ? JSON.stringify(keys) : `run ${run.name}`;
    const given = (run.config || []).filter(one => one.origin !== "default").map(one => one.key);
    if (!groups.has(name)) groups.set(name, {runs: [], keys: new Map(keys), given});
    groups.get(name).runs.push(run);
  }
  return [...groups.values()];
}
const mean = list => list.reduce((a, b) => a + b, 0) / list.length;
const deviation = list => list.length < 2 ? NaN : Math.sqrt(list.reduce((sum, v) => sum + (v - mean(list)) ** 2, 0) / (list.length - 1));

// Keys that someone has set and that not all groups have the same value of.
const varied = groups => [...new Set(groups.flatMap(g => g.given.filter(key => g.keys.has(key))))].filter(key => new Set(groups.map(g => g.keys.get(key))).size > 1);

// Difference of the means of two lists and its standard error; the noise of single runs is that of all groups.
function difference(list, first, noise) {
  const spread = l => (Number.isFinite(deviation(l)) ? deviation(l) : noise) ** 2 / l.length;
  return {by: mean(list) - mean(first), error: Math.sqrt(spread(list) + spread(first))};
}

// One row a group: a dot for each run, a line from a deviation below the mean to one above it.
function dotPlot(title, groups, values, colours) {
  const W = 440, L = 10, R = 10, row = 38, H = groups.length * row + 40, all = values.flat();
  let low = Math.min(...all), high = Math.max(...all);
  const room = (high - low || Math.abs(low) || 1) * 0.06;
  low -= room, high += room;
  const x = v => L + (v - low) / (high - low) * (W - L - R), at = ticks(low, high, 6), texts = tickTexts(at);
  return svg("svg", {viewBox: `0 0 ${W} ${H}`, class: "dots", role: "img", "aria-label": `${title} of each run: ${groups.map((g, i) => `${g.name} ${values[i].map(metricText).join(", ")}`).join("; ")}`},
    svg("title", {}, title),
    at.map((v, i) => [svg("line", {class: "axis", x1: x(v), x2: x(v), y1: 4, y2: H - 34}), svg("text", {x: x(v), y: H - 20, "text-anchor": "middle"}, texts[i])]),
    svg("text", {x: (L + W - R) / 2, y: H - 4, "text-anchor": "middle"}, title),
    groups.map((g, i) => {
      const y = (i + 0.7) * row, m = mean(values[i]), s = deviation(values[i]) || 0;
      return [svg("text", {class: "word", x: L, y: y - 12}, g.name.length > 60 ? g.name.slice(0, 59) + "…" : g.name),
              s > 0 && svg("line", {class: "line", x1: x(m - s), x2: x(m + s), y1: y, y2: y, style: `stroke:${colours(i)}`}),
              svg("line", {class: "line", x1: x(m), x2: x(m), y1: y - 8, y2: y + 8, style: `stroke:${colours(i)}`}),
              values[i].map(v => svg("circle", {cx: x(v), cy: y, r: 4, style: `fill:${colours(i)};fill-opacity:.7`}, svg("title", {}, metricText(v))))];
    }));
}

function comparison() {
  const node = el("div", {});
  const cell = list => [metricText(mean(list)), list.length > 1 && el("span", {class: "soft"}, ` ± ${metricText(deviation(list))}`)];
  return {node, update(runs, colours = runColour) {
    const groups = groupsOf(runs), all = varied(groups), keys = all.length <= 3 ? all : [], shown = runs.map(finalOf), final = run => shown[runs.indexOf(run)];
    for (const g of groups) g.name = g.runs.length > 1 ? `${g.runs[0].name} and ${g.runs.length - 1} like it` : g.runs[0].name;
    const metrics = [...new Set(shown.flatMap(f => Object.keys(f.values)))].sort((a, b) => rank(a) - rank(b)).slice(0, 6);
    const wanted = runs.length && (runs[0].start || {}).metric, main = metrics.includes(wanted) ? wanted : metrics[0];
    if (!main) {
      node.replaceChildren(el("p", {class: "note"}, "None of these runs has been evaluated yet."));
      return;
    }
    const values = (g, metric) => g.runs.map(run => final(run).values[metric]).filter(Number.isFinite), first = values(groups[0], main);
    const noises = groups.map(g => deviation(values(g, main))).filter(Number.isFinite), noise = noises.length ? Math.sqrt(mean(noises.map(s => s * s))) : NaN;
    const against = g => {
      if (g === groups[0] || !first.length || !values(g, main).length) return el("td", {class: "n"}, "–");
      const {by, error} = difference(values(g, main), first, noise), better = by < 0 === lowerIsBetter(main), clear = Math.abs(by) > 2 * error;
      return el("td", {class: clear ? (better ? "n met" : "n missed") : "n"}, `${by < 0 ? "−" : "+"}${metricText(Math.abs(by))}`, Number.isFinite(error) && el("span", {class: "soft"}, ` ± ${metricText(error)}`));
    };
    const value = (g, key) => el("code", {}, g.keys.has(key) ? g.keys.get(key) : "–");
    const head = ["runs", ...keys.map(key => el("code", {}, key)), ...metrics.map(metricTitle), groups.length > 1 && `${metricTitle(main)} against the first`].filter(Boolean);
    const table = el("table", {}, el("caption", {}, `Final numbers, ${[...new Set(shown.map(f => splitTitle(f.split)))].join(" and ")} split`),
      el("thead", {}, el("tr", {}, head.map((h, i) => el("th", {scope: "col", class: i > keys.length ? "n" : null}, h)))),
      el("tbody", {}, groups.map(g => el("tr", {}, el("th", {scope: "row"}, g.name), keys.map(key => el("td", {}, value(g, key))),
        metrics.map(metric => el("td", {class: "n"}, values(g, metric).length ? cell(values(g, metric)) : "–")), groups.length > 1 && against(g)))));
    const words = noises.length
      ? `± is the standard deviation of the seeds; of the difference it is the standard error. A difference in colour is more than twice its error${groups.some(g => g.runs.length === 1) ? "; a single run is given the noise of the others" : ""}.`
      : "Each row is one run: differences smaller than the noise of the seed mean nothing. Several seeds show that noise: qkv train CONFIG --seeds 5.";
    const differences = all.length > keys.length && groups.length <= 6 && el("div", {class: "next"}, scrollCard("what differs",
      dataTable("What differs", ["key", ...groups.map(g => g.name)], [], all.map(key => [el("code", {}, key), ...groups.map(g => value(g, key))]))));
    const drawn = groups.filter(g => values(g, main).length);
    node.replaceChildren(...[scrollCard("final numbers", table, el("p", {class: "note"}, words)), differences,
      el("div", {class: "card next"}, el("h3", {}, `${metricTitle(main)} of each run`),
         dotPlot(metricTitle(main), drawn, drawn.map(g => values(g, main)), i => colours(runs.indexOf(drawn[i].runs[0]))))].filter(Boolean));
  }};
}
