// Drawing the attention one wants: arrows between the words of texts that the model has read. They become a file, and a
// training of the same config with [train.attention_loss].

// A text with its arrows as arcs above the words. `pick(t)` is called with the word that is chosen, `drop(i)` with the
// arrow; `from` is the word at which an arrow begins, or -1.
function arrowPicture({words, arrows}, from, pick, drop) {
  const H = 64, widths = words.map(word => 14 + 8.2 * visible(word).length), left = widths.map((_, i) => widths.slice(0, i).reduce((a, b) => a + b, 0) + 4);
  const middle = t => left[t] + widths[t] / 2, W = left[words.length - 1] + widths[words.length - 1] + 4;
  const arcs = arrows.map(([a, b], i) => {
    const x = middle(a), y = middle(b), top = a === b ? 6 : Math.max(4, H - 14 - 0.42 * Math.abs(x - y)), d = a === b ? `M${x - 5} ${H}C${x - 22} 8 ${x + 22} 8 ${x + 5} ${H}` : `M${x} ${H}C${x} ${top} ${y} ${top} ${y} ${H - 2}`;
    return svg("g", {class: "arrow", tabindex: 0, role: "button", "aria-label": `remove the arrow from ${words[a]} to ${words[b]}`, style: "cursor:pointer", onclick: () => drop(i),
                     onkeydown: event => { if (event.key === "Enter" || event.key === " " || event.key === "Delete") event.preventDefault(), drop(i); }},
      svg("path", {class: "line", d, style: "stroke:transparent;stroke-width:12px"}), svg("path", {class: "line", d, style: "stroke:var(--accent);stroke-width:2px"}),
      svg("path", {d: a === b ? "" : `M${y - 4} ${H - 8}L${y} ${H}L${y + 4} ${H - 8}`, style: "fill:none;stroke:var(--accent);stroke-width:2px"}));
  });
  const buttons = words.map((word, t) => svg("g", {tabindex: 0, role: "button", "aria-pressed": String(t === from), "aria-label": from < 0 ? `arrow from ${word}` : `arrow to ${word}`, class: "from-to", style: "cursor:pointer", onclick: () => pick(t),
      onkeydown: event => { if (event.key === "Enter" || event.key === " ") event.preventDefault(), pick(t); }},
    svg("rect", {x: left[t] + 1, y: H + 4, width: widths[t] - 2, height: 26, rx: 6, style: t === from ? "fill:var(--accent);fill-opacity:.35" : "fill:var(--wash)"}),
    svg("text", {x: middle(t), y: H + 22, "text-anchor": "middle", class: "word"}, visible(word))));
  return svg("svg", {viewBox: `0 0 ${W} ${H + 34}`, role: "group", "aria-label": "words and arrows", style: `display:block;max-width:${1.15 * W}px`}, arcs, buttons);
}

// The part of a run's page in which arrows are drawn; `show(text, answer)` offers a text that was answered.
function drawing(run) {
  const texts = new Map(), card = el("div", {class: "card next", id: "draw", hidden: true});
  const list = el("div", {class: "scroll", id: "draw-texts"}), said = el("p", {class: "note", role: "status", id: "draw-note"});
  const weight = el("input", {type: "number", id: "draw-weight", min: 0.001, step: "any", value: 0.1});
  const heads = el("input", {type: "text", id: "draw-heads", value: "0.*", size: 12, spellcheck: "false"});
  let shown = null, from = -1;
  const request = () => ({run, texts: [...texts].filter(([, one]) => one.arrows.length).map(([text, {arrows}]) => ({text, arrows})),
                          weight: Number(weight.value), heads: heads.value.split(/[\s,]+/).filter(Boolean)});

  function draw() {
    const rows = [...texts].filter(([text, one]) => text === shown || one.arrows.length);
    list.replaceChildren(...rows.map(([text, one]) => {
      const own = text === shown;
      return arrowPicture(one, own ? from : -1, t => {
        if (shown !== text) shown = text, from = -1;
        if (from < 0) from = t;
        else if (one.arrows.some(([a, b]) => a === from && b === t)) from = -1;
        else one.arrows.push([from, t]), from = -1;
        draw();
      }, i => { one.arrows.splice(i, 1); draw(); });
    }));
    const {texts: drawn} = request();
    train.disabled = save.disabled = drawn.length === 0;
    said.textContent = from >= 0 ? `Where ought “${texts.get(shown).words[from]}” to look? Choose a word.` : drawn.length ? `${drawn.length} text${drawn.length > 1 ? "s" : ""} with arrows.` : "Choose a word, then the word it ought to look at. Ask about another text to draw there, too.";
  }
  async function begin(event) {
    event.preventDefault();
    train.disabled = true;
    said.className = "note";
    try {
      const {run: other} = await ask("/api/draw", request());
      said.replaceChildren(`It trains as ${other}, with the same config and seed. `, el("a", {href: pageAddress("/", {compare: [run, other]})}, "Compare them"), " or ", el("a", {href: pageAddress("/", {run: other})}, "open it"), " and ask it the same.");
    } catch (error) {
      said.className = "note missed";
      said.textContent = error.message;
    }
    train.disabled = false;
  }
  function keep() {
    const lines = request().texts.map(one => JSON.stringify(one) + "\n").join(""), link = el("a", {href: URL.createObjectURL(new Blob([lines], {type: "application/jsonl"})), download: "arrows.jsonl"});
    link.click();
    URL.revokeObjectURL(link.href);
  }
  const train = el("button", {type: "submit", id: "draw-train"}, "Train with these arrows"), save = el("button", {type: "button", id: "draw-save", onclick: keep}, "Save as a file");
  card.append(el("h3", {}, "Draw the attention you want"), list, said,
    el("form", {class: "controls", onsubmit: begin}, el("label", {}, "Heads", heads), el("label", {}, "Weight", weight), train, save),
    el("p", {class: "note"}, "A new run learns the same and, beside it, to follow the arrows in the heads that are named LAYER.HEAD from 0. The arrows are the file of ", el("code", {}, "train.attention_loss.file"), "."));
  return {node: card, show(text, answer) {
    const own = (answer.attention || []).some(layer => layer.queries === "words" && layer.keys === "words"), whole = answer.read === undefined || answer.read === answer.words.length;
    if (!own || !whole || answer.words.length > kDrawn) return;
    card.hidden = false;
    if (!texts.has(text)) texts.set(text, {words: answer.words, arrows: []});
    shown = text, from = -1;
    draw();
  }};
}
