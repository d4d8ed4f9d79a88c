// The film: a slider over training steps that moves weights, scores, attention and the map of vectors.

const kQuantity = {Q: ["what a word looks for", "queries"], K: ["what a word offers", "keys"], V: ["what a word passes on", "values"]};

// Draws values in [-1, 1] as [rows, columns]: the colour of their quantity for positive ones, grey for negative ones.
function heatMap(canvas, values, rows, columns, which) {
  const paper = rgb("--wash"), plus = rgb("--" + which), minus = rgb("--soft");
  canvas.width = columns, canvas.height = rows;
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  for (let i = 0; i < values.length; i++) {
    const v = Math.sign(values[i]) * Math.sqrt(Math.abs(values[i]));
    image.data.set([...mix(paper, v > 0 ? plus : minus, Math.min(1, Math.abs(v))), 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}
const heatScale = (which, least, most) => el("div", {class: "scale"}, least, el("i", {style: `background:linear-gradient(90deg,var(--soft),var(--wash),var(--${which}))`}), most);

function heatCard(which) {
  const canvas = el("canvas", {role: "img", "aria-label": `heat map of W_${which}`});
  const most = el("span", {}), least = el("span", {class: "least"}), note = el("p", {class: "note"}), band = el("div", {class: "band", hidden: true});
  const card = el("div", {class: "card heat"}, el("h3", {}, el("b", {style: `color:var(--${which})`}, "W", el("sub", {}, which)), el("span", {}, " ", kQuantity[which][1])), el("div", {class: "plate"}, canvas, band), heatScale(which, least, most), note);
  return {card, show(matrix, frame, head, heads, change) {
    card.hidden = !matrix;
    if (!matrix) return;
    const {frames, most: top} = change ? matrix.change : matrix, {rows: R, columns: C} = matrix, [rows, columns] = matrix.of;
    heatMap(canvas, unpack(frames[frame], R * C, 1, matrix.bits), R, C, which);
    canvas.style.aspectRatio = `${C} / ${R}`;
    least.textContent = "−" + text(top);
    most.textContent = "+" + text(top);
    const block = [Math.ceil(rows / R), Math.ceil(columns / C)];
    note.textContent = `${change ? "how far each weight has moved" : kQuantity[which][0]}; ${rows} × ${columns} weights` + (block[0] * block[1] > 1 ? `, each cell the mean of ${block[0]} × ${block[1]}` : "");
    band.hidden = head < 0 || rows % heads !== 0;
    band.style.cssText = `top:calc(${100 * head / heads}% - 2px);height:calc(${100 / heads}% + 4px)`;
  }};
}

// Query, key and value of each word of a text: a row each, one head or all beside each other.
function wordsCard() {
  const parts = ["Q", "K", "V"].map(which => [which, el("canvas", {role: "img", "aria-label": kQuantity[which][1]})]), names = el("div", {class: "names"}), scale = el("span", {class: "soft"});
  const card = el("div", {class: "card next"}, el("h3", {}, "Queries, keys and values of the words ", scale), el("div", {class: "words"}, names, parts.map(([which, canvas]) => el("div", {}, el("b", {style: `color:var(--${which})`}, which), canvas))),
    el("p", {class: "note"}, "A word attends to those whose key points the way of its query; what it takes from them are their values. Each row is a word, each column a dimension; colour is positive, grey negative."));
  return {card, show(found, sentence, frame, head, heads, groups, bits) {
    card.hidden = !found;
    if (!found) return;
    const {rows: T, columns: W} = found, D = W / (heads + 2 * groups), all = unpack(found.frames[frame], T * W, 1, bits);
    names.replaceChildren(...sentence.words.slice(0, T).map(word => el("span", {}, visible(word))));
    scale.textContent = `−${text(found.most)} to +${text(found.most)}`;
    parts.forEach(([which, canvas], k) => {
      const n = which === "Q" ? heads : groups, begin = [0, heads, heads + groups][k] * D, own = which === "Q" ? head : Math.floor(head / (heads / groups));
      const from = begin + (head < 0 ? 0 : own * D), width = head < 0 ? n * D : D, part = new Float64Array(T * width);
      for (let t = 0; t < T; t++) part.set(all.subarray(t * W + from, t * W + from + width), t * width);
      heatMap(canvas, part, T, width, which);
    });
  }};
}

// Score and attention of the word in question towards each word.
function rowTable(words, target, scores, weights, most) {
  const width = v => (100 * Math.min(1, v)).toFixed(1) + "%";
  return el("div", {class: "rows"}, el("span", {class: "n"}, ""), el("span", {class: "n"}, "score"), el("span", {}), el("span", {class: "n"}, "attention"), el("span", {}),
    words.map((word, s) => {
      const share = most > 0 ? scores[s] / most : 0;
      return [el("span", {class: s === target ? "t" : null}, visible(word)),
              el("span", {class: "bar"}, el("i", {style: share < 0 ? `right:50%;width:${width(-share / 2)};background:var(--soft)` : `left:50%;width:${width(share / 2)};background:var(--K)`})),
              el("span", {class: "n"}, scores[s].toFixed(2)),
              el("span", {class: "bar"}, el("i", {style: `left:0;width:${width(weights[s])};background:var(--accent)`})),
              el("span", {class: "n"}, weights[s].toFixed(2))];
    }));
}

// One dot per sentence, moved from frame to frame.
function mapCard(title, note, points, which, classes) {
  const W = 420, H = 340, map = points[which], n = points.words.length, names = svg("g", {});
  const frames = map.frames.map(f => unpack(f, 2 * n, 1, points.bits));
  const dots = points.words.map((word, i) => svg("circle", {class: "dot", r: 4.2, style: `fill:${classColour(points.labels[i])};fill-opacity:.8`,
    onpointermove: event => showTip(event, `${classes[points.labels[i]] || "?"}: ${tidy(points.texts[i])}`), onpointerleave: hideTip}));
  // Equal vectors would hide behind each other: they are laid out as a sunflower around their common place.
  function place(frame) {
    const seen = new Map(), xy = frames[frame];
    names.replaceChildren();
    dots.forEach((dot, i) => {
      const key = `${Math.round(xy[2 * i] * 150)} ${Math.round(xy[2 * i + 1] * 150)}`, k = seen.get(key) || 0;
      seen.set(key, k + 1);
      const r = 4.4 * Math.sqrt(k), angle = 2.4 * k;
      fill(dot, {cx: (W / 2 + xy[2 * i] * (W / 2 - 40) + r * Math.cos(angle)).toFixed(1),
                 cy: (H / 2 - xy[2 * i + 1] * (H / 2 - 40) + r * Math.sin(angle)).toFixed(1)}, []);
    });
    for (const [key, k] of seen) {
      if (k < 6) continue;
      const [x, y] = key.split(" ").map(v => v / 150), word = points.words.find((_, i) => Math.round(xy[2 * i] * 150) === Math.round(x * 150) && Math.round(xy[2 * i + 1] * 150) === Math.round(y * 150));
      names.append(svg("text", {x: W / 2 + x * (W / 2 - 40), y: H / 2 - y * (H / 2 - 40) + 4.4 * Math.sqrt(k) + 18, "text-anchor": "middle"}, `“${word.toLowerCase()}”`));
    }
  }
  const share = Math.round(100 * (map.variance[0] + map.variance[1]));
  return {place, card: el("div", {class: "card"}, el("h3", {}, title),
    svg("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title}, svg("rect", {class: "axis", x: .5, y: .5, width: W - 1, height: H - 1, rx: 6}), dots, names),
    el("p", {class: "note"}, `${note} The two axes hold ${share} % of their variance at the last step.`))};
}

function showFilm(film) {
  if (!film) return;
  const layers = [...new Set([...film.matrices.map(m => m.layer), ...film.attention.flat().map(l => l.layer)])].sort();
  const heads = Math.max(1, ...film.attention.flat().map(l => l.heads));
  const of = which => film.matrices.find(m => m.layer === layers[layer] && m.which === which);
  const grouped = () => of("Q") && of("K") && of("Q").of[0] !== of("K").of[0];  // fewer heads of keys and values
  let frame = film.steps.length - 1, layer = 0, head = -1, chosen = 0, timer = null, change = 0;
  const cards = ["Q", "K", "V"].map(which => [which, heatCard(which)]);
  const words = wordsCard(), rows = el("div", {class: "card"}), answers = el("div", {class: "card"}), step = el("output", {id: "film-step"});
  const slider = el("input", {type: "range", id: "film-slider", min: 0, max: film.steps.length - 1, value: frame, "aria-label": "training step", oninput: () => { frame = Number(slider.value); draw(); }});
  const play = el("button", {type: "button", id: "film-play", "aria-label": "play", onclick: () => timer ? stop() : start()}, "▶");
  const points = film.points, maps = [], circuits = circuitsCard(film.circuits);
  if (points && points.static) maps.push(mapCard("Static vectors: before the first layer", "The same form of a word has one vector, whatever the sentence says.", points, "static", film.classes));
  if (points) maps.push(mapCard("Contextual vectors: after the last layer", "One dot per sentence; training moves equal senses together and different ones apart.", points, "vectors", film.classes));

  function stop() { clearInterval(timer); timer = null; play.textContent = "▶"; play.setAttribute("aria-label", "play"); }
  function start() {
    if (frame === film.steps.length - 1) frame = -1;
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "pause");
    timer = setInterval(() => {
      slider.value = ++frame;
      draw();
      if (frame === film.steps.length - 1) stop();
    }, 450);
  }
  function drawRow() {
    const found = (film.attention[chosen] || []).find(l => l.layer === layers[layer]);
    rows.hidden = !found;
    if (!found) return;
    const size = found.heads * found.words, H = found.heads, h = Math.min(head, H - 1);
    const average = values => Array.from({length: found.words}, (_, s) => {
      if (h >= 0) return values[h * found.words + s];
      let sum = 0;
      for (let k = 0; k < H; k++) sum += values[k * found.words + s];
      return sum / H;
    });
    const sentence = film.texts[chosen], target = sentence.target === undefined ? found.words - 1 : sentence.target;
    rows.replaceChildren(el("h3", {}, `What “${visible(sentence.words[target])}” scores and attends to`),
      rowTable(sentence.words.slice(0, found.words), target, average(unpack(found.scores[frame], size, found.most, film.bits)), average(unpack(found.weights[frame], size, 1, film.bits)), found.most),
      el("p", {class: "note"}, "A score is the scaled product of the word's query with another word's key; the softmax turns scores into attention."));
  }
  function drawAnswers() {
    answers.hidden = !film.probabilities || !film.classes.length;
    if (answers.hidden) return;
    const C = film.classes.length, p = unpack(film.probabilities[frame], film.texts.length * C, 1, film.bits), label = film.texts[chosen].label;
    answers.replaceChildren(el("h3", {}, "What the model answers at this step"), barTable(film.classes.map((name, c) => ({name, value: p[chosen * C + c], colour: classColour(c), bold: c === label})), "probabilities"),
      el("p", {class: "note"}, label === undefined ? "The sentence has no label." : `The right answer is “${film.classes[label]}”.`));
  }
  function draw() {
    step.textContent = `step ${text(film.steps[frame])} of ${text(film.steps[film.steps.length - 1])}`;
    slider.setAttribute("aria-valuetext", step.textContent);
    for (const [which, card] of cards) card.show(film.matrices.find(m => m.layer === layers[layer] && m.which === which), frame, which === "Q" || !grouped() ? Math.min(head, heads - 1) : -1, heads, change);
    const vectors = (film.words || []).find(w => w.text === chosen && w.layer === layers[layer]), queries = of("Q"), keys = of("K");
    words.show(vectors, film.texts[chosen], frame, Math.min(head, heads - 1), heads, queries && keys ? heads * keys.of[0] / queries.of[0] : heads, 5);
    drawRow();
    drawAnswers();
    for (const map of maps) map.place(frame);
    if (circuits) circuits.show(film.steps[frame]);
  }
  section("film", "The training, step by step",
          "Move the slider from the first step to the last: weights, scores, attention and vectors are those of that step.",
          el("div", {class: "film-bar"}, play, slider, step),
          el("div", {class: "controls"},
             layers.length > 0 && select("Layer", "film-layer", layers.map(layerTitle), v => { layer = v; draw(); }),
             film.matrices.length > 0 && select("Show", "film-show", ["the weights", "their change since the start"], v => { change = v; draw(); }),
             heads > 1 && select("Head", "film-head", ["mean of all heads", ...Array.from({length: heads}, (_, h) => `head ${h}`)], v => { head = v - 1; draw(); }),
             film.attention.length > 0 && select("Sentence", "film-text", film.attention.map((_, i) => tidy(film.texts[i].text).slice(0, 70)), v => { chosen = v; draw(); })),
          el("div", {class: "grid three"}, cards.map(([, card]) => card.card)),
          words.card,
          el("div", {class: "grid", style: "margin-top:1rem"}, rows, answers),
          circuits && circuits.card,
          maps.length > 0 && el("div", {class: "grid", style: "margin-top:1rem"}, maps.map(m => m.card)),
          maps.length > 0 && legend(film.classes.map((name, c) => ({name, colour: classColour(c)}))));
  draw();
  redraws.push(draw);
}
