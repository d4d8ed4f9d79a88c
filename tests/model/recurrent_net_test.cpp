#include <doctest/doctest.h>

#include "nn/layer_check.h"
#include "qkv/model/generate.h"
#include "qkv/model/model.h"
#include "qkv/ops/loss.h"

using namespace qkv;
using namespace qkv::test;

namespace {

struct Net {
  explicit Net(const std::string& cell, const std::string& keys = "", Index classes = 0)
      : config(Section::parse("[model]\nd_model = 6\nmax_seq_len = 9\n" + keys, "c.toml")),
        model(Registry<Model>::instance()
                  .at(cell, "model")
                  .make(Scope(store), config.section("model"), DataShape{11, classes, 0})) {
    config.finish();
    randomize(store);
  }
  const Generator& generator() const { return dynamic_cast<const Generator&>(*model); }
  ParameterStore store{1, Dtype::f64};
  Section config;
  std::unique_ptr<Model> model;
};

Batch sentence(std::vector<std::int32_t> ids, std::vector<std::int32_t> keep = {}, int target = 1) {
  Batch batch;
  const Index T = static_cast<Index>(ids.size());
  batch.set("ids", Tensor::from({1, T}, ids));
  if (!keep.empty()) batch.set("keep", Tensor::from({1, T}, keep));
  batch.set("target", Tensor::from({1}, std::vector<std::int32_t>{target}));
  return batch;
}

}  // namespace

TEST_CASE("a recurrent language model decodes token by token what it computes at once, rows apart") {
  for (const char* cell : {"rnn", "lstm", "gru"}) {
    const Net net(cell, "n_layer = 2");
    const std::vector<std::int32_t> ids{3, 1, 4, 1, 5};
    const Tensor all = net.model->forward(sentence(ids)).value();  // [1, 5, 11]
    const auto decoding = net.generator().start({}, 1);
    CHECK(decoding->room() == -1);
    decoding->feed(Tensor::from({1, 2}, std::vector<std::int32_t>{3, 1}));
    decoding->select({0, 0});
    Tensor logits;
    for (const std::int32_t id : {4, 1, 5})
      logits = decoding->feed(Tensor::from({2, 1}, std::vector<std::int32_t>{id, 7}));
    for (Index v = 0; v < 11; v++) CHECK(logits.at(v) == doctest::Approx(all.at(4 * 11 + v)));
    CHECK(logits.at(11) != logits.at(0));
  }
}

TEST_CASE("a recurrent classifier reads the target, the last word or the mean, and no padding") {
  for (const char* readout : {"target", "last", "mean"}) {
    CAPTURE(std::string(readout));
    const Net net("lstm", std::string("bidirectional = true\nreadout = \"") + readout + "\"", 3);
    const Tensor y = net.model->forward(sentence({3, 1, 4}, {1, 1, 1})).value();
    CHECK(y.shape() == Shape{1, 3});
    const Tensor padded = net.model->forward(sentence({3, 1, 4, 9, 9}, {1, 1, 1, 0, 0})).value();
    CHECK(distance(padded, y) < 1e-12);
  }
}

TEST_CASE("gradients of recurrent models against central differences, and every parameter has one") {
  for (const char* cell : {"rnn", "lstm", "gru"}) {
    Net net(cell, "n_layer = 2");
    const Batch batch = sentence({3, 1, 4});
    const Tensor targets = Tensor::from({1, 3}, std::vector<std::int32_t>{1, 4, 1});
    CHECK(gradient_error(net.store, [&] { return cross_entropy(net.model->forward(batch), targets).sum; }) <
          1e-6);
  }
}

TEST_CASE("recurrent configs that cannot be are refused") {
  CHECK(message([] {
          Net net("gru", "bidirectional = true");
        }).find("must be false if the next token is predicted") != std::string::npos);
  CHECK(message([] { Net net("gru", "n_layer = 0"); }).find("n_layer must be between 1 and 1000") !=
        std::string::npos);
  const Net net("gru");
  CHECK(message([&] {
          net.model->forward(sentence(std::vector<std::int32_t>(10, 1)));
        }).find("length must be at most max_seq_len = 9; got 10") != std::string::npos);
  const Net classifier("gru", "", 2);
  CHECK(message([&] { classifier.generator().start({}, 1); }).find("a classifier cannot generate") !=
        std::string::npos);
}
