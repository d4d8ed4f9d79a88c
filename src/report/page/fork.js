// A fork beside the run that it left: both courses, and what the change did to each example and each head, beside what another
// order of the examples does.
//
//   fork: {of, at, changes, first_difference, verdict, metric, course: [[step, value]..] of each seed,
//          examples, asked, heads: [{original, fork, low, high, and text or head}]}

const kForkRows = 20;
// Whether the change is larger than any that another order of the examples makes.
const beyond = row => Math.abs(row.fork - row.original) > Math.max(row.high - row.original, row.original - row.low);

// One row each: by how much the fork differs from the run, and the band of the seeds.
function forkPlot(title, rows, name, axis) {
  const W = 460, L = 10, R = 10, height = 34, shown = rows.filter(row => [row.original, row.fork, row.low, row.high].every(Number.isFinite)).slice(0, kForkRows);
  const H = shown.length * height + 40, all = [0, ...shown.flatMap(row => [row.low, row.high, row.fork].map(v => v - row.original))];
  const room = (Math.max(...all) - Math.min(...all) || 1) * 0.04, low = Math.min(...all) - room, high = Math.max(...all) + room;
  const x = v => L + (v - low) / (high - low) * (W - L - R), at = ticks(low, high, 5), texts = tickTexts(at);
  const words = row => `${name(row)}\nrun ${metricText(row.original)}, fork ${metricText(row.fork)}, seeds ${metricText(row.low)} … ${metricText(row.high)}`;
  return svg("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}: ${shown.map(words).join("; ")}`},
    at.map((v, i) => [svg("line", {class: "axis", x1: x(v), x2: x(v), y1: 4, y2: H - 34}), svg("text", {x: x(v), y: H - 20, "text-anchor": "middle"}, texts[i])]),
    svg("text", {x: W / 2, y: H - 4, "text-anchor": "middle"}, axis),
    shown.map((row, i) => {
      const y = (i + 0.75) * height, label = name(row), from = x(row.low - row.original), to = x(row.high - row.original);
      return svg("g", {onpointermove: event => showTip(event, words(row)), onpointerleave: hideTip},
        svg("rect", {x: 0, width: W, y: y - height * 0.75, height, fill: "transparent"}),
        svg("text", {class: "word", x: L, y: y - 9}, label.length > 62 ? label.slice(0, 61) + "…" : label),
        svg("rect", {x: from, width: Math.max(1, to - from), y: y - 4, height: 8, rx: 4, fill: "var(--rule)"}),
        svg("line", {class: "line", x1: x(0), x2: x(0), y1: y - 7, y2: y + 7, style: `stroke:${runColour(1)}`}),
        svg("circle", {cx: x(row.fork - row.original), cy: y, r: 4.5, style: `fill:${beyond(row) ? runColour(0) : "var(--card)"};stroke:${runColour(0)};stroke-width:1.5`}));
    }));
}

function showFork(fork, runs) {
  if (!fork) return;
  const curve = run => ((run.curves || {})[fork.metric] || {}).val || {x: [], y: []}, n = fork.course.length;
  const series = [...fork.course.map((points, i) => ({name: `seed ${i + 1}`, key: "in another order", x: points.map(p => p[0]), y: points.map(p => p[1]), colour: "var(--c7)", dash: "2 3"})),
                  ...runs.slice(0, 2).map((run, i) => ({name: run.name, ...curve(run), colour: runColour(i)})).reverse()];
  const changes = fork.changes.length ? fork.changes.map(change => [el("code", {}, change), "; "]) : "nothing was changed; ";
  const first = fork.verdict;
  const card = (title, kind, name, axis, note) => fork[kind].length > 0 && el("div", {class: "card next"}, el("h3", {}, title), forkPlot(title, fork[kind], name, axis),
    el("p", {class: "note"}, `${note} ${n ? `Bands: ${text(n)} futures in another order. ${text(fork[kind].filter(beyond).length)} of ${text(fork[kind].length)} changed more than in any of these (filled dots).` : ""}`));
  const example = row => (row.label ? row.label + ": " : "") + tidy(row.text);
  section("fork", "Two futures", null, el("p", {class: "lead"}, `Up to step ${text(fork.at)}, ${runs[0].name} is ${fork.of}, bit by bit. From there on: `, changes, first),
    el("div", {class: "grid"}, el("div", {}, lineChart(`${metricTitle(fork.metric)}, validation`, series).node,
      card("The texts that were asked", "asked", example, "change of log-odds", `Of the answer that ${fork.of} gives, after the last step.`),
      card("The heads", "heads", row => row.head, "change of its worth", "What a head is worth: how much the validation loss grows when it is cut out, after the last step.")),
      el("div", {style: "margin-top:-1rem"}, card("The examples that changed most", "examples", example, "change of log-odds", "Of the right answer to validation examples, after the last step."))));
}
