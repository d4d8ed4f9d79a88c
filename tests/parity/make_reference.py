#!/usr/bin/env python3
"""Writes the reference numbers of parity_test.cpp: tests/parity/make_reference.py [FOLDER]

Tiny models, written here in PyTorch from their definitions alone, in f64: a GPT, an encoder that classifies a word, an
encoder-decoder, a BERT, and those of docs/modern-block.md. Each file (safetensors) holds the [model] table of qkv in its
metadata, the batch, the weights, the logits and every gradient of the first step, and the losses of ten steps of AdamW. Needs Debian's python3-torch; the
tests read what is stored beside this script and do not need it.
"""
import json
import math
import struct
import sys
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
STEPS, LR, DECAY = 10, 0.01, 0.1


class Weights:
    """Parameters by name, each made at its first use."""

    def __init__(self, seed):
        self.random = torch.Generator().manual_seed(seed)
        self.of = {}

    def __call__(self, name, *shape, mean=0.0):
        if name not in self.of:
            value = mean + 0.4 * torch.randn(*shape, generator=self.random)
            self.of[name] = value.requires_grad_()
        return self.of[name]

    def linear(self, name, x, out, bias=True):
        return F.linear(x, self(f"{name}.weight", out, x.shape[-1]), self(f"{name}.bias", out) if bias else None)

    def norm(self, name, x):
        d = x.shape[-1]
        return F.layer_norm(x, (d,), self(f"{name}.weight", d, mean=1.0), self(f"{name}.bias", d), 1e-5)


def t5_bucket(distance, causal, buckets, most):
    """Raffel et al. 2020, as in the T5 of transformers."""
    n, side = (buckets, 0) if causal else (buckets // 2, (distance > 0) * (buckets // 2))
    d = (-distance).clamp(min=0) if causal else distance.abs()
    exact = n // 2
    large = exact + (torch.log(d / exact) / math.log(most / exact) * (n - exact)).long().clamp(max=n - 1 - exact)
    return side + torch.where(d < exact, d, large)


def rotated(x, share):
    """RoPE of the first `share` of each head [B, H, T, D], halves with each other."""
    dim = int(share * x.shape[-1])
    angle = torch.arange(x.shape[2])[:, None] * 10000.0 ** (-2 * torch.arange(dim // 2) / dim)
    a, b = x[..., : dim // 2], x[..., dim // 2 : dim]
    turned = [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]
    return torch.cat([*turned, x[..., dim:]], -1)


def attention(w, name, x, memory, heads, seen, bias, o={}, values=lambda v: v):
    """softmax(q k^T / sqrt(d_head)) values(v) over the positions that `seen` [B or 1, T, S] allows. `o` may say qk_norm,
    softcap, and in self-attention rotary, t5, t5_per_layer, shaw, window and pattern."""
    d = x.shape[-1]

    def project(letter, source):
        b = w(f"{name}.b_{letter}", d) if bias else None
        return F.linear(source, w(f"{name}.W_{letter}", d, d), b)

    def split(v):
        return v.reshape(v.shape[0], v.shape[1], heads, d // heads).transpose(1, 2)

    q, k, v = split(project("Q", x)), split(project("K", memory)), split(values(project("V", memory)))
    D = d // heads
    if "qk_norm" in o:
        q, k = (v / (v.square().mean(-1, keepdim=True) + 1e-5).sqrt() for v in (q, k))
        if o["qk_norm"] == "rms-gain":
            q, k = q * w(f"{name}.g_Q", D, mean=1.0), k * w(f"{name}.g_K", D, mean=1.0)
    own = name.endswith(".attn")
    if own and "rotary" in o:
        q, k = rotated(q, o["rotary"]), rotated(k, o["rotary"])
    scores = q @ k.transpose(-1, -2) / math.sqrt(D)
    if "softcap" in o:
        scores = o["softcap"] * torch.tanh(scores / o["softcap"])
    distance = torch.arange(k.shape[2])[None] - torch.arange(q.shape[2])[:, None]  # [T, S]
    if own and "t5" in o:
        side = "target_" if "decoder." in name else "source_" if "encoder." in name else ""
        table = f"{name}.relative.weight" if o.get("t5_per_layer") else f"{side}position.weight"
        rows = t5_bucket(distance, o["causal"] and "encoder." not in name, *o["t5"])
        scores = scores + w(table, o["t5"][0], heads)[rows].permute(2, 0, 1)
    if own and "shaw" in o:
        a = w(f"{name}.a_K", 2 * o["shaw"] + 1, D)[distance.clamp(-o["shaw"], o["shaw"]) + o["shaw"]]  # [T, S, D]
        scores = scores + torch.einsum("bhtd,tsd->bhts", q, a) / math.sqrt(D)
    if own and "window" in o:
        layer = int(name.split("layers.")[1].split(".")[0])
        if o["pattern"][layer % len(o["pattern"])] == "S":
            seen = seen & (distance.abs() < o["window"])
    scores = scores.masked_fill(~seen[:, None], -1e30)
    mixed = (torch.softmax(scores, -1) * seen[:, None]) @ v  # 0 for a query that sees nothing
    return project("O", mixed.transpose(1, 2).reshape(x.shape))


ACTIVATIONS = {"gelu": lambda h: F.gelu(h, approximate="tanh"), "gelu-erf": F.gelu, "relu": F.relu, "silu": F.silu,
               "relu2": lambda h: F.relu(h) ** 2}


def block(w, name, x, o, seen, memory=None, memory_seen=None, values=lambda v: v):
    """Residuals around attention, cross-attention and the feed-forward layer, with a norm before or after each."""

    def residual(x, norm, f):
        return x + f(w.norm(norm, x)) if o["place"] == "pre" else w.norm(norm, x + f(x))

    x = residual(x, f"{name}.norm1", lambda v: attention(w, f"{name}.attn", v, v, o["n_head"], seen, o["bias"], o, values))
    if memory is not None:
        cross = f"{name}.cross_attn"
        x = residual(
            x,
            f"{name}.norm_cross",
            lambda v: attention(w, cross, v, memory, o["n_head"], memory_seen, o["bias"], o),
        )

    def feed_forward(v):
        up = w.linear(f"{name}.ffn.up", v, o["d_ff"])
        return w.linear(f"{name}.ffn.down", ACTIVATIONS[o["activation"]](up), v.shape[-1])

    return residual(x, f"{name}.norm2", feed_forward)


def stack(w, prefix, x, o, *context):
    for i in range(o["n_layer"]):
        x = block(w, f"{prefix}layers.{i}", x, o, *context)
    return w.norm(f"{prefix}norm", x) if o["place"] == "pre" else x


def causal(length):
    return torch.ones(1, length, length, dtype=torch.bool).tril()


def gpt(w, o, batch):
    ids = batch["ids"]
    x = F.embedding(ids, w("embed.weight", o["vocab"], o["d"]))
    if "position" not in o:
        x = x + w("position.weight", o["length"], o["d"])[: ids.shape[1]]
    x = stack(w, "", x, o, causal(ids.shape[1]))
    return F.linear(x, w("head.weight", o["vocab"], o["d"]))


def modern(w, o, batch):
    """Shared layers (ALBERT), value embeddings and residual scalars (modded-nanogpt), soft-capped logits (Gemma 2)."""
    ids = batch["ids"]
    x = F.embedding(ids, w("embed.weight", o["vocab"], o["d"]))
    x = x0 = x + w("position.weight", o["length"], o["d"])[: ids.shape[1]]
    for i in range(o["n_layer"]):
        a, b = w(f"residual.{i}.lambdas", 2)
        x = a * x + b * x0
        values = lambda v: v
        if (o["n_layer"] - 1 - i) % o["value_embeddings"] == 0:
            table, (c, d) = w(f"value_embed.{i}.weight", o["vocab"], o["d"]), w(f"value_embed.{i}.lambdas", 2)
            values = lambda v: c * v + d * F.embedding(ids, table)
        x = block(w, f"layers.{i - i % o['share_layers']}", x, o, causal(ids.shape[1]), values=values)
    logits = F.linear(w.norm("norm", x), w("head.weight", o["vocab"], o["d"]))
    return o["logit_softcap"] * torch.tanh(logits / o["logit_softcap"])


def classifier(w, o, batch):
    ids, keep, target = batch["ids"], batch["keep"].bool(), batch["target"]
    x = F.embedding(ids, w("embed.weight", o["vocab"], o["d"]))
    if "position" not in o:
        distance = torch.arange(ids.shape[1])[None] - target[:, None] + o["length"] - 1
        x = x + F.embedding(distance, w("position.weight", 2 * o["length"] - 1, o["d"]))
    x = stack(w, "", x, o, keep[:, None, :].expand(-1, ids.shape[1], -1))
    word = x[torch.arange(len(target)), target]
    mean = (x * keep[..., None]).sum(1) / keep.sum(1, keepdim=True)
    return w.linear("head", torch.cat([word, mean], -1), o["classes"])


def translator(w, o, batch):
    source, keep, ids = batch["source_ids"], batch["source_keep"].bool(), batch["ids"]

    def words(side, ids, vocab):
        x = F.embedding(ids, w(f"{side}_embed.weight", vocab, o["d"]))
        return x if "position" in o else x + w(f"{side}_position.weight", o["length"], o["d"])[: ids.shape[1]]

    def seen(rows):
        return keep[:, None, :].expand(-1, rows, -1)

    memory = stack(w, "encoder.", words("source", source, o["source_vocab"]), o, seen(source.shape[1]))
    x = words("target", ids, o["vocab"])
    x = stack(w, "decoder.", x, o, causal(ids.shape[1]), memory, seen(ids.shape[1]))
    return F.linear(x, w("head.weight", o["vocab"], o["d"]))


def bert(w, o, batch):
    ids, keep = batch["ids"], batch["keep"].bool()
    x = F.embedding(ids, w("embed.weight", o["vocab"], o["d"]))
    x = x + w("position.weight", o["length"], o["d"])[: ids.shape[1]]
    x = x + F.embedding(batch["token_types"], w("token_types.weight", 2, o["d"]))
    x = stack(w, "", w.norm("embed_norm", x), o, keep[:, None, :].expand(-1, ids.shape[1], -1))
    h = ACTIVATIONS[o["activation"]](w.linear("mlm.dense", x.reshape(-1, o["d"])[batch["masked"]], o["d"]))
    return F.linear(w.norm("mlm.norm", h), w("embed.weight"), w("mlm.bias", o["vocab"]))


def table(kind, o, *lines):
    """The [model] table that means the same to qkv."""
    return "\n".join(
        [
            "[model]",
            f'type = "{kind}"',
            f"n_layer = {o['n_layer']}",
            f"d_model = {o['d']}",
            f"max_seq_len = {o['length']}",
            *lines,
            "[model.attention]",
            f"n_head = {o['n_head']}",
            f"bias = {str(o['bias']).lower()}",
            *o.get("attention", []),
            "[model.ffn]",
            f"d_ff = {o['d_ff']}",
            f'activation = "{o["activation"]}"',
            "[model.norm]",
            f'place = "{o["place"]}"',
            "[model.position]",
            *o.get("position", ['type = "learned"'] + ['origin = "target"'] * (kind == "encoder-classifier")),
            "",
        ]
    )


def write(path, tensors, metadata):
    """safetensors: length of the header, the header, the data."""
    header, data = {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        array = tensor.detach().numpy()
        array = array.astype(numpy.int32 if array.dtype.kind == "i" else numpy.float64)
        raw = array.tobytes()
        kind = "I32" if array.dtype == numpy.int32 else "F64"
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def reference(path, seed, model, o, batch, config):
    w = Weights(seed)
    logits = model(w, o, batch)
    start = {name: value.detach().clone() for name, value in w.of.items()}
    matrices = [v for v in w.of.values() if v.dim() > 1]
    vectors = [v for v in w.of.values() if v.dim() == 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.99), eps=1e-8)
    losses, gradients = [], None
    for _ in range(STEPS):
        optimizer.zero_grad()
        targets = batch["targets"]
        out = model(w, o, batch)
        loss = F.cross_entropy(out.reshape(-1, out.shape[-1]), targets.reshape(-1), ignore_index=-100)
        log_z = torch.logsumexp(out.reshape(-1, out.shape[-1])[targets.reshape(-1) != -100], -1)
        loss = loss + o.get("z_loss", 0) * (log_z**2).mean()
        loss.backward()
        losses.append(loss.detach())
        gradients = gradients or {name: value.grad.clone() for name, value in w.of.items()}
        optimizer.step()
    tensors = {f"batch.{name}": value for name, value in batch.items()}
    tensors.update({f"weight.{name}": value for name, value in start.items()})
    tensors.update({f"gradient.{name}": value for name, value in gradients.items()})
    tensors.update({"logits": logits, "losses": torch.stack(losses)})
    shape = {key: str(o.get(key, 0)) for key in ("vocab", "classes", "source_vocab")}
    shape.update({"z_loss": str(o["z_loss"])} if "z_loss" in o else {})
    optimizer_table = f'type = "adamw"\nlr = {LR}\nbetas = [0.9, 0.99]\neps = 1e-8\nweight_decay = {DECAY}\n'
    write(path, tensors, {"model": config, "optimizer": optimizer_table, **shape})
    print(f"{path.name}: {sum(v.numel() for v in start.values())} parameters, losses {losses[0]:.4f} .. {losses[-1]:.4f}")


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    random = torch.Generator().manual_seed(7)

    def draw(below, *shape):
        return torch.randint(1, below, shape, generator=random)

    o = dict(n_layer=2, d=8, length=9, n_head=2, bias=True, d_ff=16, activation="gelu", place="pre", vocab=13)
    ids = draw(13, 3, 7)
    batch = {"ids": ids, "targets": torch.cat([ids[:, 1:], draw(13, 3, 1)], 1)}
    batch["targets"][1, 4:] = -100
    reference(folder / "gpt.safetensors", 1, gpt, o, batch, table("decoder-lm", o))

    o = dict(n_layer=2, d=8, length=6, n_head=4, bias=False, d_ff=12, activation="relu", place="post", vocab=11, classes=3)
    keep = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]])
    batch = {"ids": draw(11, 4, 6) * keep, "keep": keep, "target": torch.tensor([3, 2, 0, 1])}
    batch["targets"] = torch.tensor([0, 2, 1, 2])
    config = table("encoder-classifier", o, 'readout = "target+mean"')
    reference(folder / "encoder.safetensors", 2, classifier, o, batch, config)

    o = dict(n_layer=1, d=8, length=8, n_head=2, bias=True, d_ff=16, activation="silu", place="pre", vocab=12, source_vocab=10)
    keep = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])
    batch = {"source_ids": draw(10, 3, 5) * keep, "source_keep": keep, "ids": draw(12, 3, 6), "targets": draw(12, 3, 6)}
    batch["targets"][2, 3:] = -100
    reference(folder / "encoder-decoder.safetensors", 3, translator, o, batch, table("encoder-decoder", o))

    o = dict(n_layer=2, d=8, length=9, n_head=2, bias=True, d_ff=16, activation="gelu-erf", place="post", vocab=12)
    keep = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]])
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0]])
    batch = {"ids": draw(12, 2, 7) * keep, "keep": keep, "token_types": types, "masked": torch.tensor([2, 5, 8])}
    batch["targets"] = torch.tensor([3, 11, 7])
    config = table("encoder-lm", o, "embed_norm = true", "token_types = 2")
    reference(folder / "bert.safetensors", 4, bert, o, batch, config)

    o = dict(n_layer=4, d=8, length=9, n_head=2, bias=True, d_ff=12, activation="relu2", place="pre", vocab=13)
    keys = dict(share_layers=2, value_embeddings=2, logit_softcap=2.5)
    batch = {"ids": draw(13, 3, 7), "targets": draw(13, 3, 7)}
    batch["targets"][0, 5:] = -100
    config = table("decoder-lm", o, "residual_scalars = true", *(f"{key} = {value}" for key, value in keys.items()))
    reference(folder / "modern.safetensors", 5, modern, {**o, **keys, "z_loss": 0.02}, batch, config)

    # ---- attention of modern blocks
    random.manual_seed(8)
    o = dict(n_layer=3, d=8, length=9, n_head=2, bias=True, d_ff=8, activation="gelu", place="pre", vocab=13, causal=True)
    ids = draw(13, 2, 9)
    batch = {"ids": ids, "targets": torch.cat([ids[:, 1:], draw(13, 2, 1)], 1)}
    near = dict(qk_norm="rms-gain", softcap=2.0, window=3, pattern="SSL", rotary=0.5)
    near["attention"] = ['qk_norm = "rms-gain"', "softcap = 2.0", "window = 3", 'window_pattern = "SSL"']
    near["position"] = ['type = "rope"', "rotary_fraction = 0.5"]
    reference(folder / "gpt-window.safetensors", 10, gpt, {**o, **near}, batch, table("decoder-lm", {**o, **near}))

    t5 = dict(t5=(6, 7), position=['type = "t5"', "buckets = 6", "max_distance = 7"])
    reference(folder / "gpt-t5.safetensors", 6, gpt, {**o, **t5}, batch, table("decoder-lm", {**o, **t5}))

    shaw = dict(shaw=3, position=['type = "shaw"', "max_distance = 3"])
    reference(folder / "gpt-shaw.safetensors", 7, gpt, {**o, **shaw}, batch, table("decoder-lm", {**o, **shaw}))

    o = dict(n_layer=2, d=8, length=6, n_head=4, bias=False, d_ff=12, activation="relu", place="post", vocab=11, classes=3)
    o.update(t5=(8, 5), t5_per_layer=True, causal=False, window=3, pattern="S", attention=["window = 3"])
    o["position"] = ['type = "t5"', "buckets = 8", "max_distance = 5", "per_layer = true"]
    keep = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]])
    batch = {"ids": draw(11, 4, 6) * keep, "keep": keep, "target": torch.tensor([3, 2, 0, 1])}
    batch["targets"] = torch.tensor([0, 2, 1, 2])
    reference(folder / "encoder-t5.safetensors", 8, classifier, o, batch, table("encoder-classifier", o, 'readout = "target+mean"'))

    o = dict(n_layer=1, d=8, length=8, n_head=2, bias=True, d_ff=16, activation="silu", place="pre", vocab=12, source_vocab=10)
    o.update(t5=(6, 7), causal=True, qk_norm="rms-gain", attention=['qk_norm = "rms-gain"'])
    o["position"] = ['type = "t5"', "buckets = 6", "max_distance = 7"]
    keep = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])
    batch = {"source_ids": draw(10, 3, 5) * keep, "source_keep": keep, "ids": draw(12, 3, 6), "targets": draw(12, 3, 6)}
    reference(folder / "encoder-decoder-t5.safetensors", 9, translator, o, batch, table("encoder-decoder", o))


main()
