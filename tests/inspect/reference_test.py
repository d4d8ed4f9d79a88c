"""Compares `qkv inspect RUN lens|attribute|patch|rollout|probe` with an implementation in PyTorch that shares nothing with
qkv but the weights: an encoder, a decoder and an encoder-decoder in f64, to 1e-5.
    reference_test.py QKV SCRATCH_DIR
"""
import json
import math
import os
import random
import struct
import subprocess
import sys

import torch

torch.set_default_dtype(torch.float64)
qkv, scratch = sys.argv[1], sys.argv[2]
compared = 0


def agree(what, got, expected, tolerance=1e-5):
    global compared
    got, expected = torch.as_tensor(got), torch.as_tensor(expected)
    assert got.shape == expected.shape, f"{what}: shapes {tuple(got.shape)} and {tuple(expected.shape)}"
    worst = (got - expected).abs().max().item() if got.numel() else 0.0
    assert worst <= tolerance, f"{what}: differs by {worst:.3g}"
    compared += got.numel()


def run(*arguments, ok=True):
    done = subprocess.run([qkv, *arguments], capture_output=True, text=True)
    assert (done.returncode == 0) == ok, f"qkv {' '.join(arguments)}: {done.returncode}\n{done.stderr}"
    return done.stdout if ok else done.stderr


def weights_of(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            dtype = {"F64": torch.float64, "I32": torch.int32}[entry["dtype"]]
            flat = torch.frombuffer(bytearray(data[8 + size + begin : 8 + size + end]), dtype=dtype)
            tensors[name] = flat.reshape(entry["shape"])
    return tensors


class Model:
    """A pre-norm transformer. `edits` maps names of activations to functions; `seen` holds what passed."""

    def __init__(self, run_dir, kind, heads, rms=False, rope=False):
        self.w = weights_of(f"{run_dir}/checkpoints/best/model.safetensors")
        self.kind, self.H, self.rms, self.rope = kind, heads, rms, rope
        self.vocabulary = json.load(open(f"{run_dir}/checkpoints/best/tokenizer.json"))["model"]["vocab"]
        self.edits, self.seen = {}, {}

    def at(self, name, x):
        if name in self.edits:
            x = self.edits[name](x)
        self.seen[name] = x
        return x

    def norm(self, path, x):
        g = self.w[path + ".weight"]
        if self.rms:
            return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * g
        centred = x - x.mean(-1, keepdim=True)
        return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + 1e-5) * g + self.w[path + ".bias"]

    def linear(self, path, x, weight=".weight", bias=".bias"):
        y = x @ self.w[path + weight].T
        return y + self.w[path + bias] if path + bias in self.w else y

    def turn(self, x):  # [B, T, H, D]
        T, D = x.shape[1], x.shape[3]
        angle = torch.arange(T)[:, None] * 10000.0 ** (-2 * torch.arange(D // 2) / D)[None, :]
        c, s = torch.cos(angle)[None, :, None], torch.sin(angle)[None, :, None]
        a, b = x[..., : D // 2], x[..., D // 2 :]
        return torch.cat([c * a - s * b, s * a + c * b], -1)

    def attention(self, path, x, memory, causal):
        cut = lambda y: y.reshape(*y.shape[:2], self.H, -1)
        q = cut(self.linear(path, x, ".W_Q", ".b_Q"))
        k, v = (cut(self.linear(path, memory, ".W_" + c, ".b_" + c)) for c in "KV")
        if self.rope:
            q, k = self.turn(q), self.turn(k)
        q, k, v = self.at(path + ".queries", q), self.at(path + ".keys", k), self.at(path + ".values", v)
        scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(q.shape[-1])
        if causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -math.inf)
        weights = self.at(path + ".weights", scores.softmax(-1))
        y = self.at(path + ".heads", torch.einsum("bhts,bshd->bthd", weights, v))
        return self.at(path + ".out", self.linear(path, y.flatten(2), ".W_O", ".b_O"))

    def stack(self, prefix, x, causal, memory=None):
        i = 0
        while f"{prefix}layers.{i}.norm1.weight" in self.w:
            p = f"{prefix}layers.{i}"
            x = self.at(p + ".in", x)
            h = self.norm(p + ".norm1", x)
            x = self.at(p + ".attn.residual", x + self.attention(p + ".attn", h, h, causal))
            if memory is not None:
                h = self.norm(p + ".norm_cross", x)
                x = self.at(p + ".cross_attn.residual", x + self.attention(p + ".cross_attn", h, memory, False))
            if p + ".ffn.up.weight" in self.w:
                h = self.linear(p + ".ffn.up", self.norm(p + ".norm2", x))
                h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
                x = self.at(p + ".ffn.residual", x + self.at(p + ".ffn.out", self.linear(p + ".ffn.down", h)))
            x = self.at(p + ".out", x)
            i += 1
        self.last = f"{prefix}layers.{i - 1}.out"
        return self.at("vectors", self.norm(prefix + "norm", x)) if prefix != "encoder." else self.norm("encoder.norm", x)

    def place(self, path, x):
        return x + self.w[path + ".weight"][: x.shape[1]] if path + ".weight" in self.w else x

    def __call__(self, text, rows=1, edits=None):
        """Logits [rows, T or 1, C] of a text as `inspect --json` describes it."""
        self.edits, self.seen = edits or {}, {}
        ids = torch.tensor([[self.vocabulary[w] for w in text["words"]]] * rows)
        if self.kind == "encoder-decoder":
            source = torch.tensor([[self.vocabulary[w] for w in text["source"]]] * rows)
            words = self.at("source", self.w["source_embed.weight" if "source_embed.weight" in self.w else "embed.weight"][source])
            memory = self.stack("encoder.", self.place("source_position", words), False)
            words = self.at("static", self.w["target_embed.weight" if "target_embed.weight" in self.w else "embed.weight"][ids])
            h = self.stack("decoder.", self.place("target_position", words), True, memory)
        else:
            words = self.at("static", self.w["embed.weight"][ids])
            h = self.stack("", self.place("position", words), self.kind == "decoder")
        if self.kind == "encoder":
            h = h[:, text["target"] : text["target"] + 1]
        return self.linear("head", h)

    def score(self, text, answer, against=None, rows=1, edits=None, position=0):
        y = self(text, rows, edits)[:, position]
        return y[:, answer] - (0 if against is None else y[:, against])


def check_lens(m, said, answers):
    finals = m(said)[0].argmax(-1)
    finals[said.get("position", 0)] = answers[said["answer"]]
    seen = dict(m.seen)
    for point in said["points"]:
        p = m(said, edits={m.last: lambda x: seen[point["point"]]})[0].softmax(-1)
        agree("lens " + point["point"], point["positions"], [p[t, c].item() for t, c in enumerate(finals)])


def check_attribute(m, said, answers):
    t, c = said.get("position", 0), answers[said["answer"]]
    d = answers[said["against"]] if "against" in said else None
    agree("logit", said["logit"], m.score(said, c, d, position=t)[0])
    seen = dict(m.seen)
    at = said["target"] if m.kind == "encoder" else t
    prefix = "decoder." if m.kind == "encoder-decoder" else ""
    w = m.w["head.weight"][c] - (0 if d is None else m.w["head.weight"][d])
    x = seen[m.last][0, at]
    if m.rms:
        factor = m.w["norm.weight"] / torch.sqrt((x * x).mean() + 1e-5)
        project = lambda u: (w * factor * u).sum()
    else:
        factor = m.w[prefix + "norm.weight"] / torch.sqrt(x.var(unbiased=False) + 1e-5)
        project = lambda u: (w * factor * (u - u.mean())).sum()
    expected = []
    for part in said["parts"]:
        name, h = part["part"], part["head"]
        if name == "input":
            u = seen[prefix + "layers.0.in"][0, at]
        elif h is None and name.endswith("attn"):
            u = m.w[name + ".b_O"]
        elif h is None:
            u = seen[name + ".out"][0, at]
        else:
            heads = seen[name + ".heads"][0, at]
            W_O = m.w[name + ".W_O"].reshape(-1, m.H, heads.shape[-1])
            u = W_O[:, h] @ heads[h]
        expected.append(project(u).item())
    agree("parts", [p["adds"] for p in said["parts"]], expected)
    agree("parts_sum", said["parts_sum"], said["logit"])
    # Integrated gradients: the same points of the way, and that their sum is complete.
    n = said["steps"]
    u = (torch.arange(n) + 0.5) / n
    inputs = [k for k in ("source", "static") if k in seen]
    leaves, edits = {}, {}
    for k in inputs:
        leaves[k] = (seen[k].detach() * (u**3)[:, None, None]).requires_grad_()
        edits[k] = lambda x, k=k: leaves[k]
    m.score(said, c, d, n, edits, t).sum().backward()
    for k in inputs:
        worth = (leaves[k].grad * seen[k] * (3 * u**2 / n)[:, None, None]).sum((0, 2))
        agree("worth of " + k, said["source_worth" if k == "source" else "worth"], worth)
    without = m.score(said, c, d, 1, {k: lambda x: x * 0 for k in inputs}, t)[0]
    agree("without_words", said["without_words"], without)
    change = said["logit"] - said["without_words"]
    assert abs(said["worth_sum"] - change) <= 0.01 * abs(change), "integrated gradients: not complete"


def put(to, source, pairs, head=None):
    def edit(x):
        x = x.clone()
        for t, s in pairs:
            if head is None:
                x[0, t] = source[0, s]
            else:
                x[0, t, head] = source[0, s, head]
        return x

    return {to: edit}


def check_patch(m, said, other, answers):
    t = said.get("position", 0)
    c, d = answers[said["answer"]], answers[said["against"]]
    before = m.score(said, c, d, position=t)[0]
    own = dict(m.seen)
    after = m.score(other, c, d, position=other.get("position", 0))[0]
    donors = dict(m.seen)
    restored = lambda edits: ((m.score(said, c, d, 1, edits, t)[0] - before) / (after - before)).item()
    pairs_of = lambda name: said["aligned_source" if name.startswith("encoder.") else "aligned"]
    for point in said["points"]:
        name = point["point"]
        agree("patch " + name, point["restored"], [restored(put(name, donors[name], [p])) for p in pairs_of(name)])
    for head in said["heads"]:
        name, h = head["layer"] + ".heads", head["head"]
        agree("patch head", head["restored"], restored(put(name, donors[name], pairs_of(name), h)))
        agree("patch head at", head["positions"], [restored(put(name, donors[name], [p], h)) for p in pairs_of(name)])
    layers = [n[:-6] for n in own if n.endswith(".heads")]
    for path in said["paths"]:
        layer, h = path["from"]["layer"], path["from"]["head"]
        edits = {l + ".heads": (lambda x, l=l: own[l + ".heads"]) for l in layers}
        sent = put("", donors[layer + ".heads"], pairs_of(layer), h)[""]
        edits[layer + ".heads"] = lambda x: sent(own[layer + ".heads"])
        if path["to"] == "logits":
            expected = restored(edits)
        else:
            to = path["to"]
            name = f"{to['layer']}.{to['by']}"
            m(said, 1, edits)
            read = m.seen[name]
            expected = restored(put(name, read, [(i, i) for i in range(read.shape[1])], to["head"]))
        agree(f"path {path['from']} {path['to']}", path["restored"], expected)


def check_rollout(m, said):
    m(said)
    S, T = len(said.get("source", [])), len(said["words"])
    own = torch.cat([torch.zeros(T, S), torch.eye(T)], 1)
    source = torch.cat([torch.eye(S), torch.zeros(S, T)], 1)
    for layer in said["layers"]:
        name = layer["layer"]
        A = m.seen[name + ".weights"][0].mean(0)
        if name.startswith("encoder."):
            source = (A @ source + source) / 2
            agree(name, layer["held"], source)
        else:
            own = (A @ (source if "cross" in name else own) + own) / 2
            agree(name, layer["held"], own)


def train(name, config, data=None):
    if not os.path.exists(f"{scratch}/runs/{name}/result.json"):
        open(f"{scratch}/{name}.toml", "w").write(config)
        for file, text in (data or {}).items():
            open(f"{scratch}/{file}", "w").write(text)
        run("train", f"{scratch}/{name}.toml", "-q", "--overwrite", "--set", f"run.out_dir={scratch}/runs")
    return f"{scratch}/runs/{name}"


COMMON = """schema = 1
[run]
dtype = "f64"
[optimizer]
lr = 3e-3
[schedule]
type = "constant"
warmup_steps = 5
[eval]
every = 60
"""

draw = random.Random(1)
fillers = [f"w{i}" for i in range(20)]


def sentence():
    sense, words = draw.choice(["money", "river"]), draw.choices(fillers, k=draw.randint(3, 6))
    words.insert(draw.randrange(len(words)), {"money": "loan", "river": "water"}[sense])
    words.insert(draw.randrange(len(words)), "[bank]")
    return f"{sense}\t{' '.join(words)}\n"


encoder = Model(
    train(
        "encoder",
        COMMON
        + f"""[task]
type = "wsd"
[data]
train = "{scratch}/senses.tsv"
test = "{scratch}/senses_test.tsv"
[train]
max_steps = 60
[model]
type = "encoder-classifier"
n_layer = 2
d_model = 16
max_seq_len = 16
attention.n_head = 2
ffn.d_ff = 24
""",
        {"senses.tsv": "".join(sentence() for _ in range(300)), "senses_test.tsv": "".join(sentence() for _ in range(100))},
    ),
    "encoder",
    2,
)
decoder = Model(
    train(
        "decoder",
        COMMON
        + f"""[task]
type = "language-model"
[data]
train = "{scratch}/letters.txt"
[tokenizer]
type = "char"
[train]
max_steps = 60
[model]
type = "decoder-lm"
n_layer = 2
d_model = 16
max_seq_len = 16
attention.n_head = 2
position.type = "rope"
norm.type = "rmsnorm"
ffn.d_ff = 24
""",
        {"letters.txt": "".join(draw.choice(["abc", "acb", "dab"]) for _ in range(2000))},
    ),
    "decoder",
    2,
    rms=True,
    rope=True,
)
pairs = Model(
    train(
        "pairs",
        COMMON
        + """[task]
type = "translation"
[data]
source = "reverse"
vocab_size = 10
max_length = 6
examples = 2000
eval_examples = 100
[train]
max_steps = 60
[model]
type = "encoder-decoder"
n_layer = 2
d_model = 16
max_seq_len = 10
attention.n_head = 2
position.type = "learned"
ffn.d_ff = 24
""",
    ),
    "encoder-decoder",
    2,
)

cases = [
    (encoder, "encoder", ["w1 loan w2 bank w3"], ["w1 water w2 bank w3"], {"money": 0, "river": 1}),
    (decoder, "decoder", ["abcacb"], ["abcdab"], None),
    (pairs, "pairs", ["a b c d", "--reply", "d c"], ["a b f d"], None),
]
for model, name, text, other, answers in cases:
    folder = f"{scratch}/runs/{name}"
    answers = answers or model.vocabulary
    inspect = lambda what, *more: json.loads(run("inspect", folder, what, *more, "--json"))
    with_target = lambda said: {**said, "target": said["words"].index("bank")} if name == "encoder" else said
    check_lens(model, with_target(inspect("lens", *text)), answers)
    said = with_target(inspect("attribute", *text))
    check_attribute(model, said, answers)
    logits = model(said)[0, said.get("position", 0)]
    names = {i: n for n, i in answers.items()}
    order = [names[i] for i in logits.argsort(descending=True).tolist()]
    check_attribute(model, with_target(inspect("attribute", *text, "--answer", order[1], "--against", order[0])), answers)
    check_rollout(model, with_target(inspect("rollout", *text)))
    said = with_target(inspect("patch", text[0], *other, *text[1:], "--answer", order[0], "--against", order[1], "--paths"))
    check_patch(model, said, with_target(said["other"]), answers)

# A text with more words: its beginning and end are aligned.
said = json.loads(run("inspect", f"{scratch}/runs/decoder", "patch", "abcacb", "abdcacb", "--answer", "a", "--against", "b", "--json", "--paths"))
assert said["aligned"] == [[0, 0], [1, 1], [2, 3], [3, 4], [4, 5], [5, 6]], said["aligned"]
check_patch(decoder, said, said["other"], decoder.vocabulary)

# Probes: softmax regression, here by L-BFGS.
for name, model, more in (("decoder", decoder, ["--offset", "-1", "--rows", "300"]), ("pairs", pairs, ["--offset", "0", "--rows", "300"])):
    said = json.loads(run("inspect", f"{scratch}/runs/{name}", "probe", *more, "--json", "--save", f"{scratch}/{name}.safetensors"))
    kept = weights_of(f"{scratch}/{name}.safetensors")
    for point in said["points"]:
        x, test = (kept[f"{part}.{point['point']}"] for part in ("learned", "tested"))
        centre, deviation = x.mean(0), x.std(0, unbiased=False)
        deviation = torch.where(deviation <= 1e-9 * deviation.max(), torch.ones_like(deviation), deviation)
        x, test = (torch.cat([(v - centre) / deviation, torch.ones(len(v), 1)], 1) for v in (x, test))
        for task, loss_key, accuracy_key in (("task", "loss", "accuracy"), ("control", "control_loss", "control")):
            y, test_y = (kept[f"{part}.{task}"].long() for part in ("learned", "tested"))
            W = torch.zeros(said["classes"], x.shape[1], requires_grad=True)
            step = torch.optim.LBFGS([W], max_iter=2000, tolerance_grad=1e-11, tolerance_change=0, line_search_fn="strong_wolfe")

            def closure():
                step.zero_grad()
                loss = torch.nn.functional.cross_entropy(x @ W.T, y) + 0.005 * (W * W).sum()
                loss.backward()
                return loss

            step.step(closure)
            logits = test @ W.detach().T
            agree(f"probe {point['point']} {task}", point[loss_key], torch.nn.functional.cross_entropy(logits, test_y))
            agree(f"probe accuracy {task}", point[accuracy_key], (logits.argmax(1) == test_y).double().mean())

print(f"{compared} numbers agree to 1e-5")
assert compared > 1000
