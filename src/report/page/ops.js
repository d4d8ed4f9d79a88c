// The ops of docs/graph-format.md: (attributes and named tensors, inputs..) -> tensor, or list of tensors. `shape` is that
// of the result.

function mapped(x, f) {
  const y = new Float32Array(x.data.length);
  for (let i = 0; i < y.length; i++) y[i] = f(x.data[i]);
  return floats(x.shape, y);
}
const each = f => (a, x) => mapped(x, v => f(v, a));

function zipped(x, y, f) {
  const shape = commonShape(x.shape, y.shape), a = spread(x, shape), b = spread(y, shape), z = floats(shape);
  for (let i = 0; i < z.data.length; i++) z.data[i] = f(a[i], b[i]);
  return z;
}
// Of two tensors, or of one and a number.
const pair = f => (a, x, y) => a.left !== undefined ? mapped(x, v => f(a.left, v)) : a.right !== undefined ? mapped(x, v => f(v, a.right)) : zipped(x, y, f);

const logistic = v => 1 / (1 + Math.exp(-v));
const softplus = v => v > 0 ? v + Math.log1p(Math.exp(-v)) : Math.log1p(Math.exp(v));
// Abramowitz and Stegun 7.1.26: 1.5e-7 off at most.
function erf(v) {
  const t = 1 / (1 + 0.3275911 * Math.abs(v));
  const y = 1 - t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * Math.exp(-v * v);
  return v < 0 ? -y : y;
}
const gelu = (v, a) => a.tanh ? v * logistic(2 * Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)) : v * (1 + erf(v / Math.SQRT2)) / 2;

// ---- over axes

// f(sum so far, value) from `start` over the axes; then `end(sum, number of values, place)`.
const reduced = (start, f, end = sum => sum) => (a, x) => {
  if (!a.axes.length) return x;
  const kept = x.shape.map((n, i) => a.axes.includes(i) ? 1 : n), own = stridesOf(kept);
  const to = places(x.shape, own.map((stride, i) => a.axes.includes(i) ? 0 : stride)), sums = new Float64Array(sizeOf(kept)).fill(start);
  for (let i = 0; i < to.length; i++) sums[to[i]] = f(sums[to[i]], x.data[i], to[i]);
  const n = to.length / sums.length;
  return floats(a.shape, Float32Array.from(sums, (sum, i) => end(sum, n, i)));
};
const largest = reduced(-Infinity, (top, v) => Math.max(top, v));
function logSumExp(a, x) {
  const top = largest(a, x).data;
  return reduced(0, (sum, v, i) => sum + Math.exp(v - top[i]), (sum, _, i) => top[i] + Math.log(sum))(a, x);
}

// f(row, its place in the result, result) of rows of the last n elements.
function byRows(x, n, f) {
  const y = floats(x.shape);
  for (let at = 0; at < x.data.length; at += n) f(x.data.subarray(at, at + n), at, y.data);
  return y;
}
// log of the sum of exp of a row that is not all -Infinity.
function logSum(row) {
  let top = -Infinity, sum = 0;
  for (const v of row) if (v > top) top = v;
  for (const v of row) sum += Math.exp(v - top);
  return top + Math.log(sum);
}
const softmaxOf = (f => (a, x) => byRows(x, last(x.shape), (row, at, y) => {
  const all = logSum(row);
  for (let i = 0; i < row.length; i++) y[at + i] = f(row[i] - all);
}));

// (x - mean) / sqrt(variance + eps) gain + bias over the axes from `axis` on; without mean: rms.
const normed = centred => (a, x, gain, bias) => byRows(x, sizeOf(x.shape.slice(a.axis)), (row, at, y) => {
  const n = row.length;
  let mean = 0, squares = 0;
  if (centred) { for (const v of row) mean += v; mean /= n; }
  for (const v of row) squares += (v - mean) ** 2;
  const scale = 1 / Math.sqrt(squares / n + a.eps);
  for (let i = 0; i < n; i++) y[at + i] = (row[i] - mean) * scale * gain.data[i] + (bias ? bias.data[i] : 0);
});

function cumulated(a, x) {
  const [outer, n, inner] = around(x.shape, a.axis), y = floats(x.shape);
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < inner; i++)
      for (let k = 0, sum = 0; k < n; k++) {
        const at = (o * n + (a.reverse ? n - 1 - k : k)) * inner + i;
        y.data[at] = a.exclusive ? sum : sum + x.data[at];
        sum += x.data[at];
      }
  return y;
}

// ---- shapes and places

function triangle(a, x, kept) {
  const [R, C] = x.shape.slice(-2), y = floats(x.shape);
  for (let i = 0; i < y.data.length; i++) if (kept(i % C - Math.floor(i / C) % R)) y.data[i] = x.data[i];
  return y;
}

function joined(a, ...parts) {
  const [outer, n, inner] = around(a.shape, a.axis), data = new parts[0].data.constructor(sizeOf(a.shape));
  let begin = 0;
  for (const part of parts) {
    const size = part.shape[a.axis] * inner;
    for (let o = 0; o < outer; o++) data.set(part.data.subarray(o * size, o * size + size), o * n * inner + begin);
    begin += size;
  }
  return {shape: a.shape, data};
}

function selected(x, axis, ids) {
  const [outer, n, inner] = around(x.shape, axis), k = ids.data.length, data = new x.data.constructor(outer * k * inner);
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < k; i++) {
      const at = (o * n + (ids.data[i] < 0 ? ids.data[i] + n : ids.data[i])) * inner;
      data.set(x.data.subarray(at, at + inner), (o * k + i) * inner);
    }
  return {shape: [...x.shape.slice(0, axis), ...ids.shape, ...x.shape.slice(axis + 1)], data};
}

function takenAlong(a, x) {
  const [, n, inner] = around(x.shape, a.axis), k = a.ids.shape[a.axis];
  return floats(a.shape, Float32Array.from(a.ids.data, (id, i) => x.data[(Math.floor(i / (k * inner)) * n + (id < 0 ? id + n : id)) * inner + i % inner]));
}

function bags(a, table) {
  const d = table.shape[1], count = a.offsets.data.length - 1, y = floats([count, d]);
  for (let w = 0; w < count; w++) {
    const [begin, end] = [a.offsets.data[w], a.offsets.data[w + 1]];
    for (let at = begin; at < end; at++) for (let i = 0; i < d; i++) y.data[w * d + i] += table.data[a.ids.data[at] * d + i] / (end - begin);
  }
  return y;
}

function maskedMean(a, x) {
  const [B, T, d] = x.shape, y = floats([B, d]);
  for (let b = 0; b < B; b++) {
    const kept = [...Array(T).keys()].filter(t => a.keep.data[b * T + t] !== 0);
    for (const t of kept) for (let i = 0; i < d; i++) y.data[b * d + i] += x.data[(b * T + t) * d + i] / kept.length;
  }
  return y;
}

// A tensor of integers from a function of its place.
const counted = f => (a, ...inputs) => integers(a.shape, Array.from({length: sizeOf(a.shape)}, (_, i) => f(a, i, ...inputs)));

const kOps = {
  ...Object.fromEntries(["exp", "log", "sqrt", "tanh", "abs"].map(name => [name, each(Math[name])])),
  erf: each(erf), sigmoid: each(logistic), softplus: each(softplus),
  relu: each(v => v < 0 ? 0 : v), neg: each(v => -v), square: each(v => v * v), relu_squared: each(v => v < 0 ? 0 : v * v),
  softcap: each((v, a) => a.cap * Math.tanh(v / a.cap)), leaky_relu: each((v, a) => v < 0 ? a.slope * v : v),
  elu: each((v, a) => v < 0 ? a.alpha * Math.expm1(v) : v), gelu: each(gelu), silu: each((v, a) => v * logistic(a.alpha * v)),
  clip: each((v, a) => Math.min(Math.max(v, a.low), a.high)),
  swiglu: (a, gate, up) => zipped(gate, up, (g, u) => g * logistic(a.alpha * g) * u),
  add: pair((x, y) => x + y), sub: pair((x, y) => x - y), mul: pair((x, y) => x * y), div: pair((x, y) => x / y), pow: pair(Math.pow),
  maximum: pair(Math.max), minimum: pair(Math.min),
  where: (a, x, y) => {
    const shape = a.shape, [p, q, c] = [x, y, a.condition].map(one => spread(one, shape));
    return floats(shape, Float32Array.from(c, (yes, i) => yes !== 0 ? p[i] : q[i]));
  },
  mix: (a, x, y, weights) => {
    const n = last(x.shape), w = last(y.shape), z = floats(x.shape, x.data.slice()), [u, v] = weights.data;
    for (let i = 0; i < y.data.length; i++) {
      const at = Math.floor(i / w) * n + a.begin + i % w;
      z.data[at] = u * x.data[at] + v * y.data[i];
    }
    return z;
  },
  sum: reduced(0, (sum, v) => sum + v), mean: reduced(0, (sum, v) => sum + v, (sum, n) => sum / n),
  max: largest, min: reduced(Infinity, (low, v) => Math.min(low, v)), logsumexp: logSumExp,
  softmax: softmaxOf(Math.exp), log_softmax: softmaxOf(v => v), cumsum: cumulated,
  layer_norm: normed(true), rms_norm: normed(false), matmul, linear,
  reshape: (a, x) => ({shape: a.shape, data: x.data}),
  broadcast_to: (a, x) => ({shape: a.shape, data: spread(x, a.shape)}),
  permute: (a, x) => gathered(x, a.shape, a.order.map(axis => stridesOf(x.shape)[axis])),
  tril: (a, x) => triangle(a, x, d => d <= a.diagonal), triu: (a, x) => triangle(a, x, d => d >= a.diagonal),
  slice: (a, x) => gathered(x, a.shape, stridesOf(x.shape), a.begin * stridesOf(x.shape)[a.axis]),
  concat: joined, index_select: (a, x) => selected(x, a.axis, a.ids), take_along: takenAlong,
  embedding: (a, table) => selected(table, 0, a.ids), embedding_bag: bags, masked_mean: maskedMean,
  select_positions: (a, x) => {
    const [B, T, d] = x.shape;
    return selected({shape: [B * T, d], data: x.data}, 0, integers([B], a.positions.data.map((t, b) => b * T + t)));
  },
  one_hot: a => floats(a.shape, Float32Array.from({length: sizeOf(a.shape)}, (_, i) => Number(a.ids.data[Math.floor(i / a.depth)] === i % a.depth))),
  positions: counted((a, i) => a.begin + i),
  relative_positions: counted((a, i) => Math.max(0, Math.min(2 * a.max_length - 2, i % a.shape[1] - a.target.data[Math.floor(i / a.shape[1])] + a.max_length - 1))),
  document_positions: counted((a, i) => i % a.shape[1] - a.starts.data[i]),
  lengths: counted((a, b) => a.keep.data.subarray(b * a.keep.shape[1], (b + 1) * a.keep.shape[1]).reduce((n, k) => n + (k === 1), 0)),
  last_positions: counted((a, b) => a.lengths ? Math.max(0, a.lengths.data[b] - 1) : a.steps - 1),
  cast: a => floats(a.x.shape, Float32Array.from(a.x.data)),
};
