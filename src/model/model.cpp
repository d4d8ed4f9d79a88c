#include "qkv/model/model.h"

#include <algorithm>

#include "autograd/trace.h"
#include "model/word_vectors.h"
#include "qkv/base/make.h"
#include "qkv/model/stack.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Model);

std::unique_ptr<Model> make_model(const Scope& scope, const Section& config, const DataShape& shape) {
  std::unique_ptr<Model> model = make<Model>(config, Model::kDefault, scope, config, shape);
  config.check();
  return model;
}

Var word_vectors(const TokenEmbedding& embed, const Batch& batch) {
  const bool ngrams = embed.ngrams.defined();
  const Tensor& ids = batch.at("ids");
  const Var x = embed(ids, ngrams ? batch.at("ngram_ids") : Tensor(),
                      ngrams ? batch.at("ngram_offsets") : Tensor());  // [B, T, d]
  const Tensor* values = batch.find("values");
  if (!values) return x;
  QKV_CHECK(!ngrams && values->shape() == ids.shape(),
            "word_vectors: values must be one per id, without n-grams; got values {}, ids {}",
            values->shape(), ids.shape());
  const Var unit = embed(Tensor::full({1, 1}, double(embed.vocabulary - 1), Dtype::i32));
  return x + unit * cast(*values, embed.dtype).reshape({ids.dim(0), ids.dim(1), 1});
}

void check_embedding(const Section& model, EmbeddingKind kind, const DataShape& shape) {
  if (kind == EmbeddingKind::word_ngrams && shape.ngram_buckets == 0)
    model.report(
        "embedding",
        "must not be \"word+ngrams\" without n-grams in the data; got data.ngram_buckets = 0 (try 20000)");
}

// ---- layers

Stack::Stack(const Scope& s, const Section& model, StackConfig config)
    : dropout(config.block.dropout), width(config.d_model) {
  if (config.embed_norm) embed_norm.emplace(s / "embed_norm", config.block.norm, width);
  auto add = [&](auto&& make_layer) {
    const Scope scope = s / "layers" / int(layers.size());
    layers.push_back(make_layer(scope));
    paths.push_back(scope.path());
    width = layers.back()->out_width();
  };
  const std::vector<Section> listed = model.sections("layers");
  const Index n = Index(listed.size());
  if (n > 0 && model.has("n_layer") && config.n_layer != n)
    model.report("n_layer", fmt::format("must be left out or be the number of [[model.layers]], {}; got {}",
                                        n, config.n_layer));
  bool known = n <= kMaxLayers;
  if (!known) model.report("layers", fmt::format("must have at most {} layers; got {}", kMaxLayers, n));
  if (known)
    for (const Section& layer : listed) known = check_type<Layer>(layer, "block") && known;
  if (!known) {  // nor is the width of what follows
    for (const Section& layer : listed) layer.skip_all();
    return;
  }
  for (const Section& layer : listed)
    add([&](const Scope& scope) { return make<Layer>(layer, "block", scope, layer, width); });
  if (!listed.empty()) return;
  config.block.complete(model, width);
  for (Index i = 0; i < config.n_layer; i++)
    add([&](const Scope& scope) { return std::make_unique<Block>(scope, config.block, width); });
  if (config.block.norm.place == NormPlace::pre && !layers.empty())
    norm.emplace(s / "norm", config.block.norm, width);
}

bool Stack::continues() const {
  return std::all_of(layers.begin(), layers.end(), [](auto& layer) { return layer->continues(); });
}

Var Stack::operator()(const Var& x, const Context& context) const {
  Var h = qkv::dropout(embed_norm ? (*embed_norm)(x) : x, dropout);
  for (std::size_t i = 0; i < layers.size(); i++) {
    LayerPath here(paths[i]);
    h = layers[i]->forward(h, context);
    QKV_CHECK(h.dim(-1) == layers[i]->out_width(),
              "layer: output must have the width {} it says; got {} (is its out_width() right?)",
              layers[i]->out_width(), h.shape());
  }
  return norm ? (*norm)(h) : h;
}

}  // namespace qkv
