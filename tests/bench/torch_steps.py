#!/usr/bin/env python3
"""The workloads in PyTorch 2, for comparison: training steps (forward, backward, clipping, AdamW) or greedy decoding.

  torch_steps.py w1|...|w7|g2|g4|g7 [--threads N] [--sdpa] [--compile] [--bf16] [--seconds S]

Prints one JSON object: setting, time per step or token, tokens per second, peak memory. Models are written as a
careful PyTorch user would: one product for queries, keys and values, caches in place, the fused AdamW. With --bf16,
training runs under autocast and decoding has weights of bf16.
"""
import argparse
import functools
import json
import math
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F


@functools.lru_cache(maxsize=None)
def causal_mask(longest):
    return torch.full((longest, longest), -math.inf).triu(1)


@functools.lru_cache(maxsize=None)
def rotations(longest, width):
    """Cosines and sines [longest, width / 2] of rotary positions (Su et al. 2021)."""
    angles = torch.outer(torch.arange(longest), 10000.0 ** (-torch.arange(0, width, 2) / width))
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=3)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=3)


class Attention(nn.Module):
    """Multi-head attention of x on itself, or on `memory` where `cross` is set."""

    sdpa = False  # by scaled_dot_product_attention

    def __init__(self, width, heads, causal, cross=False, longest=0, rope=False):
        super().__init__()
        self.heads, self.cross, self.causal = heads, cross, causal
        self.scale = 1 / math.sqrt(width // heads)
        self.inputs = nn.Linear(width, width) if cross else nn.Linear(width, 3 * width)
        if cross:
            self.memory = nn.Linear(width, 2 * width)
        if causal and not self.sdpa:
            self.register_buffer("mask", causal_mask(longest))
        self.rope = rope
        if rope:
            for name, table in zip(("cos", "sin"), rotations(longest, width // heads)):
                self.register_buffer(name, table)
        self.out = nn.Linear(width, width)

    def by_head(self, x):  # [B, T, d] -> [B, H, T, D]
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, memory=None, cache=None, at=0):
        if self.cross:
            q = self.inputs(x)
            k, v = self.memory(memory).chunk(2, dim=2)
        else:
            q, k, v = self.inputs(x).chunk(3, dim=2)
        q, k, v = self.by_head(q), self.by_head(k), self.by_head(v)
        if self.rope:
            rows = slice(at, at + x.shape[1])
            q, k = rotate(q, self.cos[rows], self.sin[rows]), rotate(k, self.cos[rows], self.sin[rows])
        if cache is not None:
            cache[0][:, :, at : at + 1] = k
            cache[1][:, :, at : at + 1] = v
            k, v = cache[0][:, :, : at + 1], cache[1][:, :, : at + 1]
        causal = self.causal and cache is None
        if self.sdpa:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        else:
            scores = (self.scale * q) @ k.transpose(2, 3)
            if causal:
                n = x.shape[1]
                scores = scores + self.mask[:n, :n].to(scores.dtype)
            y = torch.softmax(scores, dim=3) @ v
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm block, with cross-attention in the middle where `cross` is set."""

    def __init__(self, width, heads, inner, causal, cross=False, longest=0, rope=False):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads, causal, False, longest, rope)
        self.norm2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, inner), nn.Linear(inner, width)
        self.cross = cross
        if cross:
            self.norm_cross = nn.LayerNorm(width)
            self.attention_cross = Attention(width, heads, False, cross=True)

    def forward(self, x, memory=None, cache=None, at=0):
        x = x + self.attention(self.norm1(x), None, cache, at)
        if self.cross:
            x = x + self.attention_cross(self.norm_cross(x), memory)
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Classifier(nn.Module):
    def __init__(self, vocab, length, width, heads, inner, classes):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, width), nn.Embedding(length, width)
        self.block, self.norm = Block(width, heads, inner, False), nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, ids, label):
        x = self.block(self.tokens(ids) + self.positions.weight)
        return F.cross_entropy(self.head(self.norm(x).mean(1)), label)


class Decoder(nn.Module):
    def __init__(self, vocab, layers, heads, width, longest, rope=False):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, width), None if rope else nn.Embedding(longest, width)
        blocks = (Block(width, heads, 4 * width, True, False, longest, rope) for _ in range(layers))
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab, bias=False)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def embed(self, ids, at=0):
        x = self.tokens(ids)
        return x + self.positions.weight[at : at + ids.shape[1]] if self.positions else x

    def forward(self, ids, targets):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())

    def next(self, ids, caches, at):
        x = self.embed(ids, at)
        for block, cache in zip(self.blocks, caches):
            x = block(x, None, cache, at)
        return self.head(self.norm(x))[:, -1].argmax(1, keepdim=True)


class Translator(nn.Module):
    def __init__(self, vocab, length, width, heads, inner, layers):
        super().__init__()
        self.source, self.target = nn.Embedding(vocab, width), nn.Embedding(vocab, width)
        self.positions = nn.Embedding(length, width)
        self.encoder = nn.ModuleList(Block(width, heads, inner, False) for _ in range(layers))
        self.decoder = nn.ModuleList(Block(width, heads, inner, True, True, length) for _ in range(layers))
        self.norm_encoder, self.norm_decoder = nn.LayerNorm(width), nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab)

    def forward(self, source, ids, targets):
        memory = self.source(source) + self.positions.weight
        for block in self.encoder:
            memory = block(memory)
        memory = self.norm_encoder(memory)
        x = self.target(ids) + self.positions.weight
        for block in self.decoder:
            x = block(x, memory)
        logits = self.head(self.norm_decoder(x)).flatten(0, 1)
        return F.cross_entropy(logits, targets.flatten(), label_smoothing=0.1)


class Recurrent(nn.Module):
    def __init__(self, vocab, width):
        super().__init__()
        self.tokens, self.lstm = nn.Embedding(vocab, width), nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, vocab)

    def forward(self, ids, targets):
        return F.cross_entropy(self.head(self.lstm(self.tokens(ids))[0]).flatten(0, 1), targets.flatten())


def ids(vocab, *shape):
    return torch.randint(vocab, shape)


# name -> model, inputs, tokens per step
WORKLOADS = {
    "w1": lambda: (Classifier(256, 16, 32, 2, 64, 2), (ids(256, 32, 16), ids(2, 32)), 32 * 16),
    "w2": lambda: (Decoder(65, 4, 4, 128, 64), (ids(65, 12, 64), ids(65, 12, 64)), 12 * 64),
    "w3": lambda: (Decoder(65, 6, 6, 384, 256), (ids(65, 8, 256), ids(65, 8, 256)), 8 * 256),
    "w4": lambda: (tied(Decoder(50304, 12, 12, 768, 1024)), (ids(50304, 4, 64), ids(50304, 4, 64)), 4 * 64),
    "w5": lambda: (Translator(8000, 32, 256, 4, 1024, 3), tuple(ids(8000, 32, 32) for _ in range(3)), 32 * 32),
    "w6": lambda: (Recurrent(65, 128), (ids(65, 32, 64), ids(65, 32, 64)), 32 * 64),
    "w7": lambda: (Decoder(65, 6, 6, 384, 4096), (ids(65, 1, 4096), ids(65, 1, 4096)), 4096),
}
# name -> model, tokens of the prompt (not measured), tokens per text
DECODING = {
    "g2": lambda: (Decoder(65, 4, 4, 128, 64), 1, 64),
    "g4": lambda: (tied(Decoder(50304, 12, 12, 768, 1024)), 1, 64),
    "g7": lambda: (Decoder(65, 6, 6, 384, 2048, rope=True), 48, 2000),
}


def tied(model):
    model.head.weight = model.tokens.weight
    return model


def measure(once, seconds, warm_up):
    """Times of `once` in ms: for `seconds`, and three times if that takes less than ten seconds."""
    start = time.perf_counter()
    warm_up()
    if time.perf_counter() < start + 3:
        warm_up()
    times, start = [], time.perf_counter()
    while time.perf_counter() < start + (seconds if len(times) >= 3 else 10):
        before = time.perf_counter()
        once()
        times.append(1e3 * (time.perf_counter() - before))
    return times


def train(name, args):
    model, inputs, tokens = WORKLOADS[name]()
    forward = torch.compile(model) if args.compile else model
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            loss = forward(*inputs)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        return loss.item()

    return measure(step, args.seconds, step), tokens


def decode(name, args):
    model, prompt, length = DECODING[name]()
    dtype = torch.bfloat16 if args.bf16 else torch.float32
    model.to(dtype)
    heads = model.blocks[0].attention.heads
    shape = (1, heads, prompt + length, model.tokens.embedding_dim // heads)
    forward = torch.compile(model.next, dynamic=True) if args.compile else model.next
    with torch.inference_mode():
        caches = [(torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)) for _ in model.blocks]

        def text(tokens=length):
            token = torch.zeros(1, 1, dtype=torch.long)
            for at in range(prompt - 1, prompt - 1 + tokens):  # the cache holds the prompt up to its last token
                token = forward(token, caches, at)
            return token.item()

        return [ms / length for ms in measure(text, args.seconds, lambda: text(5))], 1


def main():
    parser = argparse.ArgumentParser(description="The workloads in PyTorch.")
    parser.add_argument("name", choices=[*WORKLOADS, *DECODING])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sdpa", action="store_true", help="attention by scaled_dot_product_attention")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--bf16", action="store_true", help="autocast to bf16, or weights of bf16 where decoding")
    parser.add_argument("--seconds", type=float, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    Attention.sdpa = args.sdpa
    times, tokens = (train if args.name in WORKLOADS else decode)(args.name, args)
    setting = [f"{args.threads} thread{'s' * (args.threads > 1)}"]
    setting += [word for word in ("sdpa", "compile") if getattr(args, word)]
    median = statistics.median(times)
    print(
        json.dumps(
            {
                "name": args.name,
                "setting": ", ".join(setting),
                "step_ms": {"median": median, "min": min(times)},
                "tokens_per_s": 1e3 * tokens / median,
                "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


main()
