// Vectors of words: one-hot, static, trained and contextual; and what training makes of W_Q, W_K and W_V.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "claims/claim.h"
#include "data/word_space.h"
#include "inspect/vectors.h"
#include "model/encoder.h"
#include "qkv/nn/attention.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/train/optimizer.h"
#include "tensor/gemm.h"

namespace qkv {
namespace {

void one_hot_orthogonal(Evidence& e) {
  constexpr Index V = 64;
  std::vector<int> words(V);
  std::iota(words.begin(), words.end(), 0);
  const Tensor vectors = one_hot(Tensor::from({V}, words), V);
  double different = 0, same = 0;
  for (Index a = 0; a < V; a++)
    for (Index b = 0; b < V; b++) {
      double& largest = a == b ? same : different;
      largest = std::max(largest, std::abs(cosine(vectors.rows(a, 1), vectors.rows(b, 1))));
    }
  e.equal("largest |cosine| of two different words of 64", different, 0);
  e.equal("cosine of a word with itself", same, 1);
}

QKV_REGISTER(Claim, "one-hot-orthogonal", QuickClaim<one_hot_orthogonal>,
             "one-hot vectors say nothing about likeness: any two different words have cosine 0");

// What computing queries takes: products, each of which reads all of W_Q, and their operations.
struct Cost {
  int products;
  double operations;
  template <class F>
  static Cost of(const Tensor& W, F compute) {
    Tape tape;
    const Var weight = tape.variable(W);
    const int leaves = tape.size();
    const std::int64_t before = gemm_flops();
    compute(weight);
    return {tape.size() - leaves, double(gemm_flops() - before)};
  }
};

void one_product(Evidence& e) {
  constexpr Index words = 512, d = 256;
  const Tensor x = e.normal("words", {words, d}, Dtype::f32), W = e.normal("W_Q", {d, d}, Dtype::f32);
  Tensor at_once, by_word = Tensor::empty({words, d});
  const Cost once = Cost::of(W, [&](const Var& weight) { at_once = linear(x, weight).value(); });
  const Cost loop = Cost::of(W, [&](const Var& weight) {
    for (Index t = 0; t < words; t++) by_word.rows(t, 1).copy_from(linear(x.rows(t, 1), weight).value());
  });
  e.at_most("largest difference, relative to the typical element",
            largest_difference(at_once, by_word) / (length_of(at_once) / std::sqrt(1.0 * words * d)), 1e-5);
  e.equal("operations of 512 products, one per word / of one for all", loop.operations / once.operations, 1);
  e.equal("readings of W_Q by 512 products, one per word", loop.products, words);
  e.equal("readings of W_Q by one product for all words", once.products, 1);
}

QKV_REGISTER(Claim, "one-product", QuickClaim<one_product>,
             "one matrix product computes the queries of all words at once: the same numbers, W_Q read once");

void static_vector(Evidence& e) {
  const TrainedModel& model = e.trained().shipped("bank-static.toml", bank_sets("2"));
  const Task& task = *model.experiment.task;
  const auto banks = task.probe_texts({"I went to the bank to deposit money.", "We sat by the river bank."});
  const Batch money = task.probe_batch(&banks[0], 1), river = task.probe_batch(&banks[1], 1);
  const Tensor table = model.value("embed.weight");
  const auto vector = [&](const Batch& batch) {
    const Index id = Index(batch.at("ids").at(Index(batch.at("target").at(0))));
    return table.rows(id, 1);
  };
  e.equal("distance of \"bank\" about money and \"bank\" of a river", distance(vector(money), vector(river)),
          0);
  e.equal("largest difference of the model's answers",
          largest_difference(model.experiment.model->forward(money).value(),
                             model.experiment.model->forward(river).value()),
          0);
  e.at_least("length of the vector", length_of(vector(money)), 0.01);
  e.at_most("accuracy in five senses of 40 sentences each", model.metric("accuracy", Split::val), 0.3);
}

QKV_REGISTER(Claim, "static-vector", TrainedClaim<static_vector>,
             "a static vector is the same for both banks, so it does not contain the sense");

// Median cosine of the vectors of two groups: rows a .. a + n and b .. b + n of x, or all pairs of one group.
double median_cosine(const Tensor& x, Index a, Index b, Index n) {
  std::vector<double> cosines;
  for (Index i = 0; i < n; i++)
    for (Index j = a == b ? i + 1 : 0; j < n; j++)
      cosines.push_back(cosine(x.rows(a + i, 1), x.rows(b + j, 1)));
  const auto middle = cosines.begin() + std::ptrdiff_t(cosines.size() / 2);
  std::nth_element(cosines.begin(), middle, cosines.end());
  return *middle;
}

void contextual_vectors(Evidence& e) {
  const TrainedModel& model = learned_bank(e);
  const auto& encoder = dynamic_cast<const EncoderClassifier&>(*model.experiment.model);
  Task& task = *model.experiment.task;
  const auto vectors = [&](const char* sense) {
    std::vector<ProbeText> texts;
    for (ProbeText& text : task.probe_examples(Split::val, 1000))
      if (task.classes()[std::size_t(text.label)] == sense) texts.push_back(std::move(text));
    const Batch batch = task.probe_batch(texts.data(), Index(texts.size()));
    return select_positions(encoder.encode(batch), batch.at("target"));
  };
  const Var money = vectors("money"), river = vectors("river");
  const Index n = std::min(money.dim(0), river.dim(0));
  const Tensor both = concat({slice(money, 0, 0, n), slice(river, 0, 0, n)}, 0).value();
  e.at_most("median cosine of \"bank\" about money and \"bank\" of a river", median_cosine(both, 0, n, n),
            0.5);
  e.at_least("median cosine of two \"bank\" about money", median_cosine(both, 0, 0, n), 0.9);
  e.at_least("median cosine of two \"bank\" of a river", median_cosine(both, n, n, n), 0.9);
}

QKV_REGISTER(Claim, "contextual-vectors", TrainedClaim<contextual_vectors>,
             "after attention \"bank\" has a different vector in each sense, and nearly the same within one");

void vectors_know_likeness(Evidence& e) {
  const TrainedModel& model = e.trained().shipped("word2vec.toml");
  const WordSpace space(model.experiment.task->vocabulary(), model.value("embed.weight"), "claims");
  const auto cosine = [&](const char* a, const char* b) {
    return space.cosine(space.find(a), space.find(b));
  };
  const double queen = cosine("king", "queen"), apple = cosine("king", "apple");
  const double cat = cosine("dog", "cat"), table = cosine("dog", "table");
  e.at_least("cosine of king and queen", queen, 0.5);
  e.at_least("the same - cosine of king and apple", queen - apple, 0.2);
  e.at_least("cosine of dog and cat", cat, 0.5);
  e.at_least("the same - cosine of dog and table", cat - table, 0.2);
}

QKV_REGISTER(
    Claim, "vectors-know-likeness", TrainedClaim<vectors_know_likeness>,
    "in trained vectors king is nearer to queen than to apple, and dog is nearer to cat than to table");

// ---- W_Q, W_K and W_V

void qkv_move(Evidence& e) {
  const TrainedModel& model = learned_bank(e);
  for (const char* matrix : {"W_Q", "W_K", "W_V"}) {
    const std::string name = std::string("layers.0.attn.") + matrix;
    const Tensor start = model.initial(name);
    e.at_least(fmt::format("|{0} - {0} at the start| / |{0} at the start|", matrix),
               distance(model.value(name), start) / length_of(start), 0.1);
  }
}

QKV_REGISTER(Claim, "qkv-move", TrainedClaim<qkv_move>,
             "training moves W_Q, W_K and W_V, all three, far from where they started");

void learned_beats_parameter_free(Evidence& e) {
  const TrainedModel& learned = learned_bank(e);
  const TrainedModel& free = e.trained().shipped("bank-identity.toml", bank_sets("10"));
  const double order = learned.metrics(Split::test).group_accuracy(2);
  const double order_free = free.metrics(Split::test).group_accuracy(2);
  e.at_least("accuracy of learned attention in five senses", learned.metric("accuracy", Split::val), 0.9);
  e.at_most("share of order twins that parameter-free attention gets right", order_free, 0.15);
  e.at_least("the same for learned attention, minus that", order - order_free, 0.3);
}

QKV_REGISTER(Claim, "learned-beats-parameter-free", TrainedClaim<learned_beats_parameter_free>,
             "learned queries, keys and values distinguish banks that parameter-free attention cannot");

// Sixteen words in two dimensions: a wide head leaves room to make up for what one matrix does not learn.
constexpr int kSymbols = 16, kPairs = 4;

// Shuffled sentences of words with their partners (w and w + kSymbols / 2). Each word is to name its partner.
struct Sentences {
  Tensor x, targets;  // one-hot [n, T, kSymbols], ids [n, T]
  Sentences(Index n, const Stream& stream) {
    std::vector<int> words, partners;
    for (std::uint64_t b = 0; b < std::uint64_t(n); b++) {
      const std::vector<int> first = permutation(kSymbols / 2, stream.part(2 * b));
      for (const int i : permutation(2 * kPairs, stream.part(2 * b + 1))) {
        words.push_back(first[std::size_t(i / 2)] + i % 2 * kSymbols / 2);
        partners.push_back((words.back() + kSymbols / 2) % kSymbols);
      }
    }
    x = one_hot(Tensor::from({n, 2 * kPairs}, words), kSymbols);
    targets = Tensor::from({n, 2 * kPairs}, partners);
  }
};

// Accuracy of one head of width 2 that is all there is between one-hot words and answers.
double accuracy(std::uint64_t seed, const std::string& frozen) {
  ParameterStore parameters(seed);
  AttentionConfig config;
  config.n_head = 1, config.d_head = 2, config.bias = false;
  const MultiHeadAttention attn(Scope(parameters) / "attn", config, kSymbols);
  if (!frozen.empty()) parameters.freeze({"attn." + frozen});
  const auto optimizer = make_optimizer("lr = 0.03\nweight_decay = 0.0", parameters);
  Gradients gradients;
  const Stream stream(seed, "sentences");
  for (std::uint64_t step = 0; step < 800; step++) {
    const Sentences batch(32, stream.part(step + 1));
    Tape tape;
    const Var loss = cross_entropy_mean(attn(batch.x, Context()), batch.targets);
    gradients.clear();
    tape.backward(loss, gradients);
    optimizer->step(parameters, gradients);
  }
  const Sentences test(256, stream.part(0));
  const Tensor said = argmax(attn(test.x, Context()), -1);
  double right = 0;
  for (Index i = 0; i < said.size(); i++) right += said.at(i) == test.targets.at(i);
  return right / double(said.size());
}

void freezing_costs(Evidence& e) {
  constexpr std::uint64_t starts = 6;
  const auto mean = [&](const std::string& frozen) {
    double sum = 0;
    for (std::uint64_t i = 0; i < starts; i++) sum += accuracy(starts * e.seed() + i, frozen) / starts;
    return sum;
  };
  const double all = mean("");
  e.at_least("accuracy where all three are learned, mean of 6 starts", all, 0.9);
  for (const char* matrix : {"W_Q", "W_K", "W_V"})
    e.at_least(fmt::format("that - accuracy where {} keeps its initial value", matrix), all - mean(matrix),
               0.03);
}

QKV_REGISTER(Claim, "freezing-costs", TrainedClaim<freezing_costs>,
             "W_Q, W_K and W_V are all needed: a model that cannot learn one of them is right less often");

}  // namespace
}  // namespace qkv
