// The answers of models that write: language models, prompts and answers, translations, puzzles.

const kStep = 25;  // milliseconds of computing between two breaths of the page

// Writes until the model or `ended(ids)` ends it; the page stays alive, and `progress` may end it, too.
async function written(model, prompt, text, options, ended = () => false) {
  let breath = Date.now();
  return continued(model, prompt, options, async ids => {
    if (ended(ids)) return false;
    if (Date.now() - breath < kStep) return true;
    await pause();
    breath = Date.now();
    return !options.progress || options.progress(addedText(model.tokenizer, prompt, text, ids)) !== false;
  });
}

// What a text and its continuation look like inside: as much of its end as the model has room for.
function inside(model, prompt, ids, source) {
  const room = model.config("model.max_seq_len"), all = [...prompt, ...ids], from = Math.max(0, all.length - room), read = Math.max(0, prompt.length - from);
  const {attention} = model.look(all.slice(from), source), {tokenizer} = model;
  return {words: all.slice(from).map(id => model.words[id] ?? `copy ${id - model.words.length}`), read, target: -1, known: all.slice(from).map(id => !tokenizer || id !== tokenizer.unk), attention};
}
function nextTokens(model, logits, t, never = []) {
  return likeliest(model, rowOf(logits, Math.max(0, t)), 10, id => !never.includes(id)).map(({token, probability}) => ({token, probability}));
}

// What follows a prompt, of which the model may have room for the end only.
function ahead(model, prompt) {
  const read = prompt.slice(-model.config("model.max_seq_len"));
  return nextTokens(model, model.forward([read]).logits, read.length - 1, model.never);
}

async function continuedAnswer(model, text, options) {
  const {tokenizer} = model, prompt = tokenizer.encodeMarked(text);
  if (!prompt.length) refuse("The text must hold a token", text);
  const ids = await written(model, prompt, text, {...options, stop: model.end, never: model.never});
  const cut = model.room < 0 ? 0 : Math.max(0, prompt.length - model.room);
  return {prediction: {text, continuation: tokenizer.decode(ids), cut_tokens: cut}, ...inside(model, prompt, ids), written: addedText(tokenizer, prompt, text, ids), next: ahead(model, prompt)};
}

async function promptAnswer(model, text, options) {
  const {tokenizer} = model, asked = text + model.config("data.between"), room = model.config("model.max_seq_len"), all = tokenizer.encodeMarked(asked);
  if (!all.length) refuse("The text must hold a token", text);
  const prompt = all.slice(Math.max(0, all.length + 1 - room)), end = tokenizer.encodeMarked(model.config("data.end"));
  const over = ids => ids.length >= end.length && end.every((id, i) => ids[ids.length - end.length + i] === id);
  const whole = await written(model, prompt, asked, {...options, max_tokens: room - prompt.length, never: model.never}, over), ids = over(whole) ? whole.slice(0, -end.length) : whole;
  return {prediction: {text, answer: tokenizer.decode(ids), cut_tokens: all.length - prompt.length}, ...inside(model, prompt, ids), written: tokenizer.decode(ids), next: ahead(model, prompt)};
}

// ---- translations and summaries

async function translated(model, text) {
  const {tokenizer, sourceTokenizer} = model, room = model.config("model.max_seq_len"), eos = tokenizer.id("<eos>"), bos = tokenizer.id("<bos>"), V = tokenizer.tokens.length;
  const all = sourceTokenizer.encode(text), kept = all.slice(0, room - 1), ids = [...kept, sourceTokenizer.id("<eos>")];
  if (!kept.length) refuse("The text must hold a token", text);
  const words = sourceTokenizer.subwords ? kept.map(id => sourceTokenizer.tokens[id]) : sourceTokenizer.cut(sourceTokenizer.normalize(text)), copies = model.config("model.copy") ?? false;
  const copied = !tokenizer.subwords ? kept.map((_, i) => tokenizer.known(words[i]) < 0 ? V + words.indexOf(words[i]) : tokenizer.known(words[i])).concat(eos) : ids;
  const source = {ids, copies: copies ? copied : undefined}, unknown = model.config("task.unknown"), most = model.config("task.max_tokens");
  const found = beamSearch(new Decoding(model, source), [bos], {
    beam: model.config("task.beam"), normalize: model.config("task.normalize"), alpha: model.config("task.length_penalty"), stop: eos,
    max_tokens: most > 0 ? Math.min(most, room) : room, never: [tokenizer.pad, bos, ...unknown === "never" ? [tokenizer.unk] : []]});
  const inner = hypothesis => {
    const {logits, attention} = model.look([bos, ...hypothesis].slice(0, room), source);
    return {logits, attention};
  };
  // Ids beyond the vocabulary are words of the source; with unknown = "source" <unk> becomes the word that is looked at.
  const textOf = hypothesis => {
    const known = hypothesis.map(id => id >= V ? tokenizer.unk : id), plain = tokenizer.decode(known);
    const looks = unknown === "source" && hypothesis.includes(tokenizer.unk);
    if (!looks && known.every((id, i) => id === hypothesis[i])) return plain;
    const crossed = looks ? inner(hypothesis.slice(0, -1)).attention.filter(layer => layer.keys === "source" && layer.queries === "words").pop() : null, mark = tokenizer.decode([tokenizer.unk]);
    const lookedAt = t => crossed ? argmax(kept.map((_, s) => crossed.weights.reduce((sum, head) => sum + head[t][s], 0))) : -1;
    const pieces = plain.split(mark), places = known.flatMap((id, t) => id === tokenizer.unk ? [hypothesis[t] >= V ? hypothesis[t] - V : lookedAt(t)] : []);
    const own = sourceTokenizer.subwords ? [] : words;
    return pieces.reduce((done, piece, i) => done + (own[places[i - 1]] ?? mark) + piece);
  };
  const candidates = found.map(({ids, score}) => ({text: textOf(ids), score})), best = found[0], {logits, attention} = inner(best ? best.ids : []);
  const prediction = {text, [model.task === "summarization" ? "summary" : "translation"]: best ? candidates[0].text : "", log_prob: best ? best.log_prob : null, score: best ? best.score : null,
                      unknown_words: all.filter(id => id === sourceTokenizer.unk).length, cut_tokens: all.length - kept.length, candidates};
  return {prediction, source: ids.map(id => sourceTokenizer.tokens[id]).map((token, i) => sourceTokenizer.subwords ? token : words[i] ?? token), words: [bos, ...best ? best.ids : []].slice(0, room).map(id => tokenizer.tokens[id] ?? words[id - V]),
          read: 1, target: -1, written: best ? candidates[0].text : "", next: nextTokens(model, logits, 0), attention};
}

// ---- puzzles

// A question that some symbols answer, the likeliest one after another.
async function puzzled(model, text, ids, count, backwards = false) {
  const symbols = [], asked = ids.length;
  for (let i = 0; i < count; i++) {
    const {logits} = model.forward([ids]);
    ids = [...ids, argmax(rowOf(logits, ids.length - 1))];
    symbols.push(model.words[ids[ids.length - 1]]);
  }
  const {logits, attention} = model.look(ids);
  return {prediction: {text, answer: (backwards ? symbols.reverse() : symbols).join("")}, words: ids.map(id => model.words[id]), read: asked, target: asked - 1, next: nextTokens(model, logits, asked - 1), attention};
}

function twoNumbers(text, limit) {
  const numbers = text.replaceAll(" ", "").split("+").map(part => /^[0-9]{1,18}$/.test(part) ? Number(part) : limit);
  if (numbers.length !== 2 || Math.max(...numbers) >= limit) refuse(`The question must be like 12+34 with numbers below ${limit}`, text);
  return numbers;
}

function sumAnswer(model, text) {
  const digits = model.config("data.digits"), numbers = twoNumbers(text, 10 ** digits);
  const [a, b] = numbers.map(n => Array.from(String(n).padStart(digits, "0"), Number));
  return puzzled(model, text, [...a, 10, ...b, 11], digits + 1, model.config("data.reverse"));
}

function modularAnswer(model, text) {
  const p = model.config("data.modulus");
  return puzzled(model, text, [...twoNumbers(text, p), p], 1);
}

function listAnswer(model, text) {
  const words = knownWords(model, text), most = model.config("data.max_length");
  let depth = 0;
  words.forEach((word, i) => {
    depth += word.startsWith("[") ? 1 : word === "]" ? -1 : 0;
    if (word === "=" || depth < 0 || (depth === 0 && i + 1 < words.length) || (word === "]" && words[i - 1].startsWith("["))) depth = NaN;
  });
  if (depth !== 0) refuse("The text must be one whole expression, like [MAX 2 9 ]", text);
  if (words.length > most) refuse(`The text must have at most ${most} tokens`, words.length);
  return puzzled(model, text, [...words, "="].map(word => model.symbols.get(word)), 1);
}

// Numbers, two of them marked with *: their sum is read from the first logit at the end.
function addingAnswer(model, text) {
  const words = text.split(/[\s,;]+/).filter(Boolean), values = words.map(word => Number(word.replace("*", "")));
  if (!words.length || values.some(v => !Number.isFinite(v))) refuse("The text must be numbers, two of them marked, like 0.3 0.5* 0.2 0.7*", text);
  const {logits, attention} = model.look(words.map(word => Number(word.includes("*"))), null, {values: floats([1, words.length], Float32Array.from(values))});
  return {prediction: {text, answer: rowOf(logits, words.length - 1)[0].toFixed(3)}, words, read: words.length, target: words.length - 1, attention};
}

// Symbols, and what the model says after each of them.
function symbolsContinued(model, text) {
  const words = knownWords(model, text), room = model.config("model.max_seq_len");
  if (words.length > room) refuse(`The text must have at most ${room} words`, words.length);
  const {logits, attention} = model.look(words.map(word => model.symbols.get(word))), said = words.map((_, t) => model.words[argmax(rowOf(logits, t))]);
  return {prediction: {text, answer: said.join(" ")}, words, read: words.length, target: words.length - 1, next: nextTokens(model, logits, words.length - 1), attention};
}

const kAnswers = {
  wsd: senseAnswer, "text-classification": textClassAnswer, "masked-language-model": maskedAnswer, word2vec: wordVectorAnswer,
  "language-model": continuedAnswer, "prompt-answer": promptAnswer, translation: translated, summarization: translated,
  adder: sumAnswer, "modular-addition": modularAnswer, listops: listAnswer, adding: addingAnswer,
};
