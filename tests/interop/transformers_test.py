"""Loads exported models in transformers, and generates with imported ones: see transformers_test.sh."""
import json
import os
import subprocess
import sys

import torch
from safetensors.torch import load_file
from transformers import (AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification,
                          AutoTokenizer)

exports, models, qkv = sys.argv[1:4]
TEXTS = ["the bank", "She ran, past it\n\n twice", "one  more \u00e9 \u4f60", "the old river. stone!"]


def run(*arguments):
    done = subprocess.run([qkv, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"qkv {' '.join(arguments[:4])} ...: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def check(right, what):
    if not right:
        sys.exit(f"FAILED: {what}")


def folders(parent):
    return sorted(name for name in os.listdir(parent) if os.path.isdir(os.path.join(parent, name)))


def check_ids(path):
    tokenizer = AutoTokenizer.from_pretrained(path)
    for text in TEXTS:
        own = json.loads(run("tokenize", path + "/tokenizer.json", text, "--json"))["ids"]
        check(tokenizer(text, add_special_tokens=False)["input_ids"] == own, f"{path}: ids of {text!r}")
    return tokenizer


def auto_model(name):
    if "bert" not in name:
        return AutoModelForCausalLM
    return AutoModelForSequenceClassification if "classes" in name else AutoModelForMaskedLM


def encoder_logits(model, batch):
    names = {"keep": "attention_mask", "token_types": "token_type_ids", "ids": "input_ids"}
    with torch.no_grad():
        return model(**{names[key]: value.long() for key, value in batch.items() if key in names}).logits


worst = 0.0
for name in folders(exports):
    path = os.path.join(exports, name)
    expected = load_file(path + ".safetensors")
    tokenizer = check_ids(path)
    model, found = auto_model(name).from_pretrained(path, dtype="auto", output_loading_info=True)
    check(not any(found[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), f"{name}: {found}")
    model.eval()
    check(len(tokenizer) == model.config.vocab_size, f"{name}: {len(tokenizer)} tokens")
    if "bert" in name:
        own, logits = expected["logits"], encoder_logits(model, expected)
        error = ((logits - own).abs().max() / own.abs().max()).item()
        worst = max(worst, error)
        check(error < 1e-4, f"{name}: logits differ by {error}")
        print(f"{name}: logits differ by {error:.1e}")
        continue
    ids = expected["ids"].long()
    with torch.no_grad():
        logits = model(ids).logits
        greedy = model.generate(ids[:1], attention_mask=torch.ones_like(ids[:1]), do_sample=False, max_new_tokens=64)
    own = expected["logits"]
    check(logits.dtype == own.dtype, f"{name}: {logits.dtype}")
    error = ((logits - own).abs().max() / own.abs().max()).item()
    worst = max(worst, error)
    check(error < 1e-4, f"{name}: logits differ by {error}")
    tokens = greedy[0, ids.shape[1]:].tolist()
    if tokens and tokens[-1] == model.generation_config.eos_token_id:
        tokens.pop()
    check(tokens == expected["greedy"].tolist(), f"{name}: greedy tokens {tokens}")
    print(f"{name}: logits differ by {error:.1e}, {len(tokens)} greedy tokens are equal")

# The command line as a user has it: the text that an imported model goes on with.
for name in ("gpt2", "llama"):
    path = os.path.join(models, name)
    subprocess.run(["rm", "-rf", "imported"], check=True)
    run("import", path, "--out", "imported")
    made = json.loads(run("generate", "imported", "--prompt", TEXTS[0], "--max-tokens", "64", "--temperature", "0",
                          "--json"))
    tokenizer = check_ids(path)
    model = AutoModelForCausalLM.from_pretrained(path)
    batch = tokenizer(TEXTS[0], return_tensors="pt")
    tokens = model.generate(batch["input_ids"], attention_mask=batch["attention_mask"], do_sample=False,
                            max_new_tokens=64, pad_token_id=0)[0, batch["input_ids"].shape[1]:]
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    check(made["text"] == text, f"{name}: {made['text']!r} instead of {text!r}")
# What an imported encoder answers: the frame around texts and pairs is the tokenizer's post-processor there, too.
for name in ("bert", "bert-classes", "distilbert", "distilbert-classes"):
    path = os.path.join(models, name)
    subprocess.run(["rm", "-rf", "imported"], check=True)
    run("import", path, "--out", "imported")
    tokenizer, model = check_ids(path), auto_model(name).from_pretrained(path).eval()
    classes = "classes" in name
    for texts in (["the old bank"], ["the old bank", "she ran"]) if classes else (["the [MASK] bank [MASK] money"],):
        batch = tokenizer(*texts, return_tensors="pt", return_token_type_ids=True)
        if "distil" in name:
            batch.pop("token_type_ids", None)
        made = json.loads(run("predict", "imported", "\t".join(texts), "--json"))
        with torch.no_grad():
            p = model(**batch).logits.softmax(-1)[0]
        if classes:
            for label, value in made["probabilities"].items():
                check(abs(p[model.config.label2id[label]].item() - value) < 1e-5, f"{name}: p of {label}")
        else:
            for mask, place in zip(made["masks"], (batch["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0]):
                check(mask["position"] == place - 1, f"{name}: place of a mask")
                for one in mask["tokens"]:
                    right = p[place, tokenizer.convert_tokens_to_ids(one["token"])].item()
                    check(abs(right - one["probability"]) < 1e-5, f"{name}: p of {one}")
print(f"{len(folders(exports))} exported models agree with transformers, to {worst:.1e} at most")
