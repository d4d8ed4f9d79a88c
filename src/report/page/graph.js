// Runs the graph of a model (docs/graph-format.md): tensors are {shape, data}, row-major, f32 or i32.

const sizeOf = shape => shape.reduce((a, b) => a * b, 1);
const floats = (shape, data) => ({shape, data: data || new Float32Array(sizeOf(shape))});
const integers = (shape, values) => ({shape, data: Int32Array.from(values)});
const stridesOf = shape => shape.map((_, i) => sizeOf(shape.slice(i + 1)));

// Where the elements of a shape lie that has these strides, in row-major order.
function places(shape, strides, start = 0) {
  let list = Int32Array.of(start);
  shape.forEach((n, axis) => {
    const next = new Int32Array(list.length * n), stride = strides[axis];
    let at = 0;
    for (const base of list) for (let i = 0; i < n; i++) next[at++] = base + i * stride;
    list = next;
  });
  return list;
}

function gathered(x, shape, strides, start = 0) {
  const at = places(shape, strides, start), data = new x.data.constructor(at.length);
  for (let i = 0; i < at.length; i++) data[i] = x.data[at[i]];
  return {shape, data};
}

// The elements of x as those of a larger shape, by the rules of NumPy.
function spread(x, shape) {
  const extra = shape.length - x.shape.length, own = stridesOf(x.shape);
  if (x.data.length === sizeOf(shape)) return x.data;
  return gathered(x, shape, shape.map((_, i) => i < extra || x.shape[i - extra] === 1 ? 0 : own[i - extra])).data;
}
function commonShape(a, b) {
  const rank = Math.max(a.length, b.length), at = (s, i) => s[i - rank + s.length] ?? 1;
  return Array.from({length: rank}, (_, i) => at(a, i) === 1 ? at(b, i) : at(a, i));
}

// x as [outer, n, inner] around an axis.
const around = (shape, axis) => [sizeOf(shape.slice(0, axis)), shape[axis], sizeOf(shape.slice(axis + 1))];
const last = shape => shape[shape.length - 1];

// ---- products

// C [M, N] = A [M, K] W [N, K]^T: rows of W four at a time.
function timesTransposed(A, a, W, w, M, N, K, C, c) {
  for (let m = 0; m < M; m++) {
    const row = a + m * K, out = c + m * N;
    let n = 0;
    for (; n + 4 <= N; n += 4) {
      const w0 = w + n * K, w1 = w0 + K, w2 = w1 + K, w3 = w2 + K;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (let k = 0; k < K; k++) {
        const x = A[row + k];
        s0 += x * W[w0 + k], s1 += x * W[w1 + k], s2 += x * W[w2 + k], s3 += x * W[w3 + k];
      }
      C[out + n] = s0, C[out + n + 1] = s1, C[out + n + 2] = s2, C[out + n + 3] = s3;
    }
    for (; n < N; n++) {
      let sum = 0;
      for (let k = 0; k < K; k++) sum += A[row + k] * W[w + n * K + k];
      C[out + n] = sum;
    }
  }
}

function linear(a, x, W, b) {
  const [N, K] = W.shape, M = x.data.length / K, y = floats([...x.shape.slice(0, -1), N]);
  timesTransposed(x.data, 0, W.data, 0, M, N, K, y.data, 0);
  if (b) for (let i = 0; i < y.data.length; i++) y.data[i] += b.data[i % N];
  return y;
}

function matmul({shape}, a, b) {
  if (a.shape.length === 1) a = {...a, shape: [1, ...a.shape]};
  if (b.shape.length === 1) b = {...b, shape: [...b.shape, 1]};
  const [M, K] = a.shape.slice(-2), N = last(b.shape);
  const batch = commonShape(a.shape.slice(0, -2), b.shape.slice(0, -2)), count = sizeOf(batch);
  const A = spread(a, [...batch, M, K]), B = gathered({data: spread(b, [...batch, K, N])}, [count, N, K], [K * N, 1, N]).data, y = floats(shape);
  for (let i = 0; i < count; i++) timesTransposed(A, i * M * K, B, i * K * N, M, N, K, y.data, i * M * N);
  return y;
}

// ---- the graph

// "B*T+1" by the sizes of the inputs.
const kTerms = new Map();
function sizeBy(text, symbols) {
  if (typeof text === "number") return text;
  let terms = kTerms.get(text);
  if (!terms) kTerms.set(text, terms = text.replaceAll("-", "+-").split("+").filter(Boolean).map(term => term.split("*")));
  return terms.reduce((sum, term) => sum + term.reduce((product, factor) => product * (symbols[factor] ?? Number(factor)), 1), 0);
}

// The outputs of a graph by name. `weight(name)` gives its parameters and constants; `see(node, weights)` is told the
// weights [B, H, T, S] of each attention.
function runGraph(graph, weight, inputs, see) {
  const values = new Map(graph.tensors.map(name => [name, weight(name)])), symbols = {};
  for (const {name, shape} of graph.inputs) {
    const x = inputs[name];
    if (!x || x.shape.length !== shape.length) throw new Error(`The model reads “${name}” [${shape.join(", ")}], which the page does not give it.`);
    shape.forEach((size, axis) => { if (/^[A-Z]$/.test(size)) symbols[size] = x.shape[axis]; });
    values.set(name, x);
  }
  const whole = shape => shape.map(size => sizeBy(size, symbols));
  for (const node of graph.nodes) {
    const op = kOps[node.op], given = {shape: whole(node.outputs[0].shape), see: see && (weights => see(node, weights))};
    if (!op) throw new Error(`The page does not know the op “${node.op}” of ${node.layer || "the model"}.`);
    for (const [key, value] of Object.entries(node.attributes || {})) given[key] = Array.isArray(value) ? value : sizeBy(value, symbols);
    for (const [key, name] of Object.entries(node.named || {})) given[key] = values.get(name);
    const results = op(given, ...node.inputs.map(name => name === null ? undefined : values.get(name)));
    node.outputs.forEach((output, i) => values.set(output.name, Array.isArray(results) ? results[i] : results));
  }
  return Object.fromEntries(graph.outputs.map(({name, value}) => [name, values.get(value)]));
}
