"""Writes tests/interop/models: tiny random models of transformers with a tokenizer each, and what they compute.
   make_reference.py FOLDER [all]
Each case is a folder as save_pretrained writes it, and NAME.safetensors beside it: ids [B, T], logits [B, T, V], and
`greedy`, 64 tokens after the first row; of encoders also keep and token_types [B, T], of classifiers logits [B, classes]
and target [B], the place of [CLS]. Without `all`, only the cases that are kept in the repository.
"""
import json
import os
import shutil
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXT = ["the river ran past the old stone bank", "a bank lends money to those who bank on it", "she sat there",
        "he ran the bank", "one more stone, and one more"]


def tokenizer(size, special="<|endoftext|>"):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=size, special_tokens=[special], show_progress=False))
    return made


def word_piece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=60, special_tokens=special, show_progress=False))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
                                   sep_token="[SEP]", mask_token="[MASK]")


def bert(head="MaskedLM", **keys):
    keys = {"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3,
            "max_position_embeddings": 80, **keys}
    return getattr(transformers, "BertFor" + head), transformers.BertConfig(**keys)


def distilbert(head="MaskedLM", **keys):
    keys = {"dim": 12, "hidden_dim": 20, "n_layers": 2, "n_heads": 3, "max_position_embeddings": 80, **keys}
    return getattr(transformers, "DistilBertFor" + head), transformers.DistilBertConfig(**keys)


def gpt2(**keys):
    keys = {"n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 80, **keys}
    return transformers.GPT2LMHeadModel, transformers.GPT2Config(**keys)


def llama(cls="Llama", **keys):
    keys = {"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3,
            "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 80, **keys}
    if cls == "Mistral":
        keys.setdefault("sliding_window", None)
    return getattr(transformers, cls + "ForCausalLM"), getattr(transformers, cls + "Config")(**keys)


SORTING = "SequenceClassification"
NAMES = {"id2label": {0: "good", 1: "bad", 2: "so so"}, "label2id": {"good": 0, "bad": 1, "so so": 2}}
KEPT = {"gpt2": gpt2(), "llama": llama(rope_theta=500.0), "bert": bert(), "distilbert-classes": distilbert(SORTING, **NAMES)}
MORE = {
    "bert-classes": bert(SORTING, **NAMES, classifier_dropout=0.3),
    "bert-two-classes": bert(SORTING, hidden_act="gelu_new", num_hidden_layers=1),
    "bert-untied": bert(tie_word_embeddings=False, hidden_act="relu", layer_norm_eps=1e-5),
    "bert-silu": bert(hidden_act="silu", type_vocab_size=1, num_attention_heads=1),
    "bert-odd": bert(hidden_size=35, num_attention_heads=5, num_hidden_layers=3, type_vocab_size=3),
    "bert-pretraining": bert("PreTraining"),
    "distilbert": distilbert(),
    "distilbert-untied": distilbert(tie_word_embeddings=False, activation="relu", sinusoidal_pos_embds=True),
    "distilbert-two-classes": distilbert(SORTING),
    "gpt2-untied": gpt2(tie_word_embeddings=False, activation_function="gelu", n_inner=20, layer_norm_epsilon=1e-3),
    "gpt2-relu": gpt2(activation_function="relu", n_head=1, scale_attn_weights=False),
    "gpt2-relu2": gpt2(activation_function="relu2"),
    "gpt2-silu": gpt2(activation_function="silu", n_head=12, attn_pdrop=0.0, resid_pdrop=0.3),
    "gpt2-odd": gpt2(n_embd=35, n_head=5, n_layer=3),
    "gpt2-spare": gpt2(vocab_size=99),
    "gpt2-ends": gpt2(eos_token_id=7),
    "llama-tied": llama(tie_word_embeddings=True),
    "llama-mha": llama(num_attention_heads=3, num_key_value_heads=3, head_dim=4),
    "llama-gqa": llama(hidden_size=40, num_attention_heads=10, num_key_value_heads=5, head_dim=None),
    "llama-bias": llama(attention_bias=True, mlp_bias=True, rms_norm_eps=1e-3),
    "llama-odd": llama(hidden_size=35, num_attention_heads=7, num_key_value_heads=7, head_dim=6),
    "mistral": llama("Mistral"),
    "mistral-window": llama("Mistral", sliding_window=5),
}


def make(folder, name, cls, config, spread=0.3):
    torch.manual_seed(len(name))
    encoder = "bert" in config.model_type
    words = word_piece() if encoder else tokenizer(60)
    if encoder:
        config.vocab_size = len(words)
    if config.vocab_size > 90 and config.vocab_size != 99:
        config.vocab_size = words.get_vocab_size()
    model = cls(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # the initial values would make all logits alike
            parameter.copy_(torch.randn_like(parameter) * spread + (1.0 if parameter.dim() == 1 else 0.0))
    path = os.path.join(folder, name)
    shutil.rmtree(path, ignore_errors=True)
    model.save_pretrained(path)
    if not encoder:
        words = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|endoftext|>")
    words.save_pretrained(path)
    expect(path, model)
    return path, model


def expect(path, model):
    """What the model computes, beside its folder."""
    ids = torch.randint(1, 50, (3, 12), generator=torch.Generator().manual_seed(5))
    if "bert" in model.config.model_type:
        keep, types = torch.ones_like(ids), torch.zeros_like(ids)
        keep[1, 7:], types[:2, 5:] = 0, 1 if getattr(model.config, "type_vocab_size", 0) > 1 else 0
        batch = {"token_types": types} if model.config.model_type == "bert" else {}
        with torch.no_grad():
            out = model(ids, attention_mask=keep, **({"token_type_ids": types} if batch else {}))
        batch.update(ids=ids, keep=keep)
        if "Classification" in type(model).__name__:
            batch["target"] = torch.zeros(3)
        logits = out.prediction_logits if "PreTraining" in type(model).__name__ else out.logits
        stored = {name: value.int().contiguous() for name, value in batch.items()}
        save_file({**stored, "logits": logits.float().contiguous()}, path + ".safetensors")
        return
    with torch.no_grad():
        logits = model(ids).logits.float()
        greedy = model.generate(ids[:1], do_sample=False, max_new_tokens=64, pad_token_id=0,
                                attention_mask=torch.ones_like(ids[:1]))[0, 12:]
    save_file({"ids": ids.int().contiguous(), "logits": logits.contiguous(), "greedy": greedy.int().contiguous()},
              path + ".safetensors")


def stored(path, change):
    """The weights of a folder in another form."""
    weights = load_file(os.path.join(path, "model.safetensors"))
    change(weights)
    save_file(weights, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})


def add_buffers(weights):
    for layer in range(2):
        weights[f"transformer.h.{layer}.attn.bias"] = torch.tril(torch.ones(1, 1, 80, 80, dtype=torch.bool))
        weights[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    weights["lm_head.weight"] = weights["transformer.wte.weight"].clone()


def old_bert(weights):
    for name in list(weights):
        weights[name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")] = \
            weights.pop(name)
    weights["bert.embeddings.position_ids"] = torch.arange(80)[None]
    weights["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"].clone()


def bare(weights):
    for name in list(weights):
        weights[name.replace("transformer.", "").replace("model.", "", 1)] = weights.pop(name)


def main(folder, everything):
    os.makedirs(folder, exist_ok=True)
    for name, (cls, config) in {
  **KEPT, **(MORE if everything else {})
}.items():
        make(folder, name, cls, config)
    if not everything:
        for name in KEPT:  # the rest is read by nobody
            for file in os.listdir(os.path.join(folder, name)):
                if file not in ("config.json", "model.safetensors", "tokenizer.json", "generation_config.json"):
                    os.remove(os.path.join(folder, name, file))
        return
    for name, base in (("gpt2-buffers", gpt2()), ("gpt2-bare", gpt2()), ("llama-bare", llama(tie_word_embeddings=True))):
        path, _ = make(folder, name, *base)
        stored(path, add_buffers if name == "gpt2-buffers" else bare)
    path, _ = make(folder, "bert-old", *bert())
    stored(path, old_bert)
    for name, base, dtype in (("bert-bf16", bert(), torch.bfloat16), ("gpt2-bf16", gpt2(), torch.bfloat16), ("llama-f16", llama(), torch.float16),
                              ("llama-f64", llama(), torch.float64)):
        path, model = make(folder, name, *base)
        model.to(dtype).save_pretrained(path)
        expect(path, model.double() if dtype == torch.float64 else model.float())
    for name, base in (("bert-sharded", bert()), ("gpt2-sharded", gpt2()), ("llama-sharded", llama())):
        path, model = make(folder, name, *base)
        os.remove(os.path.join(path, "model.safetensors"))
        model.save_pretrained(path, max_shard_size="6KB")
        assert os.path.exists(os.path.join(path, "model.safetensors.index.json"))
    path, _ = make(folder, "llama-old", *llama(rope_theta=77.0))  # as versions before 5 wrote it
    with open(os.path.join(path, "config.json")) as file:
        config = json.load(file)
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["rope_scaling"] = None
    del config["head_dim"], config["mlp_bias"]
    config["head_dim"] = 8
    with open(os.path.join(path, "config.json"), "w") as file:
        json.dump(config, file)


if __name__ == "__main__":
    main(sys.argv[1], len(sys.argv) > 2)
