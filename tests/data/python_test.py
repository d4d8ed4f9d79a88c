"""Ids of tokenizer.json by qkv and by the libraries of Hugging Face: see python_test.sh."""
import json
import random
import subprocess
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

source, qkv, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
stream = random.Random(seed)
STRINGS, FOREIGN_STRINGS = 2000, 300
PIECES = ("a The bank 's ' 'S 'll . 1,5 3.14 U.S. - ... e\u0301 \u2019 \u2018q\u2019 '\u2019 ! \u00df \u0130 K \u212a "
          "\u017f \u65e5\u672c\u8a9e \ufb01 \u03a3\u03c2 $ ## ABC AB tok_12 \u043f\u0440\u0438\u0432\u0435\u0442 "
          "\u0939\u093f \u0915\u094d\u092f\u093e \u0e44\u0e17\u0e22 \u2461 x\u00b2 \u01c4 \u0661\u0662\u0663 1234567 "
          "\u0130stanbul \ufdfa \uac00 \u1112\u1161\u11ab don't CAN'T http://a.b/c?d=e foo_bar \u00dcber "
          "\u039f\u0394\u039f\u03a3 \U0001F469\u200d\U0001F680 \U0001FAE9 \U0001F1E9\U0001F1EA [UNK] <unk>").split(" ")
PIECES += [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u2003", "\u200b", "\u200d", "\ufeff", "\u0007",
           "\u0085", "\u2028", "\u3000", "\u0301", "\u0301\u0323", "\u0345", "\ufffd"]
RANGES = [(0x20, 0x250), (0x250, 0x3000), (0x3000, 0xD800), (0xE000, 0xFFFF), (0x10000, 0x20000), (0x20000, 0x30000)]


def text():
    parts = []
    for _ in range(stream.randrange(14)):
        kind = stream.random()
        if kind < 0.75:
            parts.append(stream.choice(PIECES))
        elif kind < 0.9:
            parts.append(" ")
        else:
            parts.append(chr(stream.randrange(*stream.choice(RANGES))))
    return "".join(parts)


def run(*arguments):
    done = subprocess.run([qkv, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"qkv {' '.join(arguments[:4])} ...: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def by_qkv(file, texts):
    answers = []
    for at in range(0, len(texts), 500):
        out = run("tokenize", file, "--json", "--", *texts[at:at + 500])
        answers += [json.loads(line) for line in out.split("\n") if line]
    assert [answer["text"] for answer in answers] == texts, f"{file}: every text must be answered"
    return answers


def compare(name, texts, ours, theirs):
    wrong = [(t, a, b) for t, a, b in zip(texts, ours, theirs) if a != b]
    print(f"{'not ' if wrong else ''}ok {name}: {len(texts) - len(wrong)} of {len(texts)} equal (seed {seed})")
    for t, a, b in wrong[:3]:
        print(f"  {t!r}\n    qkv    {a}\n    python {b}")
    return not wrong


def written():
    """What qkv writes, read by both libraries."""
    with open("corpus.txt", "w", encoding="utf-8", newline="") as file:
        file.write("\n".join(text() for _ in range(1500)) + "\nA text needs words that come twice, and twice.\n" * 20)
    right = True
    for kind in ("char", "word", "bpe", "wordpiece"):
        for lowercase in ("true", "false"):
            file = f"{kind}-{lowercase}.json"
            sets = {"data.train": json.dumps("corpus.txt"), "tokenizer.type": json.dumps(kind),
                    "tokenizer.lowercase": lowercase, "tokenizer.vocab_size": "1000",
                    "tokenizer.specials": '["<|endoftext|>"]'}
            run("tokenize", f"{source}/configs/stories.toml", "--save", file,
                *[part for key, value in sets.items() for part in ("--set", f"{key}={value}")])
            texts = [text() for _ in range(STRINGS)]
            ours = [answer["ids"] for answer in by_qkv(file, texts)]
            plain = Tokenizer.from_file(file)
            plain.encode_special_tokens = True
            right &= compare(file, texts, ours, [plain.encode(t, add_special_tokens=False).ids for t in texts])
            fast = PreTrainedTokenizerFast(tokenizer_file=file)
            theirs = [fast(t, add_special_tokens=False, split_special_tokens=True)["input_ids"] for t in texts]
            right &= compare(f"{file} by transformers", texts, ours, theirs)
    return right


def foreign():
    """Tokenizers of the library, as (name, tokenizer, trainer)."""
    words = {"special_tokens": ["[PAD]", "[UNK]", "[CLS]"], "show_progress": False}

    def made(name, model, trainer, normalizer=None, cut=None, decoder=None):
        tokenizer = Tokenizer(model)
        if normalizer:
            tokenizer.normalizer = normalizer
        if cut:
            tokenizer.pre_tokenizer = cut
        if decoder:
            tokenizer.decoder = decoder
        return name, tokenizer, trainer

    def word_level(name, normalizer=None, cut=None):
        return made(name, models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(vocab_size=3000, **words),
                    normalizer, cut)

    n, p = normalizers, pre_tokenizers
    byte_trainer = trainers.BpeTrainer(vocab_size=600, show_progress=False, initial_alphabet=p.ByteLevel.alphabet())
    yield made("byte-level", models.BPE(), byte_trainer, n.NFC(), p.ByteLevel(add_prefix_space=True),
               decoders.ByteLevel())
    split = p.Split(Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                          r"|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated")
    yield made("digits in threes", models.BPE(ignore_merges=True), byte_trainer, None,
               p.Sequence([split, p.ByteLevel(add_prefix_space=False, use_regex=False)]), decoders.ByteLevel())
    yield made("suffix", models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>", fuse_unk=True),
               trainers.BpeTrainer(vocab_size=600, end_of_word_suffix="</w>", **words),
               n.Sequence([n.NFKC(), n.Lowercase()]), p.BertPreTokenizer(), decoders.BPEDecoder())
    yield made("uncased BERT", models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20),
               trainers.WordPieceTrainer(vocab_size=900, **words), n.BertNormalizer(), p.BertPreTokenizer(),
               decoders.WordPiece())
    yield word_level("stripped", n.Sequence([n.NFD(), n.StripAccents()]), p.WhitespaceSplit())
    yield word_level("words", n.NFKD(), p.Whitespace())
    for pattern in (r"\w+", r"^.|.$", r"\b", r"x*", r"[[:punct:]]+", r"\R|\h+", r"[\w&&[^\d]]+", r"(?i)[k-t]"):
        for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
            yield word_level(f"Split {pattern} {behavior}", None, p.Split(Regex(pattern), behavior))
    for pattern, content in ((r"\s+", " "), ("^", "_"), ("$", "_"), (r"(\w)\1", "")):
        yield word_level(f"Replace {pattern}", n.Replace(Regex(pattern), content), p.Split(" ", "isolated"))
    for literal, content in (("'", "\u2019"), (".", "")):
        yield word_level(f"Replace the text {literal}", n.Replace(literal, content), p.Split(" ", "isolated"))


def read():
    """What the library writes, read by qkv."""
    # A special token that the corpus spells gets two ids, and the file contradicts itself.
    corpus, right = [text().replace("[UNK]", "") for _ in range(800)], True
    for name, tokenizer, trainer in foreign():
        tokenizer.train_from_iterator(corpus, trainer)
        tokenizer.add_tokens([AddedToken("ABC", normalized=False), AddedToken("AB", normalized=True)])
        tokenizer.save("foreign.json")
        tokenizer = Tokenizer.from_file("foreign.json")
        tokenizer.encode_special_tokens = True
        texts = [text() for _ in range(FOREIGN_STRINGS)]
        ours = by_qkv("foreign.json", texts)
        ids = [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]
        right &= compare(name, texts, [answer["ids"] for answer in ours], ids)
        right &= compare(f"{name}, decoded", texts, [answer["decoded"] for answer in ours],
                         [tokenizer.decode(one) for one in ids])
    return right


results = [written(), read()]
sys.exit(0 if all(results) else 1)
