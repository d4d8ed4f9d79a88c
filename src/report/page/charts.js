// Curves over training steps: drag to zoom, double-click or Escape to see all, arrows and + - on the keyboard.
//
//   lineChart(title, series, levels) -> {node, update(series, levels)}
//     series: [{name, x: [..], y: [..], colour, dash, key}], x in ascending order; a y that is not a number leaves a gap;
//             those with the same `key` are one entry of the legend
//     levels: [{name, value, meaning}], drawn as named horizontal lines; may be left out
//     update: shows other or longer series in the same element, from the next frame on. A zoomed chart stays zoomed,
//     another one shows all of the run as it grows. The arrays may be the same ones with values appended.
//   curveGrid() and comparison(), which make charts and tables from runs: compare.js

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find(u => u * power >= rough * (1 - 1e-9)) * power;
  const list = [];
  for (let i = Math.ceil(low / unit - 1e-9); i * unit <= high + unit * 1e-9; i++) list.push(Number((i * unit).toPrecision(12)));
  return list;
}

// Labels of an axis have one form, with as many digits as tell them apart: the rule of tick_texts (log/number_text.h).
function tickTexts(values) {
  const power = v => Math.floor(Math.log10(Math.abs(v)) + 1e-9), most = Math.max(...values.map(Math.abs));
  const step = values.length > 1 ? values[1] - values[0] : 10 ** power(most);
  const [unit, name] = most >= 1e9 ? [1e9, "G"] : most >= 1e6 ? [1e6, "M"] : most >= 1e4 ? [1e3, "k"] : [1, ""];
  let digits = 0;
  while (digits < 7 && Math.abs((step / unit).toFixed(digits) - step / unit) > 1e-6 * step / unit) digits++;
  const plain = step >= 1e-4 * (1 - 1e-9) && most < 1e12 && digits <= 6;
  return values.map(v => v === 0 ? "0" : plain ? (v / unit).toFixed(digits) + name : exponential(v, Math.max(0, power(v) - power(step))));
}

function nearest(xs, x) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle; else high = middle;
  }
  return Math.abs(xs[high] - x) < Math.abs(x - xs[low]) ? high : low;
}

// The range of positions of a series that lie in [from, to], and one more at each side.
function within(xs, [from, to]) {
  const begin = xs.length ? nearest(xs, from) : 0, end = xs.length ? nearest(xs, to) : -1;
  return [Math.max(0, begin - 1), Math.min(xs.length - 1, end + 1)];
}

// The path of a series: of the points that fall on one column of pixels only the first, lowest, highest and last.
function pathOf(s, range, scale) {
  let d = "", pen = false, column = [];
  const [begin, end] = within(s.x, range);
  const put = i => { d += `${pen ? "L" : "M"}${scale.x(s.x[i]).toFixed(1)} ${scale.y(s.y[i]).toFixed(1)}`; pen = true; };
  const flush = () => {
    if (column.length > 4) {
      const low = column.reduce((a, b) => s.y[b] < s.y[a] ? b : a), high = column.reduce((a, b) => s.y[b] > s.y[a] ? b : a);
      column = [...new Set([column[0], low, high, column[column.length - 1]])].sort((a, b) => a - b);
    }
    column.forEach(put);
    column = [];
  };
  for (let i = begin, last = null; i <= end; i++) {
    if (!Number.isFinite(s.y[i])) { flush(); pen = false; continue; }
    const px = Math.round(scale.x(s.x[i]));
    if (px !== last) flush();
    column.push(i);
    last = px;
  }
  flush();
  return d;
}

function lineChart(title, series, levels) {
  const W = 340, H = 214, L = 46, R = 10, T = 10, B = 38;
  let whole = [0, 1], range = [0, 1], scale = null, waiting = false;
  const id = "clip" + (lineChart.count = (lineChart.count || 0) + 1);
  const plot = svg("g", {}), cursor = svg("g", {}), name = svg("title", {}), keys = el("div", {});
  const shade = svg("rect", {y: T, height: H - T - B, fill: "var(--accent)", opacity: 0.14, width: 0});
  const node = svg("svg", {viewBox: `0 0 ${W} ${H}`, class: "chart", tabindex: 0, role: "img", "aria-keyshortcuts": "+ - ArrowLeft ArrowRight Escape"}, name,
                   svg("clipPath", {id}, svg("rect", {x: L, y: T - 2, width: W - L - R, height: H - T - B + 4})), plot, shade, cursor);

  // The values seen, and levels that are not so far away that the curves would become flat.
  function heights() {
    let low = Infinity, high = -Infinity;
    for (const s of series)
      for (let [i, end] = within(s.x, range); i <= end; i++)
        if (s.x[i] >= range[0] && s.x[i] <= range[1] && Number.isFinite(s.y[i])) low = Math.min(low, s.y[i]), high = Math.max(high, s.y[i]);
    if (!(low <= high)) low = 0, high = 1;
    if (low === high) low -= Math.abs(high) * 0.1 || 1, high += Math.abs(high) * 0.1 || 1;
    const near = (high - low) * (range[0] === whole[0] && range[1] === whole[1] ? 0.6 : 0), [least, most] = [low, high];
    for (const {value} of levels)
      if (value >= least - near && value <= most + near) low = Math.min(low, value), high = Math.max(high, value);
    const pad = (high - low) * 0.05;
    return [low - pad, high + pad];
  }
  function drawLevels(low, high) {
    const seen = [];  // where names stand: at the right end, or at the left if that is taken
    return levels.filter(l => l.value >= low && l.value <= high).map(l => {
      const y = scale.y(l.value), right = seen.every(s => s.left || Math.abs(s.y - y) > 10), free = right || seen.every(s => !s.left || Math.abs(s.y - y) > 10);
      if (free) seen.push({y, left: !right});
      return [svg("line", {class: "level", x1: L, x2: W - R, y1: y, y2: y}, svg("title", {}, `${l.name} ${metricText(l.value)}: ${l.meaning || ""}`)),
              free && svg("text", {class: "level", x: right ? W - R : L + 3, y: y - 3, "text-anchor": right ? "end" : "start"}, l.name)];
    });
  }
  function draw() {
    const [low, high] = heights();
    scale = {x: v => L + (v - range[0]) / (range[1] - range[0]) * (W - L - R),
             y: v => H - B - (v - low) / (high - low) * (H - T - B),
             step: px => range[0] + (px - L) / (W - L - R) * (range[1] - range[0])};
    const ys = ticks(low, high, 5), yTexts = tickTexts(ys), xs = ticks(range[0], range[1], 5), xTexts = tickTexts(xs);
    const lines = svg("g", {"clip-path": `url(#${id})`}, series.map(s => s.x.length === 1 && Number.isFinite(s.y[0])
      ? svg("circle", {cx: scale.x(s.x[0]), cy: scale.y(s.y[0]), r: 3, style: `fill:${s.colour}`})
      : svg("path", {class: "line", d: pathOf(s, range, scale), style: `stroke:${s.colour}`, "stroke-dasharray": s.dash})));
    plot.replaceChildren(
      ...ys.flatMap((v, i) => [svg("line", {class: "axis", x1: L, x2: W - R, y1: scale.y(v), y2: scale.y(v)}),
                               svg("text", {x: L - 6, y: scale.y(v) + 4, "text-anchor": "end"}, yTexts[i])]),
      ...xs.map((v, i) => svg("text", {x: scale.x(v), y: H - B + 15, "text-anchor": "middle"}, xTexts[i])),
      svg("text", {x: (L + W - R) / 2, y: H - 5, "text-anchor": "middle"}, "step"),
      ...drawLevels(low, high).flat().filter(Boolean), lines);
  }
  function take(newSeries, newLevels) {
    const all = range[0] === whole[0] && range[1] === whole[1];
    series = newSeries.map(s => ({...s, y: s.y.map(v => typeof v === "number" ? v : NaN)})).filter(s => s.x.length);
    levels = (newLevels || []).filter(l => Number.isFinite(l.value)).sort((a, b) => b.value - a.value);
    whole = series.length ? [Math.min(...series.map(s => s.x[0])), Math.max(...series.map(s => s.x[s.x.length - 1]))] : [0, 1];
    if (whole[0] === whole[1]) whole[1]++;
    if (all) range = [...whole];
    const words = `${title} by step: ${series.map(s => `${s.name} ends at ${metricText(s.y[s.y.length - 1])}`).join(", ")}` + levels.map(l => `; ${l.name} ${metricText(l.value)}`).join("");
    node.setAttribute("aria-label", words);
    name.textContent = title;
    const entries = new Map(series.map(s => [s.key || s.name, {name: s.key || s.name, colour: s.colour}]));
    keys.replaceChildren(legend([...entries.values(), ...levels.map(l => ({name: `${l.name} ${metricText(l.value)}`, level: true}))]));
  }
  const at = event => {
    const box = node.getBoundingClientRect();
    return (event.clientX - box.left) / box.width * W;
  };
  function hover(event, px) {
    const step = scale.step(px), words = [], marks = [];
    let shown = null;
    for (const s of series) {
      const i = nearest(s.x, step);
      if (s.x[i] < range[0] || s.x[i] > range[1]) continue;
      shown = shown === null ? s.x[i] : shown;
      words.push(`${s.name}  ${metricText(s.y[i])}${s.x[i] !== shown ? `  (step ${text(s.x[i])})` : ""}`);
      if (Number.isFinite(s.y[i])) marks.push(svg("circle", {cx: scale.x(s.x[i]), cy: scale.y(s.y[i]), r: 3.5, style: `fill:${s.colour}`}));
    }
    cursor.replaceChildren(svg("line", {class: "axis", x1: px, x2: px, y1: T, y2: H - B}), ...marks);
    if (shown !== null) showTip(event, `step ${text(shown)}\n${words.join("\n")}`);
  }
  function zoom(from, to) {
    range = [Math.max(whole[0], from), Math.min(whole[1], to)];
    if (range[1] - range[0] < 1e-6 * (whole[1] - whole[0])) range = [...whole];
    cursor.replaceChildren();
    draw();
  }
  let start = null;
  node.addEventListener("pointerdown", event => { start = at(event); if (event.pointerType === "mouse") event.preventDefault(), node.focus({preventScroll: true}); });
  node.addEventListener("pointermove", event => {
    const px = Math.max(L, Math.min(W - R, at(event)));
    if (start !== null) fill(shade, {x: Math.min(px, start), width: Math.abs(px - start)}, []);
    hover(event, px);
  });
  node.addEventListener("pointerup", event => {
    const end = Math.max(L, Math.min(W - R, at(event)));
    if (start !== null && Math.abs(end - start) > 8) zoom(scale.step(Math.min(start, end)), scale.step(Math.max(start, end)));
    start = null;
    shade.setAttribute("width", 0);
  });
  node.addEventListener("pointerleave", () => { start = null; shade.setAttribute("width", 0); cursor.replaceChildren(); hideTip(); });
  node.addEventListener("dblclick", () => zoom(...whole));
  node.addEventListener("keydown", event => {
    const width = range[1] - range[0], middle = (range[0] + range[1]) / 2;
    const shift = by => zoom(range[0] + by, range[1] + by);
    const moves = {"+": () => zoom(middle - width / 4, middle + width / 4), "-": () => zoom(middle - width, middle + width), "=": () => moves["+"](),
                   ArrowLeft: () => shift(-Math.min(width / 5, range[0] - whole[0])), ArrowRight: () => shift(Math.min(width / 5, whole[1] - range[1])),
                   Escape: () => zoom(...whole)};
    if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    moves[event.key]();
  });
  take(series, levels);
  range = [...whole];
  draw();
  return {
    node: el("div", {class: "card"}, el("h3", {}, title), node, keys),
    update(newSeries, newLevels) {
      take(newSeries, newLevels);
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; draw(); });
    },
  };
}

// [{name, colour, level}]
const legend = entries => el("div", {class: "legend"}, entries.map(s =>
  el("span", {}, s.level ? el("i", {class: "level"}) : el("i", {style: `background:${s.colour}`}), s.name)));

// A curve as small as a word.
function sparkline(values, colour) {
  const known = values.filter(v => typeof v === "number" && Number.isFinite(v));
  if (known.length === 0) return el("span", {}, "–");
  const low = Math.min(...known), high = Math.max(...known), span = high - low || 1;
  const d = values.map((v, i) => typeof v === "number" ? `${(i / Math.max(1, values.length - 1) * 118 + 1).toFixed(1)} ${(21 - (v - low) / span * 20).toFixed(1)}` : "").filter(Boolean);
  return svg("svg", {viewBox: "0 0 120 22", style: "width:7.5rem;height:1.4rem", "aria-hidden": true},
             svg("path", {class: "line", d: "M" + d.join("L"), style: `stroke:${colour}`}));
}
