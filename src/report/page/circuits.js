// The heads of the model in the film: how much the answers need each, what it attends to, which reads from which.

// Layer and head of "layers.1.attn.2".
const headPlace = name => ({layer: name.slice(0, name.lastIndexOf(".")), head: Number(name.slice(name.lastIndexOf(".") + 1))});
const headTitle = name => { const {layer, head} = headPlace(name); return `${layerTitle(layer)}, head ${head + 1}`; };
const circuitTitle = name => name.split(" > ").map(headTitle).join(" → ");

// {card, show(step)}; null where no heads were scored.
function circuitsCard(circuits) {
  if (!circuits) return null;
  const layers = [...new Set(circuits.heads.map(name => headPlace(name).layer))], places = circuits.heads.map(headPlace);
  const columns = Math.max(...places.map(p => p.head)) + 1, W = Math.max(420, 84 * columns), H = 96 * layers.length + 20;
  const most = Math.max(1e-9, ...circuits.ablation.flat().filter(Number.isFinite));
  const xy = name => { const {layer, head} = headPlace(name); return {x: (head + .5) * W / columns, y: H - 52 - 96 * layers.indexOf(layer)}; };
  const colours = [...new Set(circuits.dated.filter(c => !c.name.includes(">")).map(c => c.role))];
  const colour = role => role ? classColour(colours.indexOf(role)) : "var(--soft)";
  const lines = svg("g", {}), heads = svg("g", {}), table = el("div", {}), note = el("p", {class: "note"});
  const card = el("div", {class: "card next", id: "circuits"}, el("h3", {}, "What the answers need of each head"),
    svg("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "heads and paths between them", style: `max-width:${W}px`}, lines, heads), note, scrollCard("circuits in time", table));
  return {card, show(step) {
    let k = 0;
    while (k + 1 < circuits.steps.length && circuits.steps[k + 1] <= step) k++;
    const roles = circuits.roles[k];
    lines.replaceChildren(...circuits.paths[k].map(({from, to, patching}) => {
      const a = xy(from), b = xy(to);
      return svg("path", {d: `M${a.x} ${a.y} C${a.x} ${a.y - 48} ${b.x} ${b.y + 48} ${b.x} ${b.y}`, style: `fill:none;stroke:var(--accent);stroke-opacity:.55;stroke-width:${(1 + 9 * Math.sqrt(Math.max(0, patching) / most)).toFixed(1)}`,
        onpointermove: event => showTip(event, `${headTitle(from)} through ${headTitle(to)}: ${metricText(patching)} nats`), onpointerleave: hideTip});
    }));
    heads.replaceChildren(...circuits.heads.map((name, i) => {
      const {x, y} = xy(name), cost = circuits.ablation[k][i], role = roles[name];
      return svg("g", {onpointermove: event => showTip(event, `${headTitle(name)}: ${role || "no role"}, the loss gains ${metricText(cost)} without it`), onpointerleave: hideTip},
        svg("circle", {cx: x, cy: y, r: 26, style: "fill:var(--wash)"}),
        svg("circle", {cx: x, cy: y, r: (3 + 23 * Math.sqrt(Math.max(0, cost) / most)).toFixed(1), style: `fill:${colour(role)}`}),
        svg("text", {x, y: y + 42, "text-anchor": "middle"}, role || ""));
    }));
    note.textContent = `As scored at step ${text(circuits.steps[k])}; layers from the bottom up. The area of a circle is what the loss gains when the mean output of the head takes the place of its output, ${metricText(most)} nats for the largest. A line is what a head does for the answers through another one.`;
    table.replaceChildren(dataTable(null, ["what it attends to", "head", "born", "grown", "gone", "costs", "cut"], ["born", "grown", "gone", "costs", "cut"],
      circuits.dated.map(c => [el("span", {style: c.born <= step && (c.gone === null || step < c.gone) ? `font-weight:600;color:${c.name.includes(">") ? "var(--accent)" : colour(c.role)}` : "color:var(--soft)"}, c.role.replaceAll(" > ", " → ")),
        circuitTitle(c.name), text(c.born), text(c.grown), c.gone === null ? "–" : text(c.gone), metricText(c.effect), c.name.includes(">") ? "–" : metricText(c.cut)])));
  }};
}
