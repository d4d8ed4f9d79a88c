// How each task reads a text and what it makes of the logits: the answers of `qkv predict`, computed in the page.
// answer(model, text, options) -> an answer (model.js).

function refuse(rule, got) { throw new Error(got === undefined ? rule : `${rule}; got “${got}”`); }
const probabilitiesOf = logits => { const all = logSum(logits); return Array.from(logits, v => Math.exp(v - all)); };
const bySize = values => [...values.keys()].sort((a, b) => values[b] - values[a] || a - b);

// The likeliest tokens by a row of logits, of those that `allowed` lets pass.
function likeliest(model, row, count = 10, allowed = () => true) {
  const p = probabilitiesOf(row);
  return bySize(p).filter(allowed).slice(0, count).map(id => ({id, token: model.words[id] ?? "", probability: p[id]}));
}
const rowOf = ({shape, data}, t) => data.subarray(t * last(shape), (t + 1) * last(shape));
const pause = () => new Promise(done => setTimeout(done, 0));

// ---- classes

function chosenClass(model, text, key, logits) {
  const p = probabilitiesOf(logits), order = bySize(p), named = values => Object.fromEntries(order.map(c => [model.classes[c], values[c]]));
  return {text, [key]: model.classes[order[0]], probability: p[order[0]], probabilities: named(p), logits: named(logits)};
}

// Of [first, last), the `room` around `middle`.
function roomAround([first, last], middle, room) {
  if (last - first <= room) return [first, last];
  first = Math.max(first, Math.min(middle - Math.floor(room / 2), last - room));
  return [first, first + room];
}

// The words of a sentence and which of them is in question: the one in brackets, else the only one that was a target in training.
function markedSentence(model, text) {
  const cut = sentence => [...sentence.matchAll(new RegExp(model.words_regex, "gu"))].map(match => ({word: match[0], at: match.index}));
  const open = text.indexOf("["), close = text.indexOf("]"), targets = model.state.target_forms;
  if (open < 0) {
    const words = cut(text), found = words.flatMap(({word}, i) => targets.includes(model.tokenizer.normalize(word)) ? [i] : []);
    if (found.length !== 1) refuse(`The text must hold one of the words ${targets.slice(0, 8).join(", ")}, or one word in [brackets]`, text);
    return {words: words.map(w => w.word), target: found[0]};
  }
  if (close < open || text.lastIndexOf("[") !== open || text.lastIndexOf("]") !== close) refuse("One word must be in [brackets]", text);
  const words = cut(text.slice(0, open) + text.slice(open + 1, close) + text.slice(close + 1));
  const target = words.findIndex(w => w.at === open && w.word.length === close - open - 1);
  if (target < 0) refuse("The brackets must hold one whole word", text);
  return {words: words.map(w => w.word), target};
}

// Character n-grams of a word: FNV-1a of each, by start, then by length (data/split.cpp).
function ngramIds(model, word) {
  const [min, max, buckets] = ["min", "max", "buckets"].map(key => model.config(`data.ngram_${key}`)), c = Array.from(`<${word}>`), ids = [];
  for (let start = 0; start < c.length; start++)
    for (let n = min; n <= max && start + n <= c.length; n++) {
      if (n === 1 && (start === 0 || start + n === c.length)) continue;
      let hash = 2166136261;
      for (const byte of new TextEncoder().encode(c.slice(start, start + n).join(""))) hash = Math.imul(hash ^ byte, 16777619) >>> 0;
      ids.push(hash % buckets);
    }
  return ids;
}

function senseAnswer(model, text) {
  const {tokenizer} = model, {words, target} = markedSentence(model, text), window = model.config("data.window") || words.length, room = model.config("model.max_seq_len");
  const [first, end] = roomAround([Math.max(0, target - window), Math.min(words.length, target + window + 1)], target, room);
  let tokens = [], place = 0, cut = Math.min(words.length, target + window + 1) - Math.max(0, target - window) - (end - first);
  for (let w = first; w < end; w++) {
    if (w === target) place = tokens.length;
    for (const id of tokenizer.wordIds(words[w], w === first)) tokens.push({id, w});
  }
  if (!tokens[place] || tokens[place].w !== target) refuse("The word in question must have a token", words[target]);
  const [from, to] = roomAround([0, tokens.length], place, room);
  cut += tokens.length - (to - from), tokens = tokens.slice(from, to), place -= from;
  const grams = model.graphs.forward.inputs.some(input => input.name === "ngram_ids") ? tokens.map(({w}) => ngramIds(model, tokenizer.normalize(words[w]))) : [];
  const offsets = grams.reduce((list, ids) => [...list, list[list.length - 1] + ids.length], [0]);
  const {logits, attention} = model.look(tokens.map(t => t.id), null, {target: integers([1], [place]), ngram_ids: integers([offsets[grams.length]], grams.flat()), ngram_offsets: integers([offsets.length], offsets)});
  // What the target attends to in the first layer, where positions hold the words themselves: mean of the heads, added up for each word.
  const looks = [], known = tokens.map(({id}) => id !== Math.max(tokenizer.unk, 0)), own = attention[0] && attention[0].queries === attention[0].keys;
  if (own)
    tokens.forEach(({w}, s) => {
      if (s === 0 || tokens[s - 1].w !== w) looks.push({word: words[w], weight: 0, known: true});
      const look = looks[looks.length - 1];
      look.weight += attention[0].weights.reduce((sum, head) => sum + head[place][s], 0) / attention[0].heads;
      look.known = look.known && known[s];
    });
  return {prediction: {...chosenClass(model, text, "sense", logits.data), target: words[target], attention: looks, cut_tokens: cut},
          words: tokens.map(({id, w}) => tokenizer.subwords ? tokenizer.tokens[id] : words[w]), read: tokens.length, target: place, known, attention};
}

// [CLS] text [SEP], or [CLS] text [SEP] other [SEP]; the longer one is cut first.
function textClassAnswer(model, text) {
  const {tokenizer} = model, [cls, sep] = ["[CLS]", "[SEP]"].map(name => tokenizer.id(name)), tab = text.indexOf("\t");
  const parts = (tab < 0 ? [text] : [text.slice(0, tab), text.slice(tab + 1)]).map(part => tokenizer.encode(part));
  let cut = 0;
  for (let room = model.config("model.max_seq_len") - parts.length - 1; parts.flat().length > room; cut++) (parts.length > 1 && parts[1].length >= parts[0].length ? parts[1] : parts[0]).pop();
  const ids = [cls, ...parts.flatMap(part => [...part, sep])], types = ids.map((_, t) => Number(t > ids.indexOf(sep)));
  const {logits, attention} = model.look(ids, null, {token_types: integers([1, ids.length], types)});
  return {prediction: {...chosenClass(model, text, "label", logits.data), cut_tokens: cut}, words: ids.map(id => tokenizer.tokens[id]), read: ids.length, target: 0, known: ids.map(id => id !== tokenizer.unk), attention};
}

// Words that are the vocabulary itself; the one that asks, if there is one, is the target.
function classifiedWords(model, text) {
  const words = knownWords(model, text), target = Math.max(0, words.findIndex(word => word.startsWith("ask")));
  const {logits, attention} = model.look(words.map(word => model.symbols.get(word)), null, {target: integers([1], [target])});
  return {prediction: chosenClass(model, text, "label", logits.data), words, read: words.length, target, attention};
}
function knownWords(model, text) {
  const words = text.split(/\s+/).filter(Boolean);
  if (!words.length) refuse("The text must hold a word");
  for (const word of words) if (!model.symbols.has(word)) refuse(`The words must be those of the task: ${model.words.slice(0, 12).join(" ")}${model.words.length > 12 ? " .." : ""}`, word);
  return words;
}

// ---- hidden words

function maskedAnswer(model, text) {
  const {tokenizer} = model, mask = tokenizer.id("[MASK]"), room = Math.min(model.config("data.length") || Infinity, model.config("model.max_seq_len") - 2);
  const all = tokenizer.encodeMarked(text), ids = [tokenizer.id("[CLS]"), ...all.slice(0, room), tokenizer.id("[SEP]")];
  const places = ids.flatMap((id, t) => id === mask ? [t] : []), filled = [...ids];
  if (!places.length) refuse("The text must hold [MASK] where the model can read it", text);
  const {logits, attention} = model.look(ids), rows = logits.shape.length === 3 ? places : places.map((_, m) => m);
  const masks = places.map((position, m) => {
    const best = likeliest(model, rowOf(logits, rows[m]), model.config("task.top_k") ?? 5, id => !tokenizer.specials.has(id));
    filled[position] = best[0].id;
    return {position: position - 1, tokens: best.map(({token, probability}) => ({token, probability}))};
  });
  return {prediction: {text, filled: tokenizer.decode(filled), masks, cut_tokens: all.length - ids.length + 2}, words: ids.map(id => tokenizer.tokens[id]), read: ids.length,
          target: places[0], known: ids.map(id => id !== tokenizer.unk), next: masks[0].tokens, attention};
}

// ---- word vectors

function wordVectorAnswer(model, text) {
  const {tokenizer} = model, word = text.trim(), table = model.weight(model.graphs.forward.tensors.find(name => name.startsWith("embed"))), [V, d] = table.shape;
  const row = [tokenizer.known(word), tokenizer.known(lower(word))].find(id => id >= 0);
  if (row === undefined) refuse("The vocabulary must have the word", word);
  const length = id => Math.hypot(...rowOf(table, id)) || 1, own = rowOf(table, row), ownLength = length(row);
  const cosines = Array.from({length: V}, (_, id) => id === row || tokenizer.specials.has(id) ? -2 : rowOf(table, id).reduce((sum, v, i) => sum + v * own[i], 0) / length(id) / ownLength);
  const neighbors = bySize(cosines).slice(0, 10).filter(id => cosines[id] > -2).map(id => ({word: model.words[id], cosine: cosines[id]}));
  // What the word predicts around itself, asked of the graph: one prediction of every word.
  const {logits} = model.run("forward", {input_ids: integers([1], [row]), input_offsets: integers([2], [0, 1]), targets: integers([1, V], [...Array(V).keys()])});
  return {prediction: {word, neighbors}, words: [word], read: 1, target: 0, next: likeliest(model, logits.data, 10, id => !tokenizer.specials.has(id)).map(({token, probability}) => ({token, probability}))};
}
