// The answers of the page's model against those of the program: node answers_test.mjs SOURCE_DIR FOLDER (see answers_test.sh)
import assert from "node:assert/strict";
import {existsSync, readdirSync, readFileSync} from "node:fs";
import {load} from "./page_model.mjs";

const [source, folder] = process.argv.slice(2);
const {PageModel} = load(source, ["PageModel"]);
const lines = file => readFileSync(`${folder}/${file}`, "utf8").trimEnd().split("\n");
const kTolerance = 1e-3;
let worst = 0;

// Texts and lists are equal, numbers up to the tolerance; members of the program's answer only.
function compare(what, got, wanted) {
  if (typeof wanted === "number") {
    const off = Math.abs(got - wanted) / Math.max(1, Math.abs(wanted));
    worst = Math.max(worst, off);
    assert(off <= kTolerance, `${what}: ${got}, not ${wanted}`);
  } else if (wanted !== null && typeof wanted === "object") {
    assert.equal(Object.keys(got || {}).length, Object.keys(wanted).length, `${what}: has ${JSON.stringify(got)}`);
    for (const key of Object.keys(wanted)) compare(`${what}.${key}`, got[key], wanted[key]);
  } else {
    assert.equal(got, wanted, what);
  }
}

const kGenerate = {stories: {max_tokens: 120}, pieces: {max_tokens: 40, temperature: 0.8, top_k: 20, seed: 3}, words: {max_tokens: 40, temperature: 0.9, top_p: 0.9, min_p: 0.01, seed: 12345678901}};
const names = readdirSync(folder).filter(name => name.endsWith(".texts")).map(name => name.slice(0, -6)), slow = [];
assert(names.length >= 18);
for (const name of names) {
  const {model: packed} = JSON.parse(readFileSync(`${folder}/${name}.json`)), texts = lines(`${name}.texts`);
  assert.equal(packed.missing, undefined, name);
  const model = new PageModel(packed), predictions = existsSync(`${folder}/${name}.predict`) ? lines(`${name}.predict`).map(line => JSON.parse(line)) : [];
  for (const [i, text] of texts.entries()) {
    await model.answer(text);  // unpacks the weights
    const begin = performance.now(), answer = await model.answer(text), ms = performance.now() - begin;
    slow.push([ms / Math.max(1, answer.words.length - answer.read), name]);
    if (predictions.length) compare(`${name}: ${text}`, answer.prediction, predictions[i]);
    for (const {layer, heads, weights, queries, keys} of answer.attention || []) {
      assert.equal(weights.length, heads, layer);
      assert.equal(weights[0].length, answer[queries].length, layer);
      for (const row of weights.flat()) assert(row.length === answer[keys].length && Math.abs(row.reduce((a, b) => a + b) - 1) < 0.01, `${name} ${layer}: ${row}`);
    }
    if (answer.read > 1 && answer.words.length > answer.read && !answer.source) assert.equal(answer.words[answer.read], answer.next[0].token, name);
    if (answer.next) assert(answer.next.every((t, k) => k === 0 || t.probability <= answer.next[k - 1].probability), name);
    if (kGenerate[name]) assert.equal((await model.answer(text, kGenerate[name])).written, JSON.parse(lines(`${name}.generate`)[i]).text, name);
  }
}
// What the program refuses, the page refuses.
const refused = async (name, text, rule) => assert.rejects(new PageModel(JSON.parse(readFileSync(`${folder}/${name}.json`)).model).answer(text), rule, `${name}: ${text}`);
await refused("bank", "no such word", /must hold one of the words/);
await refused("bank", "the [bank", /in \[brackets\]/);
await refused("bank", "the [river bank]", /one whole word/);
await refused("adder", "1+200", /below 100/);
await refused("listops", "[MAX 2 9", /one whole expression/);
await refused("masked", "no mask", /\[MASK\]/);
await refused("translate", " ", /must hold a token/);
await refused("stories", "", /must hold a token/);
await refused("vectors", "qqq", /must have the word/);

console.log(`counted: ${names.length} kinds of models asked in the page`);
console.log(`${names.length} models, numbers at most ${worst.toExponential(1)} off; slowest per token: ${slow.sort((a, b) => b[0] - a[0]).slice(0, 3).map(([ms, name]) => `${name} ${ms.toFixed(1)} ms`).join(", ")}`);
