// The trained model itself: tokenizer, word vectors, positions, blocks and classifier, computed from its weights.

// y[r] = sum_c W[r, c] x[c] + b[r]
function affine(W, b, x, rows) {
  const n = x.length, y = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    let sum = b ? b[r] : 0;
    for (let c = 0, at = r * n; c < n; c++) sum += W[at + c] * x[c];
    y[r] = sum;
  }
  return y;
}

function softmax(x) {
  const top = Math.max(...x), e = Array.from(x, v => Math.exp(v - top)), sum = e.reduce((a, b) => a + b, 0);
  return e.map(v => v / sum);
}

const add = (a, b) => a.map((v, i) => v + b[i]);
const logistic = v => 1 / (1 + Math.exp(-v));
const kActivations = {
  gelu: v => v * logistic(2 * Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v)),  // the tanh form
  relu: v => Math.max(0, v),
  relu2: v => Math.max(0, v) ** 2,
  silu: v => v * logistic(v),
};

class SenseModel {
  constructor(packed) {
    this.shape = packed.shape;
    this.packed = packed;
    this.labels = packed.labels;
    this.ids = new Map(packed.vocab.map((token, id) => [token, id]).filter(([, id]) => id >= packed.specials));
    this.tensors = {};
    for (const [name, matrix] of Object.entries(packed.tensors)) this.tensors[name] = unpackMatrix(matrix);
  }

  // ---- text to tokens, by the rules of data/split.h

  normal(word) {
    if (this.packed.lowercase === "A-Z") word = word.replace(/[A-Z]/g, c => c.toLowerCase());
    if (this.packed.lowercase === "all") word = Array.from(word, c => c.toLowerCase()).join("");
    return this.packed.split === "spaces" ? word : word.replaceAll("\u2019", "'");
  }
  tokens(sentence) {
    const rule = this.packed.split === "spaces" ? "[^\\t-\\r ]+" : this.packed.words_regex;
    return [...sentence.matchAll(new RegExp(rule, "gu"))].map(m => ({word: m[0], at: m.index}));
  }
  // The words that the model sees and which of them is in question; throws what is wrong with the sentence.
  read(sentence) {
    const open = sentence.indexOf("["), close = sentence.indexOf("]");
    let tokens, target;
    if (open >= 0) {
      if (close < open || sentence.lastIndexOf("[") !== open || sentence.lastIndexOf("]") !== close) throw new Error("One word must be in [brackets].");
      tokens = this.tokens(sentence.slice(0, open) + sentence.slice(open + 1, close) + sentence.slice(close + 1));
      target = tokens.findIndex(t => t.at === open && t.word.length === close - open - 1);
      if (target < 0) throw new Error("The brackets must hold one whole word.");
    } else {
      tokens = this.tokens(sentence);
      const found = tokens.map((t, i) => this.packed.targets.includes(this.normal(t.word)) ? i : -1).filter(i => i >= 0);
      if (found.length !== 1) throw new Error(`The sentence must hold one of: ${this.packed.targets.slice(0, 8).join(", ")}; or put the word in [brackets].`);
      target = found[0];
    }
    let first = 0, last = tokens.length;
    const room = this.shape.max_length, window = this.packed.window;
    if (window > 0) first = Math.max(0, target - window), last = Math.min(last, target + window + 1);
    if (last - first > room) first = Math.max(first, Math.min(target - Math.floor(room / 2), last - room)), last = first + room;
    return {words: tokens.slice(first, last).map(t => t.word), target: target - first};
  }

  // ---- word vectors

  ngrams(word) {
    const {min, max, buckets} = this.packed.ngrams, c = Array.from(`<${word}>`), coder = new TextEncoder(), ids = [];
    for (let start = 0; start < c.length; start++)
      for (let n = 1; n <= max && start + n <= c.length; n++) {
        if (n < min || (n === 1 && (start === 0 || start + n === c.length))) continue;
        let hash = 2166136261;  // FNV-1a
        for (const byte of coder.encode(c.slice(start, start + n).join(""))) hash = Math.imul(hash ^ byte, 16777619) >>> 0;
        ids.push(hash % buckets);
      }
    return ids;
  }
  // Known words come with the mean of the vectors of their n-grams; that of an unknown one is computed here.
  wordVector(word) {
    const d = this.shape.width, id = this.ids.has(word) ? this.ids.get(word) : 1;
    if (this.shape.one_hot) return Float64Array.from({length: d}, (_, i) => i === id ? 1 : 0);
    const x = this.tensors["embed.weight"].slice(id * d, id * d + d);
    const grams = this.packed.ngrams && id === 1 ? this.ngrams(word) : [];
    for (const gram of grams) for (let i = 0; i < d; i++) x[i] += this.tensors["embed.ngrams"][gram * d + i] / grams.length;
    return x;
  }
  placed(x, t, target) {
    const table = this.tensors["position.weight"], d = x.length, {relative, max_length, position} = this.shape;
    if (!table) return x;
    const row = relative ? Math.max(0, Math.min(2 * max_length - 2, t - target + max_length - 1)) : t;
    const factor = position === "sinusoidal" ? Math.sqrt(d) : 1;
    return x.map((v, i) => v * factor + table[row * d + i]);
  }

  // ---- layers

  norm(name, x) {
    const w = this.tensors[name + ".weight"], b = this.tensors[name + ".bias"], n = x.length;
    const mean = this.shape.rms ? 0 : x.reduce((a, v) => a + v, 0) / n;
    const scale = 1 / Math.sqrt(x.reduce((a, v) => a + (v - mean) ** 2, 0) / n + this.shape.eps);
    return x.map((v, i) => (v - mean) * scale * w[i] + (b ? b[i] : 0));
  }
  linear(name, x) {
    const b = this.tensors[name + ".bias"], W = this.tensors[name + ".weight"];
    return affine(W, b, x, W.length / x.length);
  }
  attention(name, xs, seen) {
    const {heads: H, kv_heads, head_width: D, scale, learned} = this.shape, T = xs.length;
    const project = (part, x, rows) => learned ? affine(this.tensors[`${name}.W_${part}`], this.tensors[`${name}.b_${part}`], x, rows) : x;
    const q = xs.map(x => project("Q", x, H * D)), k = xs.map(x => project("K", x, kv_heads * D)), v = xs.map(x => project("V", x, kv_heads * D));
    const weights = [], out = xs.map(() => new Float64Array(H * D));
    for (let h = 0; h < H; h++) {
      const shared = Math.floor(h / (H / kv_heads)) * D;
      weights.push(q.map((query, t) => {
        const row = softmax(k.map(key => {
          let sum = 0;
          for (let i = 0; i < D; i++) sum += query[h * D + i] * key[shared + i];
          return scale * sum;
        }));
        for (let s = 0; s < T; s++) for (let i = 0; i < D; i++) out[t][h * D + i] += row[s] * v[s][shared + i];
        return row;
      }));
    }
    seen.push(weights);
    return learned ? out.map(y => affine(this.tensors[name + ".W_O"], this.tensors[name + ".b_O"], y, this.shape.width)) : out;
  }
  forward(name, x) {
    const up = this.linear(name + ".up", x), kind = this.shape.ffn;
    if (kind !== "swiglu") return this.linear(name + ".down", up.map(kActivations[kind]));
    return this.linear(name + ".down", this.linear(name + ".gate", x).map((g, i) => kActivations.silu(g) * up[i]));
  }
  residual(norm, xs, f) {
    if (this.shape.pre) {
      const y = f(xs.map(x => this.norm(norm, x)));
      return xs.map((x, t) => add(x, y[t]));
    }
    const y = f(xs);
    return xs.map((x, t) => this.norm(norm, add(x, y[t])));
  }

  // {words, target, known, logits, probabilities, sense, attention: [layer][head][query][key]}
  predict(sentence) {
    const {words, target} = this.read(sentence), forms = words.map(w => this.normal(w)), attention = [];
    let xs = forms.map((form, t) => this.placed(this.wordVector(form), t, target));
    for (let l = 0; l < this.shape.layers; l++) {
      xs = this.residual(`layers.${l}.norm1`, xs, hs => this.attention(`layers.${l}.attn`, hs, attention));
      if (this.shape.ffn) xs = this.residual(`layers.${l}.norm2`, xs, hs => hs.map(h => this.forward(`layers.${l}.ffn`, h)));
    }
    if (this.shape.pre && this.shape.layers > 0) xs = xs.map(x => this.norm("norm", x));
    const mean = xs[0].map((_, i) => xs.reduce((sum, x) => sum + x[i], 0) / xs.length);
    const read = {"target": () => xs[target], "mean": () => mean, "target+mean": () => Float64Array.from([...xs[target], ...mean])};
    const logits = Array.from(this.linear("head", read[this.shape.readout]())), probabilities = softmax(logits);
    return {words, target, logits, probabilities, attention, known: forms.map(form => this.ids.has(form)),
            sense: this.labels[probabilities.indexOf(Math.max(...probabilities))]};
  }
}

// ---- the section

function showModel(packed, examples) {
  if (!packed) return;
  if (packed.missing) {
    section("model", "Ask the model", null, el("p", {class: "note"}, `This page does not hold the model: ${packed.missing}. Ask it with “qkv predict”.`));
    return;
  }
  const model = new SenseModel(packed);
  const input = el("input", {type: "text", id: "ask", value: examples[0] || packed.targets[0] || "", spellcheck: "false", autocomplete: "off", "aria-label": "sentence", maxlength: 1000});
  const tokens = el("p", {class: "tokens"}), answer = el("p", {class: "answer", id: "answer", role: "status"}), bars = el("div", {});
  const problem = el("p", {class: "problems", id: "ask-problem", hidden: true}), result = el("div", {class: "grid"}, el("div", {class: "card"}, answer, tokens), el("div", {class: "card"}, el("h3", {}, "How sure it is"), bars));
  let last = null, view = null;
  const drawable = () => ({words: last.words, target: last.target, layers: last.attention.map((heads, l) => ({name: `layers.${l}.attn`, heads: heads.length, words: last.words.length, weight: (h, t, s) => heads[h][t][s]}))});
  function run() {
    try {
      last = model.predict(input.value);
      problem.hidden = true;
      result.style.opacity = 1;
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      result.style.opacity = 0.35;
      return;
    }
    answer.dataset.sense = last.sense;
    answer.replaceChildren(`${last.words[last.target]} = `, el("span", {style: `color:${classColour(model.labels.indexOf(last.sense))}`}, last.sense));
    const heads = last.attention[0] || [], weight = s => heads.reduce((sum, rows) => sum + rows[last.target][s], 0) / Math.max(1, heads.length);
    tokens.replaceChildren(...last.words.map((word, s) => el("span", {class: last.known[s] ? null : "unknown", title: `attention ${weight(s).toFixed(3)}${last.known[s] ? "" : ", not in the vocabulary"}`,
      style: `background:color-mix(in srgb, var(--accent) ${(100 * Math.min(1, weight(s))).toFixed(1)}%, transparent)${s === last.target ? ";font-weight:700" : ""}`}, word)));
    bars.replaceChildren(answerBars(model.labels, last.probabilities, -1));
    if (view) view.update();
  }
  input.addEventListener("input", run);
  const box = section("model", "Ask the model",
    "The trained model runs in this page: change the sentence and see which sense it reads, and where the word looks in the first layer.",
    el("form", {class: "ask", onsubmit: event => { event.preventDefault(); run(); }}, input,
       examples.length > 1 && examples.slice(0, 2).map((sentence, i) => el("button", {type: "button", onclick: () => { input.value = sentence; run(); }}, `example ${i + 1}`))), problem, result,
    el("p", {class: "note"}, "The stronger a word's background, the more the word in question attends to it; a dotted line marks words that are not in the vocabulary. The weights are those of the best checkpoint."));
  run();
  if (last && last.attention.length) {
    view = attentionView("ask-attention", drawable);
    box.append(el("details", {style: "margin-top:1rem"}, el("summary", {}, "All layers and heads for this sentence"), el("div", {style: "margin-top:.8rem"}, view.node)));
  }
  window.qkv = {model, data};
}
