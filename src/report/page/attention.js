// Attention from token to token, as lines and as a matrix.

const kDrawn = 40;  // more words than that are no picture

// What can be drawn: {target, cut, layers: [{name, heads, queries: [words], keys: [words], weight(h, t, s)}]}; `cut`: how many
// words before them are left out.
function recordedAttention(film, i) {
  const {words, target} = film.texts[i];
  return {target, cut: 0, layers: film.attention[i].map(layer => {
    const T = layer.words, all = unpack(layer.all, layer.heads * T * T, 1, film.bits), own = words.slice(0, T);
    return {name: layer.layer, heads: layer.heads, queries: own, keys: own, weight: (h, t, s) => all[(h * T + t) * T + s]};
  })};
}
// The last words of an answer (model.js) and their attention.
function answeredAttention(answer) {
  const cut = Math.max(0, answer.words.length - kDrawn), sourceCut = Math.max(0, (answer.source || []).length - kDrawn);
  const source = (answer.source || []).slice(sourceCut), words = answer.words.slice(cut), side = which => which === "source" ? [source, sourceCut] : [words, cut];
  return {target: answer.target - cut, cut: cut + sourceCut, layers: answer.attention.map(layer => {
    const [queries, t0] = side(layer.queries), [keys, s0] = side(layer.keys);
    return {name: layer.layer, heads: layer.heads, queries, keys, weight: (h, t, s) => layer.weights[h][t + t0][s + s0]};
  })};
}

// "decoder, layer 2, to the source"
function layerTitle(name) {
  const part = /^(encoder|decoder)\./.exec(name), number = /\d+/.exec(name);
  return [part && part[1], number ? `layer ${number[0]}` : name, name.endsWith("cross_attn") && "to the source"].filter(Boolean).join(", ");
}

// A word as it is drawn: spaces are made visible.
const visible = word => word.replace(/^[ \u0120]/, "␣").replace(/[\n\u010a]/g, "↵");

function attentionView(id, source) {
  let chosen = source(), layer = Math.max(0, chosen.layers.map(l => l.name.endsWith("cross_attn")).lastIndexOf(true)), head = -1, pinned = null;
  const lines = el("div", {class: "card"}), matrix = el("div", {class: "card"});
  const pickers = el("div", {class: "controls"});
  const current = () => chosen.layers[Math.min(layer, chosen.layers.length - 1)];
  const weight = (t, s) => {
    const l = current();
    if (head >= 0) return l.weight(Math.min(head, l.heads - 1), t, s);
    let sum = 0;
    for (let h = 0; h < l.heads; h++) sum += l.weight(h, t, s);
    return sum / l.heads;
  };

  function drawLines() {
    const {queries, keys} = current(), n = Math.max(queries.length, keys.length), gap = n > 20 ? 15 : 24, W = 460, left = 150, right = 310, H = n * gap + 26;
    const curves = svg("g", {}), words = svg("g", {});
    const show = row => {
      curves.replaceChildren();
      for (let t = 0; t < queries.length; t++)
        for (let s = 0; s < keys.length; s++) {
          const w = weight(t, s);
          if (w < 0.02 || (row !== null && t !== row)) continue;
          const y1 = t * gap + 36, y2 = s * gap + 36, middle = (left + right) / 2;
          curves.append(svg("path", {class: "line", d: `M${left} ${y1}C${middle} ${y1} ${middle} ${y2} ${right} ${y2}`,
                                     style: `stroke:var(--accent);stroke-width:${(0.6 + 5 * w).toFixed(2)}px;opacity:${Math.min(1, 0.1 + 0.9 * Math.sqrt(w)).toFixed(3)}`}));
          if (row !== null) curves.append(svg("text", {x: W - 4, y: y2 + 4, "text-anchor": "end"}, w.toFixed(3)));
        }
    };
    words.append(svg("text", {x: left - 8, y: 14, "text-anchor": "end"}, "query"), svg("text", {x: right + 8, y: 14}, "key"));
    keys.forEach((word, s) => words.append(svg("text", {x: right + 8, y: s * gap + 40, class: "word", style: keys === queries && s === chosen.target ? "font-weight:650" : ""}, visible(word).slice(0, 14))));
    for (let t = 0; t < queries.length; t++) {
      const y = t * gap + 40, bold = t === chosen.target ? "font-weight:650" : "";
      const query = svg("text", {x: left - 8, y, class: "word", "text-anchor": "end", style: bold + ";cursor:pointer", tabindex: 0, role: "button",
                                 "aria-label": `attention of ${queries[t]}`}, visible(queries[t]).slice(0, 20));
      const pin = () => { pinned = pinned === t ? null : t; show(pinned); };
      query.addEventListener("pointerenter", () => show(t));
      query.addEventListener("pointerleave", () => show(pinned));
      query.addEventListener("click", pin);
      query.addEventListener("keydown", event => { if (event.key === "Enter" || event.key === " ") event.preventDefault(), pin(); });
      words.append(query);
    }
    if (pinned === undefined || pinned >= queries.length) pinned = null;
    show(pinned);
    lines.replaceChildren(el("h3", {}, "From token to token"), svg("svg", {viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": "attention lines"}, curves, words),
                          el("p", {class: "note"}, "Point at a word on the left, or select it, to see only its attention; thicker means more weight."));
  }

  function drawMatrix() {
    const {queries, keys} = current(), n = Math.max(queries.length, keys.length), cell = Math.max(11, Math.min(30, 320 / n)), edge = 92;
    const cells = svg("g", {}), bold = t => keys === queries && t === chosen.target ? "font-weight:650" : "";
    keys.forEach((word, s) => cells.append(svg("text", {transform: `translate(${edge + s * cell + cell / 2 + 3} ${edge - 6}) rotate(-55)`, style: "fill:var(--ink);" + bold(s)}, visible(word).slice(0, 12))));
    for (let t = 0; t < queries.length; t++) {
      for (let s = 0; s < keys.length; s++) {
        const w = weight(t, s);
        cells.append(svg("rect", {x: edge + s * cell, y: edge + t * cell, width: cell - 1, height: cell - 1, rx: 2,
                                  style: `fill:color-mix(in srgb, var(--accent) ${(100 * Math.sqrt(w)).toFixed(1)}%, var(--wash))`,
                                  onpointermove: event => showTip(event, `${visible(queries[t])} → ${visible(keys[s])}\n${w.toFixed(3)}`), onpointerleave: hideTip}));
      }
      cells.append(svg("text", {x: edge - 6, y: edge + t * cell + cell / 2 + 4, "text-anchor": "end", style: "fill:var(--ink);" + bold(t)}, visible(queries[t]).slice(0, 13)));
    }
    matrix.replaceChildren(el("h3", {}, "As a matrix"), svg("svg", {viewBox: `0 0 ${edge + keys.length * cell + 38} ${edge + queries.length * cell + 4}`, role: "img", "aria-label": "attention matrix"}, cells),
                           el("p", {class: "note"}, "Each row is a query and adds up to 1; the stronger its colour, the more of that word's value goes into the row's new vector."));
  }

  const draw = () => { drawLines(); drawMatrix(); };
  function choose() {
    layer = Math.min(layer, chosen.layers.length - 1);
    const heads = ["mean of all heads", ...Array.from({length: current().heads}, (_, h) => `head ${h}`)];
    head = Math.min(head, current().heads - 1);
    pickers.replaceChildren(
      select("Layer", id + "-layer", chosen.layers.map(l => layerTitle(l.name)), v => { layer = v; choose(); }),
      select("Head", id + "-head", heads, v => { head = v - 1; draw(); }));
    pickers.querySelector(`#${id}-layer`).value = layer;
    pickers.querySelector(`#${id}-head`).value = head + 1;
    draw();
  }
  function update() {
    chosen = source();
    pinned = chosen.target >= 0 ? chosen.target : null;
    choose();
  }
  update();
  return {node: el("div", {id}, pickers, el("div", {class: "grid"}, lines, matrix)), update};
}

function showAttention(film, faithful) {
  if (!film || !film.attention.some(layers => layers.length)) return;
  let chosen = 0;
  const view = attentionView("attention-view", () => recordedAttention(film, chosen));
  section("attention", "Attention",
          `The attention of each word, after training (step ${text(film.steps[film.steps.length - 1])}).`,
          el("div", {class: "controls"}, select("Sentence", "attention-text", film.attention.map((_, i) => tidy(film.texts[i].text).slice(0, 90)), i => { chosen = i; view.update(); })),
          view.node, faithfulNote(faithful));
}
