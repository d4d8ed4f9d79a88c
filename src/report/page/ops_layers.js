// The ops of attention, recurrent cells and copying.

// How a tensor of rank 2 [T, S], 3 [B, T, S] or 4 [B, H, T, S] is read as [B, H, T, S]: a function that gives where a row
// (b, h, t) begins, and the step from key to key.
function asScores(x) {
  const shape = x.shape.length === 3 ? [x.shape[0], 1, ...x.shape.slice(1)] : [...Array(4 - x.shape.length).fill(1), ...x.shape];
  const [B, H, T, S] = stridesOf(shape).map((stride, i) => shape[i] === 1 ? 0 : stride);
  return {row: (b, h, t) => b * B + h * H + t * T, step: S};
}

// softmax(scores) in place; 0 where all are -Infinity.
function softmaxInPlace(scores) {
  let top = -Infinity, sum = 0;
  for (const v of scores) if (v > top) top = v;
  if (top === -Infinity) return scores.fill(0);
  for (let s = 0; s < scores.length; s++) sum += scores[s] = Math.exp(scores[s] - top);
  for (let s = 0; s < scores.length; s++) scores[s] /= sum;
}

// Columns q, k, v of x begin where `at` says.
function attend(a, q, k, v, relative) {
  const [B, T] = q.shape, S = k.shape[1], {n_head: H, n_kv_head: G} = a, share = H / G;
  const D = q.width / H, Dv = v.width / G, y = floats([B, T, H * Dv]), seen = a.see && floats([B, H, T, S]);
  const keep = a.keep && asScores(a.keep), bias = a.bias && asScores(a.bias), scores = new Float64Array(S), sum = new Float64Array(Dv);
  const R = relative ? last(relative.shape) : 0, perHead = relative && relative.shape.length === 2;
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++)
      for (let t = 0; t < T; t++) {
        const query = (b * T + t) * q.row + q.at + h * D, g = Math.floor(h / share), place = t + S - T;
        const near = relative && (perHead ? h : (b * T + t) * H + h) * R;
        for (let s = 0; s < S; s++) {
          scores[s] = -Infinity;
          if (a.causal && s > place || a.window > 0 && Math.abs(s - place) >= a.window) continue;
          if (a.key_keep && a.key_keep.data[b * S + s] === 0 || a.starts && s < a.starts.data[b * T + t]) continue;
          if (keep && a.keep.data[keep.row(b, h, t) + s * keep.step] === 0) continue;
          const key = (b * S + s) * k.row + k.at + g * D;
          let score = 0;
          for (let i = 0; i < D; i++) score += q.data[query + i] * k.data[key + i];
          score *= a.scale;
          if (a.softcap > 0) score = a.softcap * Math.tanh(score / a.softcap);
          if (bias) score += a.bias.data[bias.row(b, h, t) + s * bias.step];
          if (relative) score += relative.data[near + Math.max(0, Math.min(R - 1, s - place + (R - 1) / 2))];
          scores[s] = score;
        }
        softmaxInPlace(scores);
        sum.fill(0);
        for (let s = 0; s < S; s++) {
          if (scores[s] === 0) continue;
          const value = (b * S + s) * v.row + v.at + g * Dv;
          for (let i = 0; i < Dv; i++) sum[i] += scores[s] * v.data[value + i];
        }
        y.data.set(sum, (b * T + t) * H * Dv + h * Dv);
        if (seen) seen.data.set(scores, ((b * H + h) * T + t) * S);
      }
  if (seen) a.see(seen);
  return y;
}
const columns = (x, at = 0, width = last(x.shape)) => ({...x, row: last(x.shape), at, width});

function packedAttention(a, x, relative) {
  const D = last(x.shape) / (a.n_head + 2 * a.n_kv_head), kv = a.n_kv_head * D, q = a.n_head * D;
  return attend(a, columns(x, 0, q), columns(x, q, kv), columns(x, q + kv, kv), relative);
}

function rotated(a, x) {
  const [, T, W] = x.shape, y = floats(x.shape, x.data.slice()), half = a.dim / 2, C = a.cos.shape.length === 3 ? x.shape[0] * T : T;
  for (let row = 0; row < x.data.length / W; row++)
    for (let h = 0; h < a.n_head; h++)
      for (let i = 0; i < half; i++) {
        const begin = row * W + h * a.d_head, one = begin + (a.interleaved ? 2 * i : i), two = a.interleaved ? one + 1 : one + half;
        const c = a.cos.data[row % C * half + i], s = a.sin.data[row % C * half + i], u = x.data[one], v = x.data[two];
        y.data[one] = c * u - s * v, y.data[two] = s * u + c * v;
      }
  return y;
}

function headsNormed(a, x, gain) {
  const W = last(x.shape), D = a.d_head, y = floats(x.shape, x.data.slice());
  for (let row = 0; row < x.data.length; row += W)
    for (let h = 0; h < a.queries + a.keys; h++) {
      let squares = 0;
      for (let i = 0; i < D; i++) squares += x.data[row + h * D + i] ** 2;
      const scale = 1 / Math.sqrt(squares / D + a.eps);
      for (let i = 0; i < D; i++) y.data[row + h * D + i] *= scale * (gain ? gain.data[(h < a.queries ? 0 : D) + i] : 1);
    }
  return y;
}

// ---- recurrent cells: step(x W_ih^T + b, h W_hh^T + b_hh, i, H, c) gives the new h and c of unit i

const kCells = {
  rnn: (x, h, i) => [Math.tanh(x[i] + h[i])],
  lstm: (x, h, i, H, c) => {
    const gate = n => x[n * H + i] + h[n * H + i], state = logistic(gate(1)) * c + logistic(gate(0)) * Math.tanh(gate(2));
    return [logistic(gate(3)) * Math.tanh(state), state];
  },
  gru: (x, h, i, H, _, before) => {
    const z = logistic(x[H + i] + h[H + i]);
    return [(1 - z) * Math.tanh(x[2 * H + i] + logistic(x[i] + h[i]) * h[2 * H + i]) + z * before];
  },
};

function recurrent(cell, a, x, W_ih, W_hh, b, b_hh, h, c) {
  const [B, T] = x.shape, H = W_hh.shape[1], N = W_hh.shape[0], gates = linear(a, x, W_ih, b).data, y = floats([B, T, H]);
  const states = [h, c].map(state => floats([B, H], state ? state.data.slice() : undefined)), apart = new Float64Array(N);
  for (let row = 0; row < B; row++) {
    const n = a.lengths ? Math.min(T, a.lengths.data[row]) : T, [own, memory] = states.map(s => s.data.subarray(row * H, row * H + H));
    for (let k = 0; k < n; k++) {
      const t = a.reverse ? n - 1 - k : k, now = gates.subarray((row * T + t) * N, (row * T + t + 1) * N), before = own.slice();
      timesTransposed(before, 0, W_hh.data, 0, 1, N, H, apart, 0);
      if (b_hh) for (let i = 0; i < N; i++) apart[i] += b_hh.data[i];
      for (let i = 0; i < H; i++) {
        const [next, state] = kCells[cell](now, apart, i, H, memory[i], before[i]);
        own[i] = next;
        if (state !== undefined) memory[i] = state;
      }
      y.data.set(own, (row * T + t) * H);
    }
  }
  return cell === "lstm" ? [y, ...states] : [y, states[0]];
}

// log p of the vocabulary and of the words of a source.
function pointerGenerator(a, logits, gate, scores) {
  const [B, T, V] = logits.shape, S = last(scores.shape), W = last(a.shape), y = floats(a.shape);
  const p = new Float64Array(W), copied = new Float64Array(S);
  for (let row = 0; row < B * T; row++) {
    const b = Math.floor(row / T), all = logits.data.subarray(row * V, row * V + V), base = logSum(all), s = logistic(gate.data[row]);
    for (let v = 0; v < W; v++) p[v] = v < V ? s * Math.exp(all[v] - base) : 0;
    for (let i = 0; i < S; i++) copied[i] = a.keep && a.keep.data[b * S + i] === 0 ? -Infinity : scores.data[row * S + i];
    softmaxInPlace(copied);
    for (let i = 0; i < S; i++) p[a.ids.data[b * S + i]] += (1 - s) * copied[i];
    for (let v = 0; v < W; v++) y.data[row * W + v] = p[v] > 0 ? Math.max(-1e30, Math.log(p[v])) : -1e30;
  }
  return y;
}

Object.assign(kOps, {
  attention: (a, q, k, v, relative) => attend(a, columns(q), columns(k), columns(v), relative),
  attention_packed: packedAttention, rotary: rotated, qk_norm: headsNormed, pointer_generator: pointerGenerator,
  rnn: (a, x, W_ih, W_hh, b, h) => recurrent("rnn", a, x, W_ih, W_hh, b, undefined, h),
  lstm: (a, x, W_ih, W_hh, b, h, c) => recurrent("lstm", a, x, W_ih, W_hh, b, undefined, h, c),
  gru: (a, x, W_ih, W_hh, b, b_hh, h) => recurrent("gru", a, x, W_ih, W_hh, b, b_hh, h),
});
