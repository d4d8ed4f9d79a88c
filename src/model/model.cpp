#include "qkv/model/model.h"

#include <algorithm>

#include "autograd/trace.h"
#include "model/word_vectors.h"
#include "qkv/base/make.h"
#include "qkv/model/stack.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/embedding.h"

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

static Init scalars(double a, double b) {
  return [=](Tensor& t, const Stream&) {
    t.copy_from(Tensor::from<double>({2}, {a, b}).to(t.dtype()));
  };
}

// Reports what keeps equal blocks from having value embeddings, or from sharing parameters.
static void check_blocks(const Section& model, const StackConfig& c) {
  const AttentionConfig& heads = c.block.attention;
  if (c.n_layer % c.share_layers != 0)
    model.report("share_layers",
                 fmt::format("must divide the number of blocks, {}; got {}", c.n_layer, c.share_layers));
  if (c.value_embeddings > 0 && (heads.type != "attention" || heads.qkv != Projections::learned))
    model.report(
        "value_embeddings",
        fmt::format("needs attention.type = \"attention\" with a learned W_V; got \"{}\" with qkv = \"{}\"",
                    heads.type, text_of(heads.qkv)));
}

Stack::Stack(const Scope& s, const Section& model, StackConfig config)
    : dropout(config.block.dropout), width(config.d_model) {
  if (config.embed_norm) embed_norm.emplace(s / "embed_norm", config.block.norm, width);
  auto add = [&](auto&& make_layer) {
    const int i = int(layers.size());
    const Scope scope = s / "layers" / i;
    if (config.residual_scalars) {
      residual.push_back((s / "residual" / i).param("lambdas", {2}, scalars(1, 0)));
      if (width != config.d_model)
        model.report("residual_scalars",
                     fmt::format("needs layers of the width d_model = {}; got {} before layer {}",
                                 config.d_model, width, i));
    }
    value_embed.emplace_back(), value_lambdas.emplace_back();
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
  for (const auto& [key, value, none] : {std::tuple("share_layers", config.share_layers, Index{1}),
                                         {"value_embeddings", config.value_embeddings, Index{0}}})
    if (!listed.empty() && value != none)
      model.report(key, fmt::format("must be {} with [[model.layers]], which are no equal blocks; got {}",
                                    none, value));
  if (!listed.empty()) return;
  config.block.complete(model, width);
  check_blocks(model, config);
  const AttentionConfig attention = config.block.attention;
  config.block.attention.window_pattern = "S";
  for (Index i = 0; i < config.n_layer; i++) {
    config.block.attention.window = attention.window_of(i);
    const Scope owner = s / "layers" / int(i - i % config.share_layers), values = s / "value_embed" / int(i);
    add([&](const Scope& scope) {
      return std::make_unique<Block>(scope.sharing(owner), config.block, width);
    });
    if (config.value_embeddings == 0 || (config.n_layer - 1 - i) % config.value_embeddings != 0) continue;
    const AttentionOptions heads = config.block.attention.options(width);
    value_embed.back() = values.param(
        "weight", {config.vocab_size, heads.n_kv_head * config.block.attention.head_width(width)},
        init::vectors());
    value_lambdas.back() = values.param("lambdas", {2}, scalars(0.5, 0.5));
  }
  if (config.block.norm.place == NormPlace::pre && !layers.empty())
    norm.emplace(s / "norm", config.block.norm, width);
}

bool Stack::continues() const {
  return std::all_of(layers.begin(), layers.end(), [](auto& layer) { return layer->continues(); });
}

Var Stack::operator()(const Var& x, const Context& context) const {
  Var h = qkv::dropout(embed_norm ? (*embed_norm)(x) : x, dropout);
  const Var x0 = residual.empty() ? Var() : h;
  Context own = context;
  QKV_CHECK(value_embed.empty() || !value_embed.back().defined() || context.ids.defined(),
            "value embeddings: the model must set StackConfig::vocab_size and Context::ids; got none");
  for (std::size_t i = 0; i < layers.size(); i++) {
    LayerPath here(paths[i]);
    if (!residual.empty()) h = mix(h, x0, residual[i]);
    own.value_embedding = value_embed[i].defined() ? embedding(context.ids, value_embed[i]) : Var();
    own.value_lambdas = value_lambdas[i];
    h = (*layers[i])(h, own);
    QKV_CHECK(h.dim(-1) == layers[i]->out_width(),
              "layer: output must have the width {} it says; got {} (is its out_width() right?)",
              layers[i]->out_width(), h.shape());
  }
  return norm ? (*norm)(h) : h;
}

}  // namespace qkv
