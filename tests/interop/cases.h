// Models of every kind, small and with random parameters, for tests of what is exported.
#pragma once
#include <string>
#include <vector>

#include "paths.h"
#include "qkv/train/experiment.h"

namespace qkv::test {

struct ModelCase {
  const char* name;
  const char* config;  // in configs
  std::vector<std::string> sets;
};

inline const std::vector<ModelCase>& model_cases() {
  static const std::vector<std::string> tiny{"model.d_model=16", "model.attention.n_head=2",
                                             "model.ffn.d_ff=24", "model.max_seq_len=24"};
  auto with = [](std::vector<std::string> sets, std::vector<std::string> more) {
    sets.insert(sets.end(), more.begin(), more.end());
    return sets;
  };
  auto bank = [&](std::vector<std::string> more) {
    return with(with(tiny, {"data.ngram_buckets=50"}), std::move(more));
  };
  auto text = [&](std::vector<std::string> more) {
    return with(with(tiny, {"model.n_layer=2", "data.length=24", "tokenizer={type=\"char\"}"}),
                std::move(more));
  };
  auto masked = [&](std::vector<std::string> more) {
    return with(with(tiny, {"tokenizer.vocab_size=300", "data.length=22"}), std::move(more));
  };
  auto cell = [&](const char* type, std::vector<std::string> more) {
    return with({fmt::format("model={{type=\"{}\",d_model=12,d_embed=8,n_layer=2,max_seq_len=24}}", type)},
                std::move(more));
  };
  const std::string stories = fmt::format("data.train=\"{}/configs/data/stories.txt\"", source_dir());
  static const std::vector<ModelCase> cases{
      {"bank", "bank", bank({})},
      {"bank-mean", "bank",
       bank({"model.readout=\"mean\"", "model.norm={type=\"rmsnorm\",place=\"post\"}",
             "model.ffn.activation=\"swiglu\"", "model.position={type=\"sinusoidal\",origin=\"start\"}",
             "model.attention.n_kv_head=1", "model.bag=0.5", "model.pooler=\"tanh\"",
             "model.token_types=3"})},
      {"bank-both", "bank",
       bank({"model.readout=\"target+mean\"", "model.embedding=\"learned\"",
             "model.ffn.activation=\"gelu-erf\"", "model.position={type=\"rope\",origin=\"start\"}",
             "model.attention.bias=false", "model.pooler=\"relu\""})},
      {"bank-alibi", "bank",
       bank({"model.position={type=\"alibi\",origin=\"start\"}", "model.ffn.activation=\"relu\"",
             "model.attention.scale=\"none\""})},
      {"bank-t5", "bank",
       bank({"model.position={type=\"t5\",origin=\"start\",per_layer=true}", "model.attention.window=3"})},
      {"bank-shaw", "bank", bank({"model.position={type=\"shaw\",origin=\"start\"}"})},
      {"bank-identity", "bank-identity", {}},
      {"bank-modern", "bank",
       bank({"model.n_layer=3", "model.share_layers=3", "model.value_embeddings=2",
             "model.residual_scalars=true", "model.logit_softcap=4", "model.ffn.activation=\"relu2\""})},
      {"bank-one-hot", "bank-one-hot", {}},
      {"bank-static", "bank-static", {"model.d_model=8"}},
      {"bank-bow", "bank-bow", {"model.d_model=8"}},
      {"bank-rnn", "bank", cell("rnn", {"model.readout=\"mean\"", "model.bidirectional=true"})},
      {"bank-lstm", "bank", cell("lstm", {"model.readout=\"target\"", "model.bidirectional=true"})},
      {"bank-gru", "bank", cell("gru", {"model.readout=\"last\""})},
      {"text", "stories", text({})},
      {"text-rope", "stories",
       text({"model.position.type=\"rope\"", "model.norm={type=\"rmsnorm\"}",
             "model.ffn.activation=\"swiglu\"", "model.attention.n_head=4", "model.attention.n_kv_head=2",
             "model.tie_embeddings=true"})},
      {"text-alibi", "stories",
       text({"model.position.type=\"alibi\"", "model.norm={place=\"post\"}",
             "model.ffn.activation=\"silu\""})},
      {"text-window", "stories",
       text({"model.position={type=\"rope\",rotary_fraction=0.5}", "model.attention.qk_norm=\"rms-gain\"",
             "model.attention.softcap=2.0", "model.attention.window=3",
             "model.attention.window_pattern=\"SL\"", "model.attention.n_head=4",
             "model.attention.n_kv_head=2"})},
      {"text-t5", "stories",
       text({"model.position={type=\"t5\",buckets=6,max_distance=5}", "model.attention.qk_norm=\"rms\""})},
      {"text-shaw", "stories",
       text({"model.position={type=\"shaw\",max_distance=2}", "model.attention.window=4"})},
      {"text-sinusoidal", "stories", text({"model.position.type=\"sinusoidal\"", "run.dtype=\"f64\""})},
      {"text-modern", "stories",
       text({"model.n_layer=4", "model.share_layers=2", "model.value_embeddings=2",
             "model.residual_scalars=true", "model.logit_softcap=4", "model.ffn.activation=\"relu2\"",
             "model.position.type=\"rope\"", "model.attention.n_kv_head=1"})},
      {"text-rnn", "stories", with(cell("rnn", {}), {"tokenizer={type=\"char\"}", "data.length=24"})},
      {"text-lstm", "stories", with(cell("lstm", {}), {"tokenizer={type=\"char\"}", "data.length=24"})},
      {"text-gru", "stories", with(cell("gru", {}), {"tokenizer={type=\"char\"}", "data.length=24"})},
      {"translate", "translate-toy", tiny},
      {"translate-rope", "translate-toy",
       with(tiny,
            {"model.position={type=\"rope\",pairing=\"interleaved\",theta=100}",
             "model.attention.n_kv_head=1", "model.tie_embeddings=true", "model.norm={place=\"post\"}"})},
      {"translate-modern", "translate-toy",
       with(tiny, {"model.n_layer=2", "model.share_layers=2", "model.value_embeddings=1",
                   "model.residual_scalars=true", "model.logit_softcap=4"})},
      {"translate-t5", "translate-toy",
       with(tiny, {"model.position={type=\"t5\",buckets=8,max_distance=6}",
                   "model.attention.qk_norm=\"rms-gain\"", "model.attention.softcap=3.0"})},
      {"translate-copy", "translate-toy", with(tiny, {"model.copy=true", "train.label_smoothing=0"})},
      {"translate-copy-pieces", "translate-toy",
       with(tiny, {"model.copy=true", "tokenizer={type=\"bpe\",vocab_size=400,shared=true}"})},
      {"adding", "adding", with(tiny, {"data.length=24"})},
      {"masked-words", "masked-words", masked({})},
      {"masked-words-rope", "masked-words",
       masked({"model.tie_embeddings=false", "model.embed_norm=false", "model.norm={place=\"pre\"}",
               "model.token_types=0", "model.position={type=\"rope\"}", "model.attention.n_kv_head=1"})},
      {"word2vec", "word2vec", {stories, "model.d_model=8"}},
      {"cbow", "word2vec", {stories, "model={type=\"cbow\",d_model=8}"}},
  };
  return cases;
}

// The model of a case; no parameter is at a special value such as a zero bias.
inline Experiment random_model(const ModelCase& one) {
  std::vector<std::string> sets = one.sets;
  Experiment e =
      build_experiment(Section::load(fmt::format("{}/configs/{}.toml", source_dir(), one.config), sets));
  Stream dice(3, "interop");
  for (NamedTensor& parameter : e.parameters->named())
    dispatch("interop", parameter.tensor.dtype(), [&](auto t) {
      using T = decltype(t);
      for (Index i = 0; i < parameter.tensor.size(); i++)
        parameter.tensor.data<T>()[i] += T(0.2 * dice.normal());
    });
  return e;
}

}  // namespace qkv::test
