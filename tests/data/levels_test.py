# Compares the levels of language models and of the targets of pairs with n-gram models counted here, in dictionaries of
# tuples: interpolated modified Kneser-Ney (Chen and Goodman 1998), as src/data/kneser_ney.h defines it.
#   levels_test.py SOURCE_DIR QKV_BINARY
import collections, gzip, json, math, random, subprocess, sys

source, qkv = sys.argv[1:3]
checked = 0

MODEL = """
[model]
type = "%s"
n_layer = 1
d_model = 8
max_seq_len = 16
attention.n_head = 1
ffn.d_ff = 8
[train]
max_steps = 0
[inspect]
capture = []
"""


def run(*arguments):
    done = subprocess.run([qkv, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


class Counts:
    """One kind of counts of the n-grams of one length."""

    def __init__(self, counts):
        self.counts = counts
        having = collections.Counter(counts.values())
        self.discounts = {}
        y = having[1] / (having[1] + 2 * having[2]) if having[1] + having[2] else None
        for c in 1, 2, 3:
            d = c - (c + 1) * y * having[c + 1] / having[c] if y is not None and having[c] else None
            self.discounts[c] = d if d is not None and 0 < d <= c else 0.75
        self.after = collections.defaultdict(list)
        for gram, count in counts.items():
            self.after[gram[:-1]].append(count)

    def discount(self, count):
        return self.discounts[min(count, 3)] if count else 0

    def p(self, history, token, lower):
        after = self.after.get(history)
        if not after:
            return lower
        count, total = self.counts.get(history + (token,), 0), sum(after)
        kept = sum(self.discount(c) for c in after)
        return (count - self.discount(count)) / total + kept / total * lower


class Ngrams:
    def __init__(self, sequences, vocab_size):  # sequences: (ids, first place that is counted)
        self.vocab_size, grams = vocab_size, {n: collections.Counter() for n in range(1, 6)}
        for ids, first in sequences:
            for n in grams:
                for end in range(max(first + 1, n), len(ids) + 1):
                    grams[n][tuple(ids[end - n : end])] += 1
        self.raw = {n: Counts(grams[n]) for n in grams}
        self.before = {n: Counts(collections.Counter(gram[1:] for gram in grams[n + 1])) for n in range(1, 5)}

    def p(self, order, history, token):
        n = len(history) + 1
        lower = self.p(order, history[1:], token) if history else 1 / self.vocab_size
        return (self.raw if n == order else self.before)[n].p(history, token, lower)

    def loss(self, order, sequences):
        nats = [
            -math.log(self.p(order, tuple(ids[max(0, t - order + 1) : t]), ids[t]))
            for ids, first in sequences
            for t in range(first, len(ids))
        ]
        return sum(nats) / len(nats)


def levels_of(name, config):
    open(f"{name}.toml", "w").write(config)
    run("train", f"{name}.toml", "--overwrite")
    levels = {(l["metric"], l["name"]): l["value"] for l in json.load(open(f"runs/{name}/levels.json"))}
    start = json.loads(open(f"runs/{name}/metrics.jsonl").readline())
    return levels, start["vocab_size"]


def near(what, value, expected, tolerance=1e-6):
    global checked
    checked += 1
    assert abs(value - expected) <= tolerance, f"{what}: qkv has {value}, this test {expected}"


def compare(name, levels, vocab_size, train, val):
    ngrams = Ngrams(train, vocab_size)
    near(f"{name} uniform", levels["loss", "uniform"], math.log(vocab_size))
    for order, level in (1, "unigrams"), (2, "bigrams"), (3, "trigrams"), (5, "5-grams"):
        near(f"{name} {level}", levels["loss", level], ngrams.loss(order, val))


def text_case(name, text, tokenizer, fraction=0.1, path=None):
    path = path or f"{name}.txt"
    open(path, "w").write(text)
    data = f'[data]\ntrain = "{path}"\nval_fraction = {fraction}\n[task]\ntype = "language-model"\n[tokenizer]\n{tokenizer}'
    levels, vocab_size = levels_of(name, data + MODEL % "decoder-lm")
    border = int((1 - fraction) * len(text))
    ids = [json.loads(run("tokenize", f"runs/{name}", "--json", part))["ids"] for part in (text[:border], text[border:])]
    compare(name, levels, vocab_size, [(ids[0], 0)], [(ids[1], 1)])
    bits = 8 * len(gzip.compress(text[border:].encode(), 9))
    near(f"{name} gzip", levels["loss", "gzip"], bits * math.log(2) / len(ids[1]), 0.01 * bits / len(ids[1]))


# ---- texts
stories = open(f"{source}/configs/data/stories.txt").read()
text_case("letters", stories, 'type = "char"')
text_case("words", stories, 'type = "word"')
text_case("pieces", stories[:20000], 'type = "bpe"\nvocab_size = 400')
text_case("one-token", "a" * 300, 'type = "char"')
text_case("two-tokens", "ab" * 200, 'type = "char"')
# Each word occurs once, so that no n-gram has a count of 2, and none of validation is known.
text_case("once", " ".join(f"w{i}" for i in range(300)), 'type = "word"\nsplit = "spaces"')
# Every token of validation is known, no history is.
words = [f"w{i}" for i in range(20)]
text_case("unseen", " ".join(words * 9 + words[::-1]), 'type = "word"\nsplit = "spaces"')
# Words of which every one occurs twice, or four times.
text_case("pairs-of-words", " ".join(f"w{i // 2}" for i in range(400)), 'type = "word"\nsplit = "spaces"')
for seed in 1, 2, 3:
    r = random.Random(seed)
    noise = "".join(r.choice("abcdefgh"[: 2 * seed]) for _ in range(700))
    text_case(f"noise-{seed}", noise, 'type = "char"', 0.3)

# ---- documents with a mask between them: no n-gram reaches over an end, and what begins one has no loss
r = random.Random(4)
documents = ["".join(r.choice("xyz ") for _ in range(r.randint(1, 12))) for _ in range(120)]
for name, part in ("train", documents[:100]), ("val", documents[100:]):
    open(f"{name}.jsonl", "w").write("".join(json.dumps({"text": d}) + "\n" for d in part))
data = '[data]\ntrain = "train.jsonl"\nval = "val.jsonl"\npacking = "documents"\n[task]\ntype = "language-model"\n[tokenizer]\ntype = "char"'
levels, vocab_size = levels_of("documents", data + MODEL % "decoder-lm")
ended = [list(d) + ["end"] for d in documents]
compare("documents", levels, vocab_size, [(d, 0) for d in ended[:100]], [(d, 1) for d in ended[100:]])

# ---- the targets of pairs, each between <bos> and <eos>
pairs = [(" ".join(r.choice("abcd") for _ in range(5)), " ".join(r.choice("ABC") for _ in range(r.randint(1, 6)))) for _ in range(90)]
for name, part in ("train", pairs[:70]), ("val", pairs[70:]):
    open(f"{name}.tsv", "w").write("".join(f"{s}\t{t}\n" for s, t in part))
data = '[data]\ntrain = "train.tsv"\nval = "val.tsv"\n[task]\ntype = "translation"\n[tokenizer]\ntype = "word"'
levels, vocab_size = levels_of("pairs", data + MODEL % "encoder-decoder")
framed = [(["<bos>", *t.split(), "<eos>"], 1) for _, t in pairs]
compare("pairs", levels, vocab_size, framed[:70], framed[70:])

print(f"{checked} levels compared")
