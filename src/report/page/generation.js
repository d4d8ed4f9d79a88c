// How a model continues texts: what it remembers between tokens, how the next token is drawn, beam search.

class Decoding {
  // source: {ids, copies} of a model that reads one
  constructor(model, source) {
    this.model = model, this.source = source, this.rows = 1, this.texts = [[]], this.fed = 0;
    const {decode, encode} = model.graphs;
    if (!decode) return;
    this.states = {...source && model.sourceInputs(source, 1)};
    for (const {name, shape} of decode.inputs)
      if (name.startsWith("past.")) this.states[name] = floats(shape.map(n => n === "B" ? 1 : n === "P" ? 0 : n));
    if (encode) Object.assign(this.states, model.run("encode", this.states));
  }
  room() { return this.model.room < 0 ? Infinity : this.model.room - this.fed; }
  // rows of as many ids each -> logits of what follows, one Float32Array for each row
  feed(rows) {
    const B = rows.length, n = rows[0].length, {model} = this;
    this.fed += n;
    let logits;
    if (this.states) {
      const results = model.run("decode", {...this.states, ids: integers([B, n], rows.flat().map(id => model.readable(id)))});
      for (const [name, value] of Object.entries(results)) if (name !== "logits") this.states[name.replace("present.", "past.")] = value;
      logits = results.logits.data;
    } else {
      this.texts = this.texts.map((text, b) => [...text, ...rows[b]]);
      const all = model.forward(this.texts, this.source).logits, [, T, V] = all.shape;
      logits = new Float32Array(B * V);
      for (let b = 0; b < B; b++) logits.set(all.data.subarray((b * T + T - 1) * V, (b * T + T) * V), b * V);
    }
    const V = logits.length / B;
    return rows.map((_, b) => logits.subarray(b * V, b * V + V));
  }
  // Row r goes on as row from[r] was.
  select(from) {
    this.texts = from.map(r => this.texts[r]);
    for (const {name, shape} of this.states ? this.model.graphs.decode.inputs : [])
      if (name !== "ids" && shape.includes("B")) this.states[name] = selected(this.states[name], shape.indexOf("B"), integers([from.length], from));
  }
}

// ---- one draw: Philox4x32-10, as src/base/random.cpp

const k64 = (1n << 64n) - 1n, k32 = (1n << 32n) - 1n;
function mixed(id, index) {
  let z = (id * 0x9e3779b97f4a7c15n + index + 0x9e3779b97f4a7c15n) & k64;
  z = ((z ^ z >> 30n) * 0xbf58476d1ce4e5b9n) & k64;
  z = ((z ^ z >> 27n) * 0x94d049bb133111ebn) & k64;
  return z ^ z >> 31n;
}
// The first uniform64() of Stream(seed, purpose, row, position).
function uniformDraw(seed, purpose, row, position) {
  let hash = 0xcbf29ce484222325n, k0 = BigInt(seed) & k32, k1 = BigInt(seed) >> 32n;
  for (const c of purpose) hash = ((hash ^ BigInt(c.charCodeAt(0))) * 0x100000001b3n) & k64;
  const id = [row, position].reduce((z, index) => mixed(z, BigInt(index)), mixed(hash, BigInt(purpose.length)));
  let c = [0n, 0n, id & k32, id >> 32n];
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c[0], p1 = 0xcd9e8d57n * c[2];
    c = [p1 >> 32n ^ c[1] ^ k0, p1 & k32, p0 >> 32n ^ c[3] ^ k1, p0 & k32];
    k0 = (k0 + 0x9e3779b9n) & k32, k1 = (k1 + 0xbb67ae85n) & k32;
  }
  return Number((c[1] << 32n | c[0]) >> 11n) / 2 ** 53;
}

const argmax = row => row.reduce((best, v, i) => v > row[best] ? i : best, 0);

// The next token: filters act in the order temperature, top_k, top_p, min_p.
function drawnToken(logits, {temperature = 0, top_k = 0, top_p = 1, min_p = 0, seed = 0}, position) {
  const best = argmax(logits);
  if (temperature === 0) return best;
  let some = [];
  logits.forEach((v, id) => { const p = Math.fround(Math.exp((v - logits[best]) / temperature)); if (p > 0) some.push([p, id]); });
  const sum = () => some.reduce((total, [p]) => total + p, 0);
  if (top_k > 0 || top_p < 1) some.sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  if (top_k > 0) some = some.slice(0, top_k);
  if (top_p < 1) {
    const wanted = top_p * sum();
    let kept = 0;
    for (let reached = 0; kept < some.length && reached < wanted; kept++) reached += some[kept][0];
    some = some.slice(0, kept);
  }
  if (min_p > 0) some = some.filter(([p]) => p >= min_p);
  let left = sum() * uniformDraw(seed, "generate", 0, position);
  for (const [p, id] of some) if ((left -= p) < 0) return id;
  return some[some.length - 1][1];
}

// The tokens after a prompt, until `stop`, max_tokens, or `more(ids)` is false. A model whose room is used up starts over
// with the last half of the text.
async function continued(model, prompt, options, more = () => true) {
  const text = [...prompt], ids = [], {max_tokens = 100, stop = -1, never = []} = options;
  let decoding, room;
  const start = most => {
    decoding = new Decoding(model);
    room = decoding.room();
    return decoding.feed([text.slice(-Math.min(text.length, most, room))])[0];
  };
  let logits = start(Infinity);
  for (let i = 0; i < max_tokens; i++) {
    for (const id of never) if (id >= 0 && id !== stop) logits[id] = -Infinity;
    const id = drawnToken(logits, options, i);
    if (id === stop) break;
    text.push(id), ids.push(id);
    if (!await more(ids) || i + 1 === max_tokens) break;
    logits = decoding.room() === 0 ? start(Math.max(1, Math.floor(room / 2))) : decoding.feed([[id]])[0];
  }
  return ids;
}

// [{ids, log_prob, score}], best first: as src/model/beam_search.cpp.
function beamSearch(decoding, prompt, {beam, normalize, alpha, max_tokens, stop, never}) {
  const norm = n => normalize === "average" ? n : normalize === "gnmt" ? ((5 + n) / 6) ** alpha : 1;
  const ended = [], end = (ids, log_prob, stopped) => ended.push({ids, log_prob, score: log_prob / norm(Math.max(1, ids.length + stopped))});
  let live = [{ids: [], log_prob: 0}], logits = decoding.feed([prompt]);
  const limit = Math.min(max_tokens, decoding.room() + 1);
  for (let step = 1; live.length; step++) {
    const candidates = live.flatMap((one, from) => {
      const all = logSum(logits[from]), best = [];
      logits[from].forEach((v, id) => {
        const log_prob = one.log_prob + v - all;
        if (!(log_prob > -Infinity) || (id !== stop && never.includes(id)) || (best.length === 2 * beam && log_prob <= best[best.length - 1].log_prob)) return;
        let at = best.length;
        while (at > 0 && best[at - 1].log_prob < log_prob) at--;
        best.splice(at, 0, {log_prob, from, id});
        if (best.length > 2 * beam) best.pop();
      });
      return best;
    }).sort((a, b) => b.log_prob - a.log_prob || a.from - b.from || a.id - b.id).slice(0, 2 * beam);
    const next = [];
    for (let rank = 0; rank < candidates.length && next.length < beam; rank++) {
      const {log_prob, from, id} = candidates[rank];
      if (id !== stop) next.push({ids: [...live[from].ids, id], log_prob, from});
      else if (rank < beam) end(live[from].ids, log_prob, true);
    }
    live = next;
    if (!live.length || ended.length >= beam) break;
    if (step >= limit) {
      for (const {ids, log_prob} of live) end(ids, log_prob, false);
      break;
    }
    decoding.select(live.map(one => one.from));
    logits = decoding.feed(live.map(({ids}) => [ids[ids.length - 1]]));
  }
  return ended.sort((a, b) => b.score - a.score).slice(0, beam);
}
