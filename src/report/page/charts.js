// Curves over training steps: drag to zoom, double-click or Escape to see all, arrows and + - on the keyboard.

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find(u => u * power >= rough) * power;
  const list = [];
  for (let i = Math.ceil(low / unit - 1e-9); i * unit <= high + unit * 1e-9; i++) list.push(Number((i * unit).toPrecision(12)));
  return list;
}

// Labels of an axis have one form, with as many digits as tell them apart.
function tickTexts(values) {
  const step = values.length > 1 ? values[1] - values[0] : 1, most = Math.max(...values.map(Math.abs));
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  if (step >= 1e-4 && most < 1e6) return values.map(v => v.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits}));
  return values.map(v => v === 0 ? "0" : v.toExponential(Math.max(0, Math.floor(Math.log10(Math.abs(v)) + 1e-9) - Math.floor(Math.log10(step) + 1e-9))));
}

function nearest(xs, x) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle; else high = middle;
  }
  return Math.abs(xs[high] - x) < Math.abs(x - xs[low]) ? high : low;
}

// series: [{name, x, y, colour, dash}]
function lineChart(title, series) {
  const W = 340, H = 200, L = 44, R = 8, T = 8, B = 24;
  series = series.map(s => ({...s, y: s.y.map(v => typeof v === "number" ? v : NaN)}));
  const whole = [Math.min(...series.map(s => s.x[0])), Math.max(...series.map(s => s.x[s.x.length - 1]))];
  if (whole[0] === whole[1]) whole[1]++;
  let range = [...whole], scale = null;
  const plot = svg("g", {}), cursor = svg("g", {});
  const shade = svg("rect", {y: T, height: H - T - B, fill: "var(--accent)", opacity: 0.14, width: 0});
  const node = svg("svg", {viewBox: `0 0 ${W} ${H}`, class: "chart", tabindex: 0, role: "img",
                           "aria-label": `${title}: ${series.map(s => `${s.name} ends at ${text(s.y[s.y.length - 1])}`).join(", ")}`},
                   plot, shade, cursor);

  function draw() {
    let low = Infinity, high = -Infinity;
    for (const s of series)
      s.x.forEach((x, i) => {
        if (x >= range[0] && x <= range[1] && Number.isFinite(s.y[i])) low = Math.min(low, s.y[i]), high = Math.max(high, s.y[i]);
      });
    if (!(low <= high)) low = 0, high = 1;
    if (low === high) low -= Math.abs(low) * 0.1 + 1e-9, high += Math.abs(high) * 0.1 + 1e-9;
    const pad = (high - low) * 0.04;
    low -= pad, high += pad;
    scale = {x: v => L + (v - range[0]) / (range[1] - range[0]) * (W - L - R),
             y: v => H - B - (v - low) / (high - low) * (H - T - B),
             step: px => range[0] + (px - L) / (W - L - R) * (range[1] - range[0])};
    const id = "clip" + (lineChart.count = (lineChart.count || 0) + 1);
    const ys = ticks(low, high, 5), yTexts = tickTexts(ys), xs = ticks(range[0], range[1], 5), xTexts = tickTexts(xs);
    plot.replaceChildren(
      svg("clipPath", {id}, svg("rect", {x: L, y: T - 2, width: W - L - R, height: H - T - B + 4})),
      ...ys.map((v, i) => [svg("line", {class: "axis", x1: L, x2: W - R, y1: scale.y(v), y2: scale.y(v)}),
                                       svg("text", {x: L - 6, y: scale.y(v) + 4, "text-anchor": "end"}, yTexts[i])]).flat(),
      ...xs.map((v, i) => svg("text", {x: scale.x(v), y: H - 6, "text-anchor": "middle"}, xTexts[i])));
    const lines = svg("g", {"clip-path": `url(#${id})`});
    for (const s of series) {
      let d = "", pen = false;
      s.x.forEach((x, i) => {
        if (!Number.isFinite(s.y[i])) { pen = false; return; }
        d += `${pen ? "L" : "M"}${scale.x(x).toFixed(1)} ${scale.y(s.y[i]).toFixed(1)}`;
        pen = true;
      });
      lines.append(svg("path", {class: "line", d, style: `stroke:${s.colour}`, "stroke-dasharray": s.dash}));
      if (s.x.length === 1) lines.append(svg("circle", {cx: scale.x(s.x[0]), cy: scale.y(s.y[0]), r: 3, style: `fill:${s.colour}`}));
    }
    plot.append(lines);
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
      words.push(`${s.name}  ${text(s.y[i])}${s.x[i] !== shown ? `  (step ${text(s.x[i])})` : ""}`);
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
  const finish = event => {
    const end = Math.max(L, Math.min(W - R, at(event)));
    if (start !== null && Math.abs(end - start) > 8) zoom(scale.step(Math.min(start, end)), scale.step(Math.max(start, end)));
    start = null;
    shade.setAttribute("width", 0);
  };
  node.addEventListener("pointerup", finish);
  node.addEventListener("pointerleave", () => { start = null; shade.setAttribute("width", 0); cursor.replaceChildren(); hideTip(); });
  node.addEventListener("dblclick", () => zoom(...whole));
  node.addEventListener("keydown", event => {
    const width = range[1] - range[0], middle = (range[0] + range[1]) / 2;
    const moves = {"+": () => zoom(middle - width / 4, middle + width / 4), "-": () => zoom(middle - width, middle + width),
                   ArrowLeft: () => range[0] > whole[0] && zoom(range[0] - Math.min(width / 5, range[0] - whole[0]), range[1] - Math.min(width / 5, range[0] - whole[0])),
                   ArrowRight: () => range[1] < whole[1] && zoom(range[0] + Math.min(width / 5, whole[1] - range[1]), range[1] + Math.min(width / 5, whole[1] - range[1])),
                   Escape: () => zoom(...whole), "=": () => moves["+"]()};
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  });
  draw();
  return el("div", {class: "card"}, el("h3", {}, title), node, legend(series));
}

const legend = series => el("div", {class: "legend"}, series.map(s =>
  el("span", {}, el("i", {style: `background:${s.colour}`}), s.name)));

// A curve as small as a word.
function sparkline(values, colour) {
  const known = values.filter(v => typeof v === "number" && Number.isFinite(v));
  if (known.length === 0) return el("span", {}, "–");
  const low = Math.min(...known), high = Math.max(...known), span = high - low || 1;
  const d = values.map((v, i) => typeof v === "number" ? `${(i / Math.max(1, values.length - 1) * 118 + 1).toFixed(1)} ${(21 - (v - low) / span * 20).toFixed(1)}` : "").filter(Boolean);
  return svg("svg", {viewBox: "0 0 120 22", style: "width:7.5rem;height:1.4rem", "aria-hidden": true},
             svg("path", {class: "line", d: "M" + d.join("L"), style: `stroke:${colour}`}));
}
