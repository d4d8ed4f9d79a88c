"""Runs a graph of docs/graph-format.md in NumPy, in f64: every op as the page defines it."""
import math

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def size(text, symbols):
    """The value of "B*T+1"."""
    if isinstance(text, int):
        return text
    total = 0
    for term in text.replace("-", "+-").split("+"):
        product = 1
        for factor in term.split("*"):
            product *= symbols[factor] if factor in symbols else int(factor)
        total += product
    return total


def gelu(x, tanh):
    u = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) if tanh else erf(x / math.sqrt(2))
    return x * (1 + u) / 2


def reduced(f):
    return lambda x, axes, keep_dims, **_: f(x, axis=tuple(axes), keepdims=bool(keep_dims)) if axes else x


def logsumexp(x, axis, keepdims):
    top = x.max(axis, keepdims=True)
    return np.log(np.exp(x - top).sum(axis, keepdims=keepdims)) + (top if keepdims else np.squeeze(top, axis))


def pair(f):
    def op(a, b=None, left=None, right=None, **_):
        return f(left if left is not None else a, a if left is not None else b if right is None else right)

    return op


def layer_norm(x, gain, bias=None, axis=0, eps=0, **_):
    axes = tuple(range(axis, x.ndim))
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps) * gain
    return y if bias is None else y + bias


def rms_norm(x, gain, axis, eps, **_):
    return x / np.sqrt((x * x).mean(tuple(range(axis, x.ndim)), keepdims=True) + eps) * gain


def cumsum(x, axis, exclusive, reverse, **_):
    y = np.flip(x, axis) if reverse else x
    y = np.cumsum(y, axis) - (y if exclusive else 0)
    return np.flip(y, axis) if reverse else y


def part(x, axis, begin, end, **_):
    return x[(slice(None),) * axis + (slice(begin, end),)]


def take_along(x, ids, axis, **_):
    index = list(np.indices(ids.shape))
    index[axis] = ids
    return x[tuple(index)]


def embedding_bag(table, ids, offsets, **_):
    bags = [table[ids[a:b]] for a, b in zip(offsets, offsets[1:])]
    return np.array([bag.mean(0) if len(bag) else np.zeros(table.shape[1]) for bag in bags])


def masked_mean(x, keep, **_):
    weights = (keep != 0)[..., None]
    return (x * weights).sum(1) / np.maximum(1, weights.sum(1))


def attention(q, k, v, relative=None, *, n_head, n_kv_head, scale, softcap, causal, window,
              key_keep=None, keep=None, bias=None, starts=None, **_):
    heads = lambda x, n: np.moveaxis(x.reshape(*x.shape[:2], n, -1), 2, 1)
    repeated = lambda x: np.repeat(heads(x, n_kv_head), n_head // n_kv_head, 1)
    per_head = lambda x: x[:, None] if x.ndim == 3 else x
    T, S = q.shape[1], k.shape[1]
    place, key = np.arange(T)[:, None] + S - T, np.arange(S)
    scores = heads(q, n_head) @ np.swapaxes(repeated(k), 2, 3) * scale
    scores = softcap * np.tanh(scores / softcap) if softcap > 0 else scores
    scores = scores + per_head(bias) if bias is not None else scores
    if relative is not None:
        last = relative.shape[-1] - 1
        column = np.clip(key - place + last // 2, 0, last)
        t = np.arange(T)[:, None]
        scores = scores + (relative[:, column] if relative.ndim == 2 else np.moveaxis(relative, 2, 1)[:, :, t, column])
    sees = np.ones(scores.shape, bool)
    if keep is not None:
        sees = sees & (per_head(keep) != 0)
    if key_keep is not None:
        sees = sees & (key_keep[:, None, None] != 0)
    if causal:
        sees = sees & (key <= place)
    if window > 0:
        sees = sees & (abs(key - place) < window)
    if starts is not None:
        sees = sees & (key >= starts[:, None, :, None])
    weights = softmax(np.where(sees, scores, -1e300)) * sees
    return np.moveaxis(weights @ repeated(v), 1, 2).reshape(*q.shape[:2], -1)


def attention_packed(qkv, relative=None, *, n_head, n_kv_head, **options):
    D = qkv.shape[2] // (n_head + 2 * n_kv_head)
    q, k, v = np.split(qkv, [n_head * D, (n_head + n_kv_head) * D], 2)
    return attention(q, k, v, relative, n_head=n_head, n_kv_head=n_kv_head, **options)


def qk_norm(x, gain=None, *, d_head, queries, keys, eps, **_):
    heads = x[..., : (queries + keys) * d_head].reshape(*x.shape[:2], queries + keys, d_head)
    y = heads / np.sqrt((heads * heads).mean(-1, keepdims=True) + eps)
    if gain is not None:
        y = y * gain.reshape(-1, d_head)[np.repeat([0, 1], [queries, keys])]
    return np.concatenate([y.reshape(*x.shape[:2], -1), x[..., (queries + keys) * d_head :]], 2)


def rotary(x, cos, sin, n_head, d_head, dim, interleaved, **_):
    y = x[..., : n_head * d_head].reshape(*x.shape[:2], n_head, d_head).copy()
    first = slice(0, dim, 2) if interleaved else slice(0, dim // 2)
    second = slice(1, dim, 2) if interleaved else slice(dim // 2, dim)
    c, s, x1, x2 = cos[..., None, :], sin[..., None, :], y[..., first].copy(), y[..., second].copy()
    y[..., first], y[..., second] = c * x1 - s * x2, s * x1 + c * x2
    return np.concatenate([y.reshape(*x.shape[:2], -1), x[..., n_head * d_head :]], 2)


def rnn_cell(gates, apart, h, c):
    return np.tanh(gates + apart), c


def lstm_cell(gates, apart, h, c):
    i, f, g, o = np.split(gates + apart, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_cell(gates, apart, h, c):
    (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(gates, 3, -1), np.split(apart, 3, -1)
    z = sigmoid(x_z + h_z)
    return (1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h, c


def recurrent(cell, x, W_ih, W_hh, b, b_hh, h, c, lengths, reverse):
    zero = np.zeros((len(x), W_hh.shape[1]))
    h, c = zero if h is None else h, zero if c is None else c
    y = np.zeros((*x.shape[:2], W_hh.shape[1]))
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        real = np.ones((len(x), 1), bool) if lengths is None else t < lengths[:, None]
        gates = x[:, t] @ W_ih.T + (0 if b is None else b)
        next_h, next_c = cell(gates, h @ W_hh.T + (0 if b_hh is None else b_hh), h, c)
        y[:, t] = np.where(real, next_h, 0)
        h, c = np.where(real, next_h, h), np.where(real, next_c, c)
    return y, h, c


def rnn(x, W_ih, W_hh, b=None, h=None, lengths=None, reverse=0, **_):
    return recurrent(rnn_cell, x, W_ih, W_hh, b, None, h, None, lengths, reverse)[:2]


def lstm(x, W_ih, W_hh, b=None, h=None, c=None, lengths=None, reverse=0, **_):
    return recurrent(lstm_cell, x, W_ih, W_hh, b, None, h, c, lengths, reverse)


def gru(x, W_ih, W_hh, b=None, b_hh=None, h=None, lengths=None, reverse=0, **_):
    return recurrent(gru_cell, x, W_ih, W_hh, b, b_hh, h, None, lengths, reverse)[:2]


def pointer_generator(logits, gate, scores, ids, width, shape, keep=None):
    log_sigmoid = lambda x: -np.logaddexp(0, -x)
    log_softmax = lambda x: x - np.logaddexp.reduce(x, -1, keepdims=True)
    written = np.full(shape, -np.inf)
    written[..., : logits.shape[2]] = log_softmax(logits) + log_sigmoid(gate)
    if keep is not None:
        scores = np.where(keep[:, None] != 0, scores, -np.inf)
    copied = log_softmax(scores) + log_sigmoid(-gate)
    for b, t, i in np.ndindex(copied.shape):
        written[b, t, ids[b, i]] = np.logaddexp(written[b, t, ids[b, i]], copied[b, t, i])
    return np.maximum(written, -1e30)


def last_positions(steps, shape, lengths=None):
    return np.full(shape, steps - 1) if lengths is None else np.maximum(0, lengths - 1)


def mix(x, y, weights, begin, **_):
    z, columns = x.copy(), slice(begin, begin + y.shape[-1])
    z[..., columns] = weights[0] * x[..., columns] + weights[1] * y
    return z


def unary(f):
    return lambda x, **_: f(x)


OPS = {
    **{name: unary(getattr(np, name)) for name in ("exp", "log", "sqrt", "tanh", "abs", "square")},
    "erf": unary(erf),
    "sigmoid": unary(sigmoid),
    "relu": unary(lambda x: np.maximum(x, 0)),
    "softplus": unary(lambda x: np.log1p(np.exp(x))),
    "neg": unary(lambda x: -x),
    "softmax": unary(softmax),
    "log_softmax": unary(lambda x: x - logsumexp(x, -1, True)),
    "relu_squared": unary(lambda x: np.maximum(x, 0) ** 2),
    "softcap": lambda x, cap, **_: cap * np.tanh(x / cap),
    "mix": mix,
    "leaky_relu": lambda x, slope, **_: np.where(x < 0, slope * x, x),
    "elu": lambda x, alpha, **_: np.where(x < 0, alpha * (np.exp(x) - 1), x),
    "gelu": lambda x, tanh, **_: gelu(x, tanh),
    "silu": lambda x, alpha, **_: x * sigmoid(alpha * x),
    "swiglu": lambda gate, up, alpha, **_: gate * sigmoid(alpha * gate) * up,
    "clip": lambda x, low, high, **_: np.minimum(np.maximum(x, low), high),
    "add": pair(np.add),
    "sub": pair(np.subtract),
    "mul": pair(np.multiply),
    "div": pair(np.divide),
    "pow": pair(np.power),
    "maximum": lambda a, b, **_: np.maximum(a, b),
    "minimum": lambda a, b, **_: np.minimum(a, b),
    "where": lambda a, b, condition, **_: np.where(condition != 0, a, b),
    "sum": reduced(np.sum),
    "mean": reduced(lambda x, axis, keepdims: x.mean(axis, keepdims=keepdims)),
    "max": reduced(lambda x, axis, keepdims: x.max(axis, keepdims=keepdims)),
    "min": reduced(lambda x, axis, keepdims: x.min(axis, keepdims=keepdims)),
    "logsumexp": reduced(logsumexp),
    "cumsum": cumsum,
    "matmul": lambda a, b, **_: a @ b,
    "linear": lambda x, W, b=None, **_: x @ W.T + (0 if b is None else b),
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "reshape": lambda x, shape: x.reshape(shape),
    "broadcast_to": lambda x, shape: np.broadcast_to(x, shape),
    "permute": lambda x, order, **_: x.transpose(order),
    "tril": lambda x, diagonal, **_: np.tril(x, diagonal),
    "triu": lambda x, diagonal, **_: np.triu(x, diagonal),
    "slice": part,
    "concat": lambda *parts, axis, **_: np.concatenate(parts, axis),
    "index_select": lambda x, ids, axis, **_: np.take(x, ids, axis),
    "take_along": take_along,
    "embedding": lambda table, ids, **_: table[ids],
    "embedding_bag": embedding_bag,
    "masked_mean": masked_mean,
    "select_positions": lambda x, positions, **_: x[np.arange(len(x)), positions],
    "one_hot": lambda ids, depth, **_: np.eye(depth)[ids],
    "positions": lambda begin, shape: begin + np.arange(shape[0]),
    "relative_positions": lambda target, max_length, shape: np.clip(
        np.arange(shape[1]) - target[:, None] + max_length - 1, 0, 2 * max_length - 2),
    "lengths": lambda keep, **_: (keep == 1).sum(1),
    "document_positions": lambda starts, shape: np.arange(shape[1]) - starts,
    "pointer_generator": pointer_generator,
    "last_positions": last_positions,
    "cast": unary(lambda x: x.astype(np.float64)),
    "attention": attention,
    "attention_packed": attention_packed,
    "rotary": rotary,
    "qk_norm": qk_norm,
    "rnn": rnn,
    "lstm": lstm,
    "gru": gru,
}


def run(graph, tensors, inputs):
    """The outputs of a graph by name, in f64."""
    values = {name: tensors[name] for name in graph["tensors"]}
    symbols = {}
    for one in graph["inputs"]:
        values[one["name"]] = inputs[one["name"]]
        symbols.update({s: n for s, n in zip(one["shape"], inputs[one["name"]].shape) if str(s).isalpha()})
    values = {name: v.astype(np.float64) if v.dtype.kind == "f" else v for name, v in values.items()}
    for node in graph["nodes"]:
        read = [None if name is None else values[name] for name in node["inputs"]]
        named = {key: values[name] for key, name in node.get("named", {}).items()}
        attributes = {
            key: size(v, symbols) if isinstance(v, str) else v for key, v in node.get("attributes", {}).items()}
        shape = tuple(size(d, symbols) for d in node["outputs"][0]["shape"])
        results = OPS[node["op"]](*read, **named, **attributes, shape=shape)
        for output, result in zip(node["outputs"], results if isinstance(results, tuple) else (results,)):
            wanted = tuple(size(d, symbols) for d in output["shape"])
            assert np.shape(result) == wanted, f"{node['op']}: {np.shape(result)}, not {wanted}"
            values[output["name"]] = result
    return {one["name"]: values[one["value"]] for one in graph["outputs"]}
