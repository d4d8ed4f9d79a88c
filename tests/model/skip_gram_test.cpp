#include "model/skip_gram.h"

#include <doctest/doctest.h>

#include "qkv/base/random.h"
#include "qkv/base/threads.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/reduce.h"

using namespace qkv;

namespace {

constexpr Index kWords = 9, kWidth = 21;  // a width that no vector unit divides

struct SkipGramNet {
  explicit SkipGramNet(Dtype dtype = Dtype::f64)
      : store(3, dtype), section(Section::parse("d_model = 21\n")), model(Scope(store), section, shape()) {
    Stream stream(8, "rows");  // the output rows begin at 0: no gradient for the inputs
    Tensor out = model.output.value();
    dispatch("test", dtype, [&](auto t) {
      using T = decltype(t);
      for (Index i = 0; i < out.size(); i++) out.data<T>()[i] = static_cast<T>(0.3 * stream.normal());
    });
  }
  static DataShape shape() {
    DataShape result;
    result.vocab_size = kWords;
    return result;
  }
  ParameterStore store;
  Section section;
  SkipGram model;
};

// Predictions from the words of each bag; targets [P, 3].
Batch batch_of(const std::vector<std::vector<std::int32_t>>& bags, const std::vector<std::int32_t>& targets) {
  std::vector<std::int32_t> ids, offsets{0};
  for (const auto& bag : bags) {
    ids.insert(ids.end(), bag.begin(), bag.end());
    offsets.push_back(static_cast<std::int32_t>(ids.size()));
  }
  const auto P = static_cast<Index>(bags.size());
  Batch batch;
  batch.set("input_ids", Tensor::from({static_cast<Index>(ids.size())}, ids));
  batch.set("input_offsets", Tensor::from({P + 1}, offsets));
  batch.set("targets", Tensor::from({P, static_cast<Index>(targets.size()) / P}, targets));
  return batch;
}

// The loss by its definition, from ops whose gradients are checked.
Var loss_of(const SkipGram& model, const Batch& batch) {
  const Var scores = model.forward(batch);
  std::vector<double> truth(static_cast<std::size_t>(scores.value().size()), 0.0);
  for (Index p = 0; p < scores.dim(0); p++) truth[static_cast<std::size_t>(p * scores.dim(1))] = 1;
  return sum(bce_with_logits(scores, Tensor::from(scores.shape(), truth)));
}

std::vector<Batch> two_parts() {
  return {batch_of({{1}, {2}, {1}}, {3, 4, 5, 1, 4, 0, 2, 3, 3}), batch_of({{6}, {1}}, {3, 7, 8, 2, 0, 4})};
}

}  // namespace

TEST_CASE("skip-gram: a step in place is a step along the gradient of the loss") {
  for (double rate : {1e-2, 0.3}) {
    SkipGramNet net;
    const Batch one = batch_of({{2}}, {5, 1, 7});
    Gradients gradients;
    {
      Tape tape;
      tape.backward(loss_of(net.model, one), gradients);
    }
    const double before = loss_of(net.model, one).value().item();
    std::vector<std::vector<double>> expected;
    for (int s = 0; s < 2; s++) {
      const std::vector<double> value = net.store.slot(s).value.to_vector(),
                                g = gradients.of_slot(s).to_vector();
      expected.emplace_back();
      for (std::size_t i = 0; i < value.size(); i++) expected.back().push_back(value[i] - rate * g[i]);
    }
    net.model.share(1, RowSharing::separate);
    const auto learned = net.model.learn(one, 0, rate);
    CHECK(learned.loss == doctest::Approx(before).epsilon(1e-12));
    CHECK(learned.count == 1);
    const double squares = net.model.join(true);
    double moved = 0;
    for (int s = 0; s < 2; s++) {
      const std::vector<double> value = net.store.slot(s).value.to_vector();
      for (std::size_t i = 0; i < value.size(); i++)
        CHECK(value[i] == doctest::Approx(expected[static_cast<std::size_t>(s)][i]).epsilon(1e-12));
      for (double g : gradients.of_slot(s).to_vector()) moved += rate * rate * g * g;
    }
    CHECK(squares == doctest::Approx(moved).epsilon(1e-9));
  }
}

TEST_CASE("cbow: the mean of the words around predicts, and each of them makes its step") {
  SkipGramNet net;
  const Batch bag = batch_of({{2, 4, 6}}, {5, 1, 7});
  Gradients gradients;
  {
    Tape tape;
    tape.backward(loss_of(net.model, bag), gradients);
  }
  const std::vector<double> in = net.store.slot(0).value.to_vector(), g = gradients.of_slot(0).to_vector();
  net.model.share(1, RowSharing::hogwild);
  (void)net.model.learn(bag, 0, 0.1);
  CHECK(net.model.join(true) == 0);
  const std::vector<double> now = net.store.slot(0).value.to_vector();
  for (std::size_t i = 0; i < in.size(); i++)  // the gradient is a third of the step for each of three words
    CHECK(now[i] == doctest::Approx(in[i] - 0.1 * 3 * g[i]).epsilon(1e-12));
}

TEST_CASE("skip-gram: one shard learns as hogwild on one thread does; shards add their changes up") {
  const std::vector<Batch> parts = two_parts();
  SkipGramNet alone, wild;
  alone.model.share(1, RowSharing::separate);
  wild.model.share(1, RowSharing::hogwild);
  for (SkipGramNet* net : {&alone, &wild}) {
    (void)net->model.learn(parts[0], 0, 0.2);
    (void)net->model.join(true);
  }
  SkipGramNet first, second, both;
  const std::vector<double> start[] = {both.store.slot(0).value.to_vector(),
                                       both.store.slot(1).value.to_vector()};
  first.model.share(1, RowSharing::separate), second.model.share(1, RowSharing::separate);
  both.model.share(2, RowSharing::separate);
  (void)first.model.learn(parts[0], 0, 0.2), (void)second.model.learn(parts[1], 0, 0.2);
  for (int s = 0; s < 2; s++) (void)both.model.learn(parts[static_cast<std::size_t>(s)], s, 0.2);
  for (SkipGramNet* net : {&first, &second, &both}) (void)net->model.join(true);
  for (int s = 0; s < 2; s++) {
    auto values = [s](const SkipGramNet& net) {
      return net.store.slot(s).value.to_vector();
    };
    for (std::size_t i = 0; i < values(both).size(); i++) {
      const double before = start[s][i];
      CHECK(values(alone)[i] == doctest::Approx(values(wild)[i]).epsilon(1e-12));
      CHECK(values(both)[i] - before ==
            doctest::Approx(values(first)[i] - before + values(second)[i] - before).epsilon(1e-9));
    }
  }
}

TEST_CASE("skip-gram: f32 learns what f64 learns, and too many drawn words are refused") {
  SkipGramNet single(Dtype::f32), twice;
  for (SkipGramNet* net : {&single, &twice}) {
    net->model.share(1, RowSharing::separate);
    for (int i = 0; i < 20; i++) {
      (void)net->model.learn(two_parts()[0], 0, 0.1);
      (void)net->model.join(true);
    }
  }
  for (Index i = 0; i < kWords * kWidth; i++)
    CHECK(single.model.embed.value().at(i) == doctest::Approx(twice.model.embed.value().at(i)).epsilon(1e-4));
  const Batch wide = batch_of({{1}}, std::vector<std::int32_t>(70, 2));
  CHECK_THROWS_WITH((void)twice.model.learn(wide, 0, 0.1),
                    "skip-gram: at most 64 words may be drawn; got 69");
}
