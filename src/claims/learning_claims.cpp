// What training makes of W_Q, W_K and W_V.
#include "claims/claim.h"
#include "inspect/measures.h"
#include "qkv/nn/attention.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/train/optimizer.h"

namespace qkv {
namespace {

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
