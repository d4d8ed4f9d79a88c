// The files of the page that compute with a model, without a browser: import {load} from "./page_model.mjs".
import {readFileSync} from "node:fs";

const kFiles = ["graph", "ops", "ops_layers", "packed", "tokenizer", "generation", "answers", "answers_text", "model"];

// The names that these files define.
export function load(source, names) {
  const script = kFiles.map(name => readFileSync(`${source}/src/report/page/${name}.js`, "utf8")).join("\n");
  return new Function(`"use strict";\n${script}\nreturn {${names.join(", ")}};`)();
}

// {name: {shape, data}} of a file of safetensors; `integers` are Int32Array, all others Float32Array.
export function readSafetensors(path) {
  const bytes = readFileSync(path), size = Number(bytes.readBigUInt64LE(0)), head = JSON.parse(bytes.subarray(8, 8 + size).toString()), tensors = {};
  const kinds = {F32: Float32Array, F64: Float64Array, I32: Int32Array};
  delete head.__metadata__;
  for (const [name, {dtype, shape, data_offsets: [begin, end]}] of Object.entries(head)) {
    const own = new kinds[dtype](Uint8Array.from(bytes.subarray(8 + size + begin, 8 + size + end)).buffer);
    tensors[name] = {shape, data: dtype === "F64" ? Float32Array.from(own) : own};
  }
  return tensors;
}
