// Every op and every kind of model of the graph format, run by the page's files in node, against the values of qkv.
//   node graph_test.mjs SOURCE_DIR FOLDER      FOLDER as tests/interop/onnx_test.cpp fills it
import {readdirSync, readFileSync, existsSync} from "node:fs";
import {load, readSafetensors} from "./page_model.mjs";

const [source, folder] = process.argv.slice(2);
const {runGraph, kOps, Decoding} = load(source, ["runGraph", "kOps", "Decoding"]);
const failed = [], seen = new Set();
let worst = 0, checked = 0;

function compare(what, got, wanted) {
  checked++;
  let error = 0;
  if (String(got.shape) !== String(wanted.shape)) error = Infinity;
  else wanted.data.forEach((w, i) => { if (!Object.is(w, got.data[i]) && w !== got.data[i]) error = Math.max(error, Math.abs(got.data[i] - w) / Math.max(1, Math.abs(w)) || (Number.isNaN(got.data[i]) ? Infinity : 0)); });
  worst = Math.max(worst, error);
  if (!(error <= 1e-4)) failed.push(`${what}: off by ${error.toExponential(2)}`);
}
const part = (tensors, prefix) => Object.fromEntries(Object.entries(tensors).filter(([name]) => name.startsWith(prefix)).map(([name, tensor]) => [name.slice(prefix.length), tensor]));
const attempt = (what, f) => { try { f(); } catch (error) { failed.push(`${what}: ${error.message}`); } };

for (const file of readdirSync(`${folder}/ops`).filter(name => name.endsWith(".json")).sort()) {
  const stem = file.slice(0, -5), graph = JSON.parse(readFileSync(`${folder}/ops/${file}`)), tensors = readSafetensors(`${folder}/ops/${stem}.safetensors`);
  graph.nodes.forEach(node => seen.add(node.op));
  attempt(stem, () => compare(stem, runGraph(graph, name => tensors[name], part(tensors, "in.")).y, tensors["out.y"]));
}
// Which only batches of packed documents run.
const packed = {inputs: [{name: "starts", shape: ["B", "T"]}], tensors: [], outputs: [{name: "y", value: "v"}],
                nodes: [{op: "document_positions", inputs: [], named: {starts: "starts"}, outputs: [{name: "v", shape: ["B", "T"]}]}]};
compare("document_positions", runGraph(packed, null, {starts: {shape: [2, 3], data: Int32Array.of(0, 0, 2, 0, 1, 1)}}).y, {shape: [2, 3], data: [0, 1, 0, 0, 0, 1]});
seen.add("document_positions");
const ops = checked;

// Batches of several sizes, and texts in three steps, with the model as a page has it.
function checkModel(name) {
  const {graphs} = JSON.parse(readFileSync(`${folder}/${name}/graph.json`)), own = readSafetensors(`${folder}/${name}/graph.safetensors`), tensors = readSafetensors(`${folder}/${name}/answers.safetensors`);
  const run = (graph, inputs) => runGraph(graphs[graph], tensor => own[tensor], inputs);
  for (const graph of Object.values(graphs)) graph.nodes.forEach(node => seen.add(node.op));
  for (let count = 0; `${count}.out.logits` in tensors; count++) {
    const batch = part(tensors, `${count}.in.`);
    compare(`${name} ${count}`, run("forward", batch).logits, tensors[`${count}.out.logits`]);
    if (!(`${count}.step0.ids` in tensors) || !graphs.decode) continue;
    // Each row of the batch by itself, as a page reads texts.
    const rows = batch.ids.shape[0], S = batch.source_ids ? batch.source_ids.shape[1] : 0;
    for (let b = 0; b < rows; b++) {
      const row = ({shape: [, n], data}) => Array.from(data.subarray(b * n, b * n + n));
      const sourceInputs = () => Object.fromEntries(["source_ids", "source_keep", "copy_ids"].filter(key => key in batch).map(key => [key, {shape: [1, S], data: Int32Array.from(row(batch[key]))}]));
      const decoding = new Decoding({graphs, run, room: -1, readable: id => id, sourceInputs}, S ? {} : undefined);
      for (let step = 0; step < 3; step++) {
        const wanted = tensors[`${count}.step${step}.logits`], V = wanted.shape[1];
        compare(`${name} ${count} row ${b} step ${step}`, {shape: [V], data: decoding.feed([row(tensors[`${count}.step${step}.ids`])])[0]}, {shape: [V], data: wanted.data.subarray(b * V, b * V + V)});
      }
    }
  }
}
const models = readdirSync(folder).filter(name => existsSync(`${folder}/${name}/answers.safetensors`));
for (const name of models) attempt(name, () => checkModel(name));
for (const op of Object.keys(kOps)) if (!seen.has(op)) failed.push(`${op}: no case runs it`);

for (const line of failed) console.log("FAILED", line);
console.log(`counted: ${ops} cases of ops in the page`);
console.log(`${ops} cases of ${seen.size} ops, ${models.length} models with ${checked - ops} answers, worst relative error ${worst.toExponential(1)}`);
process.exit(failed.length || ops < 400 || models.length < 25 ? 1 : 0);
