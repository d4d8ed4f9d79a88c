// The heads of the model in the film: how much the answers need each, what it attends to, which read from which.

// {card, show(step)}; null where no heads were scored.
function circuitsCard(circuits) {
  if (!circuits) return null;
  const layers = [...new Set(circuits.heads.map(one => one.layer))], columns = Math.max(...circuits.heads.map(one => one.head)) + 1;
  const W = Math.max(420, 84 * columns), H = 92 * layers.length + 16, X = head => (head + .5) * W / columns, Y = layer => H - 56 - 92 * layers.indexOf(layer);
  const most = Math.max(1e-9, ...[...circuits.ablation.flat(), ...circuits.groups.flat().map(g => g.cut / g.heads.length)].filter(Number.isFinite)), size = cost => Math.sqrt(Math.max(0, cost) / most);
  const roles = [...new Set(circuits.dated.filter(c => c.heads.length).map(c => c.role))], colour = role => role ? classColour(roles.indexOf(role)) : "var(--soft)";
  const titles = (text, title) => text.split(" > ").map(title).join(" → ");
  const lines = svg("g", {}), circles = svg("g", {}), table = el("div", {}), note = el("p", {class: "note"});
  const card = el("div", {class: "card next", id: "circuits"}, el("h3", {}, "What the answers need of each head"),
    svg("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "heads and what they do through each other", style: `max-width:${W}px`}, lines, circles), note, el("div", {style: "margin-top:.75rem"}, scrollCard("circuits in time", table)));
  const tip = words => ({onpointermove: event => showTip(event, words), onpointerleave: hideTip});
  return {card, show(step) {
    let k = 0;
    while (k + 1 < circuits.steps.length && circuits.steps[k + 1] <= step) k++;
    const groups = circuits.groups[k].filter(g => circuits.dated.some(c => c.layer === g.layer && c.role === g.role)), named = name => groups.find(g => `${g.layer} ${g.role}` === name);
    lines.replaceChildren(...circuits.paths[k].flatMap(({from, to, patching}) => {
      const a = named(from), b = named(to);
      if (!a || !b) return [];
      return a.heads.flatMap(h => b.heads.map(g => svg("path", {d: `M${X(h)} ${Y(a.layer)} C${X(h)} ${Y(a.layer) - 46} ${X(g)} ${Y(b.layer) + 46} ${X(g)} ${Y(b.layer)}`,
        style: `fill:none;stroke:var(--accent);stroke-opacity:.5;stroke-width:${(1 + 7 * size(patching / a.heads.length / b.heads.length)).toFixed(1)}`, ...tip(`${a.role} through ${b.role}: ${metricText(patching)} nats`)})));
    }));
    circles.replaceChildren(...circuits.heads.map(({layer, head}, i) => {
      const x = X(head), y = Y(layer), alone = circuits.ablation[k][i], group = groups.find(g => g.layer === layer && g.heads.includes(head)), role = group ? group.role : "";
      return svg("g", tip(`${layerTitle(layer)}, head ${head}: ${role || "no role"}; the loss gains ${metricText(alone)} without it` + (group && group.heads.length > 1 ? `, ${metricText(group.cut)} without all ${group.heads.length} heads of its role` : "")),
        svg("circle", {cx: x, cy: y, r: 26, style: "fill:var(--wash)"}),
        svg("circle", {cx: x, cy: y, r: (3 + 23 * size(Math.max(alone, group ? group.cut / group.heads.length : 0))).toFixed(1), style: `fill:${colour(role)}`}),
        svg("text", {x, y: y + 40, "text-anchor": "middle", style: "paint-order:stroke;stroke:var(--card);stroke-width:4px"}, role));
    }));
    note.textContent = `As scored at step ${text(circuits.steps[k])}; layers from the bottom up. The area of a circle is what the loss gains without the head, or its share of what it gains without all heads of its role; the largest is ${metricText(most)} nats. A line is what heads do for the answers through later ones.`;
    table.replaceChildren(dataTable(null, ["what it attends to", "layer", "heads", "born", "grown", "gone", "costs"], ["born", "grown", "gone", "costs"],
      circuits.dated.map(c => [el("span", {style: c.born <= step && (c.gone === null || step < c.gone) ? `font-weight:600;color:${c.heads.length ? colour(c.role) : "var(--accent)"}` : "color:var(--soft)"}, c.role.replaceAll(" > ", " → ")),
        titles(c.layer, layerTitle), c.heads.join(", ") || "–", text(c.born), text(c.grown), c.gone === null ? "–" : text(c.gone), metricText(c.effect)])));
  }};
}
