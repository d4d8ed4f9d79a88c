// RecurrentNet: RNN, LSTM and GRU as the models of the same tasks that transformers are trained on.
#include <algorithm>

#include "autograd/trace.h"
#include "model/word_vectors.h"
#include "qkv/autograd/capture.h"
#include "qkv/model/generate.h"
#include "qkv/model/stack.h"
#include "qkv/nn/linear.h"
#include "qkv/nn/recurrent.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/embedding.h"

namespace qkv {
namespace {

/// What a classifier reads: the state at the target word, at the last word, or the mean.
enum class StateReadout { target, last, mean };
std::vector<std::string> names_of(StateReadout) {
  return {"target", "last", "mean"};
}

struct RecurrentNetConfig : LengthConfig, HeadConfig {
  Index n_layer = 1, d_model = 32, d_embed = 0;
  bool bidirectional = false;
  double dropout = 0.0;
  EmbeddingKind embedding = EmbeddingKind::learned;
  StateReadout readout = StateReadout::target;
  void fields(FieldCollector& f) {
    f("n_layer", n_layer, "number of recurrent layers", rule::between(1, kMaxLayers));
    f("d_model", d_model, "width of the hidden state", rule::positive);
    f("d_embed", d_embed, "width of the token vectors; 0 = d_model", rule::non_negative);
    LengthConfig::fields(f);
    HeadConfig::fields(f);
    f("bidirectional", bidirectional, "read from both ends; not where the next token is predicted");
    f("dropout", dropout, "probability of zeroing an activation between the layers while training",
      rule::dropping);
    f("embedding", embedding, "how a word is represented");
    f("readout", readout,
      "input of the classifier: the state at the target word, at the last word, or the mean");
  }
};

RecurrentNetConfig read_recurrent_net(const Section& section, const DataShape& shape) {
  RecurrentNetConfig c;
  section.read(c);
  if (c.bidirectional && shape.n_class == 0 && !shape.both_sides)
    section.report("bidirectional",
                   "must be false if the next token is predicted: the backward direction would see it");
  check_embedding(section, c.embedding, shape);
  return c;
}

std::vector<Recurrent> make_layers(const Scope& s, const std::string& cell, const RecurrentNetConfig& c,
                                   Index width) {
  std::vector<Recurrent> layers;
  for (Index i = 0; i < c.n_layer; i++) {
    layers.emplace_back(s / "layers" / int(i), cell, width, c.d_model, c.bidirectional);
    width = layers.back().out_width();
  }
  return layers;
}

Index embedding_width(const RecurrentNetConfig& c, const DataShape& shape) {
  if (c.embedding == EmbeddingKind::one_hot) return shape.vocab_size;
  return c.d_embed ? c.d_embed : c.d_model;
}

// Words of each row; undefined where nothing is padding.
Tensor lengths_of(const Tensor* keep) {
  if (!keep || keep->is_symbolic()) return {};
  const Index B = keep->dim(0), T = keep->dim(1);
  Tensor lengths = Tensor::empty({B}, Dtype::i32);
  const std::int32_t* k = keep->data<std::int32_t>();
  for (Index b = 0; b < B; b++)
    lengths.data<std::int32_t>()[b] = std::int32_t(std::count(k + b * T, k + (b + 1) * T, 1));
  Note()("keep", *keep).add("lengths", lengths);
  return lengths;
}

// Position of the last word of each row.
Tensor last_of(const Var& h, const Tensor& lengths) {
  Tensor last = Tensor::result({h.dim(0)}, h.value(), Dtype::i32);
  if (last.is_symbolic()) return last;
  last.fill(double(h.dim(1) - 1));
  if (lengths.defined())
    for (Index b = 0; b < last.size(); b++)
      last.data<std::int32_t>()[b] = std::max(0, lengths.data<std::int32_t>()[b] - 1);
  Note()("lengths", lengths)("steps", h.dim(1)).add("last_positions", last);
  return last;
}

/// Token vectors, recurrent layers of the cell that model.type names, and a head. With classes in the data:
/// logits [B, n_class] of what `readout` picks. Else logits [B, T, V] of the next token after each. Batch: as
/// word_vectors, keep [B, T] where there is padding (at the end of a row), target [B] where the readout is
/// the target word.
struct RecurrentNet : Model, Generator {
  RecurrentNet(const char* cell, const Scope& s, const Section& section, const DataShape& shape)
      : config(read_recurrent_net(section, shape)),
        classifies(shape.n_class > 0),
        embed(s / "embed", config.embedding, shape.vocab_size, shape.ngram_buckets,
              embedding_width(config, shape)),
        layers(make_layers(s, cell, config, embedding_width(config, shape))),
        head(s / "head", layers.back().out_width(), classifies ? shape.n_class : shape.vocab_size) {
    head.cap = config.logit_softcap;
  }

  /// The states [B, T, width] of the last layer. `states`, one per layer, are started from and moved on.
  Var encode(const Var& x, const Tensor& lengths, std::vector<RecurrentState>* states = nullptr) const {
    Var h = dropout(x, config.dropout);
    for (std::size_t i = 0; i < layers.size(); i++) {
      if (i > 0) h = dropout(h, config.dropout);
      h = layers[i](h, lengths, states ? &(*states)[i] : nullptr);
    }
    return h;
  }

  Var forward(const Batch& batch) const override {
    const Tensor lengths = lengths_of(batch.find("keep"));
    const Var words = activation("static", word_vectors(embed, batch));
    const Var h = activation("vectors", encode(words, lengths));  // [B, T, width]
    QKV_CHECK(h.dim(1) <= config.max_seq_len, "recurrent: length must be at most max_seq_len = {}; got {}",
              config.max_seq_len, h.dim(1));
    Var read = h;
    if (classifies && config.readout == StateReadout::mean)
      read = masked_mean(h, batch.at("keep"));  // [B, width]
    else if (classifies)
      read = select_positions(
          h, config.readout == StateReadout::target ? batch.at("target") : last_of(h, lengths));
    return head(dropout(read, config.dropout));  // [B, n_class] or [B, T, V]
  }

  std::unique_ptr<Decoding> start(const Batch& source, Index rows) const override;

  RecurrentNetConfig config;
  bool classifies;
  TokenEmbedding embed;
  std::vector<Recurrent> layers;
  Linear head;
};

struct RecurrentText : Decoding {
  explicit RecurrentText(const RecurrentNet& model) : model(model), states(model.layers.size()) {}

  Tensor feed(const Tensor& ids) override {
    const Var h = model.encode(model.embed(ids), {}, &states);  // [rows, n, width]
    return model.head(select_positions(h, last_of(h, {}))).value();
  }
  void select(const std::vector<int>& from) override {
    for (RecurrentState& state : states)
      for (Var* v : {&state.h, &state.c})
        if (v->defined()) *v = select_rows("recurrent", v->value(), from);
  }
  Index room() const override { return -1; }
  void for_each_state(FunctionRef<void(const std::string&, const Tensor&)> each) const override {
    for (std::size_t i = 0; i < states.size(); i++) {
      each(model.layers[i].path + ".h", states[i].h.value());
      if (states[i].c.defined()) each(model.layers[i].path + ".c", states[i].c.value());
    }
  }

  const RecurrentNet& model;
  std::vector<RecurrentState> states;
};

std::unique_ptr<Decoding> RecurrentNet::start(const Batch&, Index) const {
  QKV_CHECK(!classifies, "recurrent: a classifier cannot generate; got {} classes",
            head.weight.value().dim(0));
  return std::make_unique<RecurrentText>(*this);
}

constexpr char kRnn[] = "rnn", kLstm[] = "lstm", kGru[] = "gru";
template <const char* kCell>
struct RecurrentOf : RecurrentNet {
  RecurrentOf(const Scope& s, const Section& c, const DataShape& shape) : RecurrentNet(kCell, s, c, shape) {}
};

QKV_REGISTER(Model, "rnn", RecurrentOf<kRnn>, "Elman network: classifier or next token");
QKV_REGISTER(Model, "lstm", RecurrentOf<kLstm>, "long short-term memory: classifier or next token");
QKV_REGISTER(Model, "gru", RecurrentOf<kGru>, "gated recurrent unit: classifier or next token");

}  // namespace
}  // namespace qkv
