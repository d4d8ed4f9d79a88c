#include "model/recurrent_net.h"

#include <algorithm>

#include "qkv/autograd/capture.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/embedding.h"

namespace qkv {
namespace {

RecurrentNetConfig read_recurrent_net(const Section& section, const DataShape& shape) {
  RecurrentNetConfig c;
  section.read(c);
  if (c.bidirectional && shape.n_class == 0)
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
  return last;
}

}  // namespace

RecurrentNet::RecurrentNet(const std::string& cell, const Scope& s, const Section& section,
                           const DataShape& shape)
    : config(read_recurrent_net(section, shape)),
      classifies(shape.n_class > 0),
      embed(s / "embed", config.embedding, shape.vocab_size, shape.ngram_buckets,
            embedding_width(config, shape)),
      layers(make_layers(s, cell, config, embedding_width(config, shape))),
      head(s / "head", layers.back().out_width(), classifies ? shape.n_class : shape.vocab_size) {}

Var RecurrentNet::encode(const Var& x, const Tensor& lengths, std::vector<RecurrentState>* states) const {
  Var h = dropout(x, config.dropout);
  for (std::size_t i = 0; i < layers.size(); i++) {
    if (i > 0) h = dropout(h, config.dropout);
    h = layers[i](h, lengths, states ? &(*states)[i] : nullptr);
  }
  return h;
}

Var RecurrentNet::forward(const Batch& batch) const {
  const Tensor* keep = batch.find("keep");
  const Tensor lengths = lengths_of(keep);
  const Var words = word_vectors(embed, batch);
  Capture::offer("static", words.value());
  const Var h = encode(words, lengths);  // [B, T, width]
  Capture::offer("vectors", h.value());
  QKV_CHECK(h.dim(1) <= config.max_seq_len, "recurrent: length must be at most max_seq_len = {}; got {}",
            config.max_seq_len, h.dim(1));
  if (!classifies) return head(dropout(h, config.dropout));  // [B, T, V]
  Var read;                                                  // [B, width]
  if (config.readout == StateReadout::mean)
    read = masked_mean(h, batch.at("keep"));
  else
    read = select_positions(
        h, config.readout == StateReadout::target ? batch.at("target") : last_of(h, lengths));
  return head(dropout(read, config.dropout));  // [B, n_class]
}

namespace {

class RecurrentText : public Decoding {
 public:
  explicit RecurrentText(const RecurrentNet& model) : model_(model), states_(model.layers.size()) {}

  Tensor feed(const Tensor& ids) override {
    const Var h = model_.encode(model_.embed(ids), {}, &states_);  // [rows, n, width]
    return model_.head(select_positions(h, last_of(h, {}))).value();
  }
  void select(const std::vector<int>& from) override {
    for (RecurrentState& state : states_)
      for (Var* v : {&state.h, &state.c})
        if (v->defined()) *v = select_rows("recurrent", v->value(), from);
  }
  Index room() const override { return -1; }

 private:
  const RecurrentNet& model_;
  std::vector<RecurrentState> states_;
};

struct Rnn : RecurrentNet {
  Rnn(const Scope& s, const Section& c, const DataShape& shape) : RecurrentNet("rnn", s, c, shape) {}
};
struct Lstm : RecurrentNet {
  Lstm(const Scope& s, const Section& c, const DataShape& shape) : RecurrentNet("lstm", s, c, shape) {}
};
struct Gru : RecurrentNet {
  Gru(const Scope& s, const Section& c, const DataShape& shape) : RecurrentNet("gru", s, c, shape) {}
};

}  // namespace

std::unique_ptr<Decoding> RecurrentNet::start(const Batch&, Index) const {
  QKV_CHECK(!classifies, "recurrent: a classifier cannot generate; got {} classes",
            head.weight.value().dim(0));
  return std::make_unique<RecurrentText>(*this);
}

QKV_REGISTER(Model, "rnn", Rnn, "Elman network: classifier or next token");
QKV_REGISTER(Model, "lstm", Lstm, "long short-term memory: classifier or next token");
QKV_REGISTER(Model, "gru", Gru, "gated recurrent unit: classifier or next token");

}  // namespace qkv
