// What attention computes: shares of all words, their weighted sum, heads, order and reach.
#include <cmath>

#include "claims/claim.h"
#include "inspect/vectors.h"
#include "qkv/nn/attention.h"
#include "qkv/nn/position.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/attention.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/tensor/xt.h"

namespace qkv {
namespace {

// The gradient of f at `x` for an upstream gradient.
template <class F>
Tensor gradient_of(F f, const Tensor& x, const Tensor& upstream) {
  Tape tape;
  const Var variable = tape.variable(x);
  Gradients gradients;
  tape.backward_from(f(variable), upstream, gradients);
  return gradients.of(variable);
}

// bank = (sqrt(ln 3), 0, 0), grows = (0, 1, 0), money = (0, 0, 1): the scores of "bank" are ln 3, 0, 0, so
// its weights are 3/5, 1/5, 1/5, and its new vector is (0.6 sqrt(ln 3), 0.2, 0.2).
void bank_grows_money(Evidence& e) {
  const double bank = std::sqrt(std::log(3.0));
  const Tensor x = Tensor::from({1, 3, 3}, std::vector<double>{bank, 0, 0, 0, 1, 0, 0, 0, 1});
  AttentionOptions options(1, 3);
  options.scale = 1.0;
  Tensor weights;
  const Tensor y = attention(x, x, x, options, &weights).value();
  const Tensor row = weights.reshape({9}).rows(0, 3), sum = y.reshape({9}).rows(0, 3);
  const double rounding = 1e-15;
  const char* words[] = {"bank", "grows", "money"};
  for (Index i = 0; i < 3; i++)
    e.at_most(fmt::format("|weight of \"{}\" for \"bank\" - {}|", words[i], i == 0 ? 0.6 : 0.2),
              std::abs(row.at(i) - (i == 0 ? 0.6 : 0.2)), rounding);
  const Tensor expected = Tensor::from({3}, std::vector<double>{0.6 * bank, 0.2, 0.2});
  e.at_most("error of 0.6 bank + 0.2 grows + 0.2 money", largest_difference(sum, expected), rounding);
}

QKV_REGISTER(Claim, "bank-grows-money", QuickClaim<bank_grows_money>,
             "in \"bank grows money\" the vector of \"bank\" becomes 0.6 bank + 0.2 grows + 0.2 money");

// Words of length 1: then no dot product is larger than that of a word with itself.
void parameter_free_rows(Evidence& e) {
  constexpr Index T = 12, d = 16;
  const Tensor any = e.normal("words", {1, T, d});
  const Tensor x = div(any, sqrt(sum(square(any), -1, true))).value();
  Tensor weights;
  attention(x, x, x, AttentionOptions(1, d), &weights);
  weights = weights.reshape({T, T});
  const auto row = view<double, 2>(weights);
  e.at_most("largest |sum of a row - 1|", xt::amax(xt::abs(xt::sum(row, {1}) - 1.0))(), 1e-14);
  e.at_least("smallest weight of all", xt::amin(row)(), 1e-3);
  e.at_least("smallest weight of a word for itself (an even share is 1/12)", xt::amin(xt::diagonal(row))(),
             1.0 / T);
}

QKV_REGISTER(
    Claim, "parameter-free-rows", QuickClaim<parameter_free_rows>,
    "attention without parameters gives each word shares of all words, itself included, that sum to 1");

void weighted_sum(Evidence& e) {
  constexpr Index B = 2, T = 9, H = 4, D = 8;
  const Tensor q = e.normal("queries", {B, T, H * D}), k = e.normal("keys", {B, T, H * D}),
               v = e.normal("values", {B, T, H * D});
  Tensor weights;
  const Tensor y = attention(q, k, v, AttentionOptions(H, D), &weights).value();
  Tensor sum = Tensor::zeros({B, T, H, D}, Dtype::f64);
  const Tensor values = v.reshape({B, T, H, D});
  auto total = view<double, 4>(sum);
  for (Index b = 0; b < B; b++)
    for (Index t = 0; t < T; t++)
      for (Index h = 0; h < H; h++)
        for (Index s = 0; s < T; s++)
          xt::view(total, b, t, h, xt::all()) +=
              view<double, 4>(weights)(b, h, t, s) * xt::view(view<double, 4>(values), b, s, h, xt::all());
  sum = sum.reshape(y.shape());
  e.at_most("largest |output - sum of weight x value|, term by term", largest_difference(y, sum), 1e-14);
}

QKV_REGISTER(Claim, "weighted-sum", QuickClaim<weighted_sum>,
             "the output of a head is the sum of its weights times the values");

void heads_are_apart(Evidence& e) {
  constexpr Index T = 9, H = 4, D = 8;
  const Var q = e.normal("queries", {1, T, H * D}), k = e.normal("keys", {1, T, H * D}),
            v = e.normal("values", {1, T, H * D});
  std::vector<Var> alone;
  for (Index h = 0; h < H; h++) {
    const auto part = [&](const Var& x) {
      return slice(x, -1, h * D, (h + 1) * D);
    };
    alone.push_back(attention(part(q), part(k), part(v), AttentionOptions(1, D)));
  }
  const Tensor together = attention(q, k, v, AttentionOptions(H, D)).value();
  const Tensor joined = concat(alone.data(), int(H), -1).value();
  e.at_most("largest |4 heads at once - 4 heads one by one|", largest_difference(together, joined), 1e-14);
}

QKV_REGISTER(Claim, "heads-are-apart", QuickClaim<heads_are_apart>,
             "heads work independently: together they compute what each computes alone");

void context_changes_row(Evidence& e) {
  constexpr Index T = 6, d = 16;
  const Tensor sentence = e.normal("words", {1, T, d});
  Tensor changed = sentence.clone();
  changed.reshape({T, d}).rows(T - 1, 1).copy_from(e.normal("another word", {1, d}));
  AttentionOptions options(1, d);
  options.scale = 0.1;  // so that "bank" does not look at itself alone
  const auto bank_of = [&](const Tensor& x, Tensor& row) {
    Tensor weights;
    const Tensor y = attention(x, x, x, options, &weights).value();
    row = weights.reshape({T, T}).rows(0, 1);
    return y.reshape({T, d}).rows(0, 1);
  };
  Tensor before, after;
  const Tensor bank = bank_of(sentence, before), other_bank = bank_of(changed, after);
  e.equal("change of the vector of \"bank\" before attention",
          largest_difference(sentence.reshape({T, d}).rows(0, 1), changed.reshape({T, d}).rows(0, 1)), 0);
  e.at_least("largest change in its row of weights", largest_difference(before, after), 1e-6);
  e.at_least("largest change in its vector after attention", largest_difference(bank, other_bank), 1e-3);
}

QKV_REGISTER(Claim, "context-changes-row", QuickClaim<context_changes_row>,
             "another word in the sentence changes the attention row of \"bank\", and so its vector");

// How much the vectors of a layer change when the words are shuffled, beyond being shuffled themselves.
double change(const Evidence& e, PositionType position_type) {
  constexpr Index kWords = 10, kWidth = 16;
  ParameterStore parameters(e.seed(), Dtype::f64);
  PositionConfig config;
  config.type = position_type;
  const Scope scope(parameters);
  const Position position(scope / "position", config, kWords, kWidth);
  const MultiHeadAttention attn(scope / "attn", AttentionConfig(), kWidth);
  const Tensor words = e.normal("words", {1, kWords, kWidth});
  std::vector<int> order(kWords);
  for (std::size_t i = 0; i < kWords; i++) order[i] = int((i + kWords / 2) % kWords);
  const Tensor rolled = Tensor::from({kWords}, order);
  const auto layer = [&](const Var& x) {
    return attn(position(x), Context());
  };
  const Var shuffled_after = index_select(layer(words), rolled, 1);
  const Var shuffled_before = layer(index_select(words, rolled, 1));
  return largest_difference(shuffled_after.value(), shuffled_before.value()) /
         length_of(shuffled_after.value());
}

void order_blind(Evidence& e) {
  e.at_most("change after shuffling the words, without positions", change(e, PositionType::none), 1e-14);
  e.at_least("change after shuffling the words, with learned positions", change(e, PositionType::learned),
             1e-4);
  e.at_least("change after shuffling the words, with sinusoidal positions",
             change(e, PositionType::sinusoidal), 1e-4);
}

QKV_REGISTER(Claim, "order-blind", QuickClaim<order_blind>,
             "attention itself does not see the order of the words; with positions it does");

constexpr Index kWords = 16, kWidth = 16;

// Length of d output_t / d input_s of one layer, for each t and s: [T, T].
Tensor reach(const Evidence& e, bool causal) {
  ParameterStore parameters(e.seed(), Dtype::f64);
  AttentionConfig config;
  const MultiHeadAttention attn(Scope(parameters) / "attn", config, kWidth);
  Context context;
  context.mask.causal = causal;
  const Tensor words = e.normal("words", {1, kWords, kWidth}),
               upstream = e.normal("upstream", {1, 1, kWidth});
  Tensor lengths = Tensor::empty({kWords, kWords}, Dtype::f64);
  for (Index t = 0; t < kWords; t++) {
    const auto vector = [&](const Var& x) {
      return slice(attn(x, context), 1, t, t + 1);
    };
    const Tensor gradient = gradient_of(vector, words, upstream).reshape({kWords, kWidth});
    for (Index s = 0; s < kWords; s++)
      lengths.data<double>()[t * kWords + s] = length_of(gradient.rows(s, 1));
  }
  return lengths;
}

void one_step_reach(Evidence& e) {
  const Tensor everything = reach(e, false), masked = reach(e, true);
  const auto all = view<double, 2>(everything), causal = view<double, 2>(masked);
  const double typical = xt::amax(all)();
  const auto future = xt::triu(causal, 1);
  e.at_least("smallest gradient between any two of 16 words / the largest", xt::amin(all)() / typical, 1e-6);
  e.at_least(
      "smallest gradient of a word to an earlier one, causal / the largest",
      xt::amin(xt::where(xt::equal(xt::triu(xt::ones_like(causal), 1), 1.0), typical, causal))() / typical,
      1e-6);
  e.equal("largest gradient of a word to a later one, causal", xt::amax(future)(), 0);
}

QKV_REGISTER(Claim, "one-step-reach", QuickClaim<one_step_reach>,
             "in one layer every word reaches every other, however far, except those that the mask hides");

constexpr Index kRows = 64, kKeyWidth = 256;

Tensor softmax_gradient(const Tensor& scores, const Tensor& upstream) {
  return gradient_of([](const Var& x) { return softmax(x); }, scores, upstream);
}

struct Seen {
  double deviation, entropy, vanished;
};

// Scores of 64 queries and keys of independent normal elements, and what their softmax makes of them.
Seen look(const Evidence& e, double scale) {
  const Tensor q = e.normal("queries", {kRows, kKeyWidth}), k = e.normal("keys", {kRows, kKeyWidth});
  const Tensor scores = mul(matmul(q, transpose(k)), scale).value(), weights = softmax(scores).value();
  Seen seen{length_of(scores) / kRows, 0, 0};
  for (Index row = 0; row < kRows; row++) seen.entropy += entropy(weights.rows(row, 1)) / kRows;
  const Tensor slope = softmax_gradient(scores, e.normal("upstream", {kRows, kRows}));
  seen.vanished = xt::mean(xt::cast<double>(xt::abs(view<double>(slope)) < 1e-6))();
  return seen;
}

void scaled_scores(Evidence& e) {
  const Seen raw = look(e, 1), scaled = look(e, 1 / std::sqrt(double(kKeyWidth)));
  e.at_most("|standard deviation - 16| of unscaled scores at d_k = 256", std::abs(raw.deviation - 16), 1);
  e.at_most("|standard deviation - 1| of scores / sqrt(d_k)", std::abs(scaled.deviation - 1), 1.0 / 16);
  e.at_most("mean entropy of unscaled attention over 64 keys (at most ln 64 = 4.16)", raw.entropy, 1);
  e.at_least("mean entropy of scaled attention", scaled.entropy, 3);
  e.at_least("share of unscaled scores whose gradient is below 1e-6", raw.vanished, 0.75);
  e.at_most("share of scaled scores whose gradient is below 1e-6", scaled.vanished, 0.01);
}

QKV_REGISTER(Claim, "scaled-scores", QuickClaim<scaled_scores>,
             "without 1 / sqrt(d_k) scores are as wide as sqrt(d_k), and softmax and its gradient collapse");

double not_finite(const Tensor& x) {
  return xt::sum(xt::cast<double>(!xt::isfinite(view<float>(x))))();
}

void softmax_stable(Evidence& e) {
  constexpr Index n = 8;
  const Tensor x = e.normal("scores", {1, n});
  const Tensor plain = softmax(x).value();
  for (const double by : {1e4, -1e4})
    e.at_most(fmt::format("change of the softmax by adding {:+g} to all scores", by),
              largest_difference(softmax(add(x, by)).value(), plain), 1e-11);
  const Tensor far = Tensor::from({1, 3}, std::vector<float>{1e4F, 0, -1e4F});
  e.at_most("error of softmax(10000, 0, -10000) = (1, 0, 0), in f32",
            largest_difference(softmax(far).value(), Tensor::from({1, 3}, std::vector<float>{1, 0, 0})), 0);
  const Tensor upstream = Tensor::from({1, 3}, std::vector<float>{1, 2, 3});
  e.equal("gradients of it that are not finite", not_finite(softmax_gradient(far, upstream)), 0);
  e.at_least("exponentials of it that overflow where no maximum is subtracted", not_finite(exp(far).value()),
             1);
}

QKV_REGISTER(Claim, "softmax-stable", QuickClaim<softmax_stable>,
             "softmax is the same wherever the scores lie, and finite at +-10,000");

}  // namespace
}  // namespace qkv
