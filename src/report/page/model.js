// The trained model, asked. `model.answer(text, options)` gives a Promise of an answer, whatever computes it: the graph
// of the model in this page, or a server (POST /api/answer with {"run", "text", "options"}). A text that the
// task refuses rejects it with an Error that says why; a server gives {"error": message}.
//
// options, all of them optional:
//   {"max_tokens": 100, "temperature": 0, "top_k": 0, "top_p": 1, "min_p": 0, "seed": 0}   for models that continue texts
//   {"checkpoint": "best"}   or "last" or "step-000100": a server can answer with another checkpoint
//   progress   of the model in the page: told the text written so far, it returns false to end it
//
// An answer has these members; those that a task has nothing for are left out:
//   prediction  what `qkv predict RUN TEXT --json` prints, with the same keys and values. A language model's "continuation"
//               is what the options make of it. Word vectors: {"word", "neighbors": [{"word", "cosine"}]} as
//               `qkv inspect RUN neighbors WORD --json`.
//   words       what the model read, one text per position (a probe text, task.h), then what it wrote
//   read        how many of them it read; the others it wrote
//   target      position of the word that the answer is about, -1: none
//   known       for each of `words`, whether the vocabulary has it
//   source      of a model with a source: the words of it (then `words` is what was written, after its first token)
//   written     the text that was written, as `qkv generate` prints it: with temperature 0 the likeliest one, else a
//               sample; of translations the best hypothesis
//   next        the likeliest tokens after what was read: [{"token", "probability"}], at most 10, largest first
//   attention   [{"layer": "layers.0.attn", "queries": "words", "keys": "source", "heads": 4,
//                 "weights": [head][query][key]}] in the order of the graph; queries and keys are "words" or
//               "source", weights rounded to 4 digits

class PageModel {
  // What `model_json` of report/model.cpp gives.
  constructor(packed) {
    Object.assign(this, packed);
    this.tensors = new Map();
    this.words = packed.vocabulary;
    if (packed.tokenizer) this.tokenizer = new TextTokenizer(packed.tokenizer), this.words = this.tokenizer.tokens;
    this.sourceTokenizer = packed.source_tokenizer ? new TextTokenizer(packed.source_tokenizer) : this.tokenizer;
    this.symbols = new Map(this.words.map((word, id) => [word, id]));
    this.answers = kAnswers[packed.task] || (packed.classes.length ? classifiedWords : symbolsContinued);
  }
  // A value of the config.
  config(key) {
    const text = this.settings[key];
    return text === undefined ? undefined : JSON.parse(text);
  }
  weight(name) {
    if (!this.tensors.has(name)) this.tensors.set(name, unpackTensor(this.packed[name]));
    return this.tensors.get(name);
  }
  run(graph, inputs, see) { return runGraph(this.graphs[graph], name => this.weight(name), inputs, see); }

  // Ids beyond the vocabulary are places in a source, which only copying knows.
  readable(id) { return this.tokenizer && id >= this.tokenizer.tokens.length ? this.tokenizer.unk : id; }
  sourceInputs({ids, copies}, rows) {
    const all = values => integers([rows, ids.length], Array(rows).fill(values).flat());
    return {source_ids: all(ids), source_keep: all(ids.map(() => 1)), ...copies && {copy_ids: all(copies)}};
  }
  // The whole model reads rows of as many ids each, and what `more` adds or replaces.
  forward(rows, source, more = {}, see) {
    const shape = [rows.length, rows[0].length], ones = rows.flat().map(() => 1), zeros = ones.map(() => 0);
    return this.run("forward", {ids: integers(shape, rows.flat().map(id => this.readable(id))), keep: integers(shape, ones), token_types: integers(shape, zeros),
                                target: integers([shape[0]], rows.map(() => 0)), ...source && this.sourceInputs(source, rows.length), ...more}, see);
  }
  // One text, with its attention: {logits, attention}.
  look(ids, source, more) {
    const attention = [];
    const {logits} = this.forward([ids], source, more, (node, {shape: [, H, T, S], data}) => {
      const encodes = node.layer.startsWith("encoder."), crosses = node.layer.endsWith("cross_attn");
      attention.push({layer: node.layer, queries: encodes ? "source" : "words", keys: encodes || crosses ? "source" : "words", heads: H,
                      weights: Array.from({length: H}, (_, h) => Array.from({length: T}, (_, t) => Array.from(data.subarray((h * T + t) * S, (h * T + t + 1) * S), w => Number(w.toFixed(4)))))});
    });
    return {logits, attention};
  }
  async answer(text, options = {}) { return this.answers(this, text, options); }
}
