#include "model/encoder.h"

#include <cmath>

#include "model/sentences.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/loss.h"

using namespace qkv;
using namespace qkv::test;

namespace {

const std::string kSmall = "d_model = 4\nn_layer = 1\nmax_seq_len = 6\nffn.d_ff = 3\nattention.n_head = 2\n";

}  // namespace

TEST_CASE("encoder classifier: the parameters have the names that users freeze and load") {
  const TestModel m(kSmall + "embedding = \"word+ngrams\"");
  CHECK(names(m.store) == std::vector<std::string>{"embed.weight",
                                                   "embed.ngrams",
                                                   "position.weight",
                                                   "layers.0.norm1.weight",
                                                   "layers.0.norm1.bias",
                                                   "layers.0.attn.W_Q",
                                                   "layers.0.attn.W_K",
                                                   "layers.0.attn.W_V",
                                                   "layers.0.attn.b_Q",
                                                   "layers.0.attn.b_K",
                                                   "layers.0.attn.b_V",
                                                   "layers.0.attn.W_O",
                                                   "layers.0.attn.b_O",
                                                   "layers.0.norm2.weight",
                                                   "layers.0.norm2.bias",
                                                   "layers.0.ffn.up.weight",
                                                   "layers.0.ffn.up.bias",
                                                   "layers.0.ffn.down.weight",
                                                   "layers.0.ffn.down.bias",
                                                   "norm.weight",
                                                   "norm.bias",
                                                   "head.weight",
                                                   "head.bias"});
}

TEST_CASE("encoder classifier: a whole model's gradients agree with central differences") {
  const Batch batch = batch_of({{{1, 2, 3, 1}, 2}, {{4, 5}, 0}});
  const Tensor labels = ids({2}, {2, 0});
  for (const char* keys :
       {"embedding = \"word+ngrams\"\nreadout = \"target+mean\"\nposition.origin = \"target\"",
        "readout = \"mean\"\nposition.type = \"sinusoidal\"\nffn.activation = \"swiglu\"",
        "readout = \"target\"\nnorm = { type = \"rmsnorm\", place = \"post\" }\nattention.n_kv_head = 1",
        "embedding = \"one-hot\"\nd_model = 0\nposition.type = \"none\""}) {
    CAPTURE(keys);
    std::string table = kSmall + keys;
    if (table.find("one-hot") != std::string::npos) table.replace(table.find("d_model = 4\n"), 12, "");
    TestModel m(table);
    CHECK(gradient_error(m.store, [&] { return cross_entropy(m.model->forward(batch), labels).sum; }) < 1e-6);
  }
}

TEST_CASE("encoder classifier: a bag of words votes beside the network, each with its own loss") {
  const Batch batch = batch_of({{{1, 2, 3, 1}, 2}, {{4, 5}, 0}});
  const Tensor labels = ids({2}, {2, 0});
  TestModel m(kSmall + "bag = 3.0");
  CHECK(names(m.store).back() == "W_B");
  Tensor W_B = m.store.named().back().tensor;
  REQUIRE(W_B.dim(1) == 3);
  for (Index i = 0; i < W_B.size(); i++) W_B.data<double>()[i] = 0.1 * static_cast<double>(i % 7) - 0.2;
  std::vector<Var> votes;
  m.model->for_each_vote(batch, [&](const Var& vote) { votes.push_back(vote); });
  REQUIRE(votes.size() == 2);
  // 3 / sqrt(4) of the rows of words 1, 2, 3, 1; padding has no voice: 3 / sqrt(2) of those of 4 and 5.
  const auto row = [&](int word, int c) {
    return 0.1 * ((3 * word + c) % 7) - 0.2;
  };
  const auto logit = [&](int b, int c) {
    return votes[1].value().data<double>()[3 * b + c];
  };
  for (int c = 0; c < 3; c++) {
    CHECK(logit(0, c) == doctest::Approx(1.5 * (2 * row(1, c) + row(2, c) + row(3, c))));
    CHECK(logit(1, c) == doctest::Approx(3 / std::sqrt(2.0) * (row(4, c) + row(5, c))));
    CHECK(m.model->forward(batch).value().data<double>()[c] ==
          doctest::Approx((votes[0].value().data<double>()[c] + logit(0, c)) / 2));
  }
  CHECK(gradient_error(m.store, [&] {
          Var loss;
          m.model->for_each_vote(batch, [&](const Var& vote) {
            const Var one = cross_entropy(vote, labels).sum;
            loss = loss.defined() ? loss + one : one;
          });
          return loss;
        }) < 1e-6);
}

TEST_CASE("encoder classifier: padding does not change the result of a sentence") {
  const std::vector<Sentence> sentences{{{1, 2, 3}, 1}, {{4, 5, 6, 7, 8}, 4}, {{9}, 0}};
  for (const char* keys : {"readout = \"target+mean\"\nposition.origin = \"target\"",
                           "readout = \"mean\"\nembedding = \"word+ngrams\"",
                           "readout = \"target\"\nposition.type = \"sinusoidal\"\nn_layer = 2"}) {
    CAPTURE(keys);
    std::string table = kSmall + keys;
    if (table.rfind("n_layer") != table.find("n_layer")) table.replace(table.find("n_layer = 1\n"), 12, "");
    const TestModel m(table);
    const Tensor together = m.logits(batch_of(sentences, 6));
    for (std::size_t i = 0; i < sentences.size(); i++)
      CHECK(distance(m.logits({sentences[i]}), together.rows(static_cast<Index>(i), 1)) < 1e-13);
  }
}

TEST_CASE("encoder classifier: padding gets no gradient") {
  const TestModel m(kSmall + "readout = \"target+mean\"");
  Tape tape;
  const Var logits = m.model->forward(batch_of({{{1, 2}, 1}}, 5));  // padding is word 0 at positions 2, 3, 4
  const Gradients g = tape.backward(sum(square(logits)));
  const EncoderClassifier& model = dynamic_cast<const EncoderClassifier&>(*m.model);
  const Tensor words = g.of_slot(model.embed.weight.slot());
  const Tensor positions = g.of_slot(model.position.weight.slot());
  for (Index i = 0; i < 4; i++) {
    CHECK(words.at(i) == 0);
    CHECK(words.at(4 + i) != 0);
    CHECK(positions.at(4 + i) != 0);
    for (Index t : {2, 3, 4, 5}) CHECK(positions.at(4 * t + i) == 0);
  }
}

TEST_CASE("encoder classifier: with positions the order of words matters, without them it does not") {
  const std::vector<Sentence> one{{{1, 2, 3}, 0}}, other{{{1, 3, 2}, 0}};
  for (const char* type : {"learned", "sinusoidal"}) {
    const TestModel m(kSmall + "position.type = \"" + type + "\"");
    CHECK(distance(m.logits(one), m.logits(other)) > 1e-3);
  }
  const TestModel blind(kSmall + "position.type = \"none\"");
  CHECK(distance(blind.logits(one), blind.logits(other)) < 1e-13);
}

TEST_CASE("encoder classifier: the context decides, also with parameter-free attention") {
  for (const char* keys : {"", "attention.qkv = \"identity\""}) {
    const TestModel m(kSmall + keys);
    CHECK(distance(m.logits({{{1, 2}, 0}}), m.logits({{{1, 3}, 0}})) > 1e-4);
  }
}

TEST_CASE("encoder classifier: the mean readout needs no target") {
  Batch batch = batch_of({{{1, 2}, 0}}), without;
  for (const char* name : {"ids", "keep"}) without.set(name, batch.at(name));
  const TestModel mean(kSmall + "readout = \"mean\"");
  CHECK(distance(mean.logits(without), mean.logits(batch)) == 0);
  const TestModel target(kSmall);
  CHECK(message([&] { (void)target.logits(without); }).find("'target'") != std::string::npos);
}

TEST_CASE("encoder classifier: f32 and f64 models agree to rounding") {
  for (const char* keys : {"", "embedding = \"one-hot\"\nposition.type = \"none\""}) {
    std::string table = kSmall + keys;
    if (*keys) table.replace(table.find("d_model = 4\n"), 12, "d_model = 10\n");
    const TestModel narrow(table, Dtype::f32), wide(table, Dtype::f64);
    const std::vector<Sentence> s{{{1, 2, 3}, 1}, {{4}, 0}};
    CHECK(narrow.logits(s).dtype() == Dtype::f32);
    CHECK(wide.logits(s).dtype() == Dtype::f64);
    CHECK(distance(narrow.logits(s).to_vector(), wide.logits(s).to_vector()) < 1e-5);
  }
}

TEST_CASE("encoder classifier: a symbolic model gives the shape of the logits") {
  const TestModel m(kSmall + "embedding = \"word+ngrams\"\nreadout = \"target+mean\"", Dtype::f32, true);
  Batch batch;
  batch.set("ids", Tensor::symbolic({2, 5}, Dtype::i32));
  batch.set("keep", Tensor::symbolic({2, 5}, Dtype::i32));
  batch.set("target", Tensor::symbolic({2}, Dtype::i32));
  batch.set("ngram_ids", Tensor::symbolic({9}, Dtype::i32));
  batch.set("ngram_offsets", Tensor::symbolic({11}, Dtype::i32));
  CHECK(m.logits(batch).is_symbolic());
  CHECK(m.logits(batch).shape() == Shape{2, 3});
}

TEST_CASE("encoder classifier: what cannot be built is an error at its place in the config") {
  auto problem = [](const std::string& keys, Index buckets = kBuckets) {
    ParameterStore store(1);
    const Section config = Section::parse("[model]\n" + keys, "c.toml");
    return message([&] {
      (void)make_model(Scope(store), config.section("model"), {10, 3, buckets});
      config.finish();
    });
  };
  CHECK(problem("d_model = 9") ==
        "c.toml:1:1: model.attention.n_head must divide d_model = 9; got 2 (try 1 or 3)");
  CHECK(problem("d_model = 0") ==
        "c.toml:2:11: model.d_model must be positive unless embedding = \"one-hot\"; got 0");
  CHECK(problem("d_model = 8\nembedding = \"one-hot\"").find("must be the vocabulary size 10 (or 0)") !=
        std::string::npos);
  CHECK(problem("embedding = \"word+ngrams\"", 0) ==
        "c.toml:2:13: model.embedding must not be \"word+ngrams\" without n-grams in the data; got "
        "data.ngram_buckets = 0 (try 20000)");
  CHECK(problem("type = \"encoder-clasifier\"").find("did you mean 'encoder-classifier'?") !=
        std::string::npos);
}
