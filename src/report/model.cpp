// The trained model: what it says of the examples it was not trained on, and its weights for a page to
// compute with.
#include <algorithm>
#include <cmath>

#include "data/split.h"
#include "inspect/look.h"
#include "model/encoder_classifier.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "report/report.h"
#include "task/wsd.h"

namespace qkv {

// ---- numbers as text

namespace {

constexpr int kScaleBits = 18;
constexpr int kGroup = 13;  // bits of two characters: 91 * 91 > 2^13

// The k-th printable ASCII character but `"`, `<` and `\`, which JSON or HTML would have to escape.
char character(std::uint32_t k) {
  char c = char('!' + k);
  for (char skipped : {'"', '<', '\\'})
    if (c >= skipped) c++;
  return c;
}

class BitWriter {
 public:
  void write(std::uint32_t value, int bits) {
    pending_ = pending_ << bits | value;
    for (count_ += bits; count_ >= kGroup; count_ -= kGroup) put(pending_ >> (count_ - kGroup));
    pending_ &= (std::uint64_t{1} << count_) - 1;
  }
  std::string finish() {
    if (count_ > 0) put(pending_ << (kGroup - count_));
    return std::move(text_);
  }

 private:
  void put(std::uint64_t group) {
    const auto value = std::uint32_t(group & ((1u << kGroup) - 1));
    text_ += character(value / 91);
    text_ += character(value % 91);
  }
  std::string text_;
  std::uint64_t pending_ = 0;
  int count_ = 0;
};

double half_range(int bits) {
  return double((std::int64_t{1} << (bits - 1)) - 1);
}

std::uint32_t level(double value, double most, int bits) {
  const double half = half_range(bits);
  const double share = most > 0 && std::isfinite(value) ? std::clamp(value / most, -1.0, 1.0) : 0.0;
  return std::uint32_t(std::lround(share * half) + std::lround(half));
}

std::size_t characters(Index n, int bits) {
  return 2 * ((std::size_t(n) * std::size_t(bits) + kGroup - 1) / kGroup);
}

}  // namespace

std::string pack(const float* values, Index n, double most, int bits) {
  QKV_CHECK(bits >= 2 && bits <= 24, "pack: bits must be in [2, 24]; got {}", bits);
  BitWriter out;
  for (Index i = 0; i < n; i++) out.write(level(values[i], most, bits), bits);
  return out.finish();
}

Json packed_matrix(const Tensor& matrix, int bits) {
  const Tensor x = matrix.to(Dtype::f32);
  const Index columns = x.rank() == 0 ? 1 : x.dim(-1), rows = columns > 0 ? x.size() / columns : 0;
  const float* values = x.data<float>();
  std::vector<float> scales;
  for (Index r = 0; r < rows; r++) {
    float largest = 0;
    for (Index c = 0; c < columns; c++) largest = std::max(largest, std::abs(values[r * columns + c]));
    scales.push_back(largest);
  }
  double most = 0;
  for (float scale : scales) most = std::max(most, double(scale));
  most *= 1 + 1e-5;  // so that a scale that was rounded down still reaches its largest value
  BitWriter out;
  const double half = half_range(kScaleBits);
  for (Index r = 0; r < rows; r++) {
    // The scale as the reader will have it, rounded up.
    float& scale = scales[std::size_t(r)];
    const double steps = most > 0 ? std::ceil(scale / most * half) : 0.0;
    scale = float(steps / half * most);
    for (Index c = 0; c < columns; c++)
      out.write(level(values[r * columns + c], steps / half * most, bits), bits);
  }
  return {{"shape", {rows, columns}},
          {"bits", bits},
          {"most", most},
          {"scales", pack(scales.data(), rows, most, kScaleBits)},
          {"data", out.finish()}};
}

std::size_t packed_size(Index rows, Index columns, int bits) {
  return characters(rows * columns, bits) + characters(rows, kScaleBits) + 100;
}

// ---- answers

Json evaluation_json(const Experiment& e, Split split, std::size_t most, Problems& problems) {
  const std::optional<ClassAnswers> answers = class_answers(e, split);
  if (!answers) return nullptr;
  if (answers->examples < answers->all)
    problems.push_back(
        fmt::format("evaluation: shows the first {} of {} examples", answers->examples, answers->all));
  const Confusion& c = answers->confusion;
  Json classes = Json::array(), mistakes = Json::array();
  for (int g = 0; g < c.classes(); g++) {
    classes.push_back({{"label", c.labels()[std::size_t(g)]}});
    classes.back().update(c.json(g));
  }
  for (std::size_t i = 0; i < std::min(most, answers->mistakes.size()); i++) {
    const Mistake& one = answers->mistakes[i];
    mistakes.push_back({{"text", one.text},
                        {"label", one.label},
                        {"answer", one.answer},
                        {"probability", json_number(float(one.probability))},
                        {"right", json_number(float(one.right))}});
  }
  return {{"split", name_of(split)},
          {"examples", answers->examples},
          {"labels", c.labels()},
          {"accuracy", json_number(c.accuracy())},
          {"macro_f1", json_number(c.macro_f1())},
          {"classes", std::move(classes)},
          {"confusion", c.matrix()},
          {"wrong", answers->mistakes.size()},
          {"mistakes", std::move(mistakes)}};
}

namespace {

// Bits per weight of layers, word vectors and n-gram vectors. The latter are many and only serve unknown
// words.
struct Precision {
  int layers, words, ngrams;
};
constexpr Precision kPrecisions[] = {{20, 20, 18}, {18, 18, 14}, {16, 15, 12}};

// The vector of each word plus the mean of those of its n-grams, as the first layer sees it: [V, d].
Tensor word_table(const EncoderClassifier& model, const WordSenses& task) {
  const Tensor& words = model.embed.weight.value();
  Tensor table = words.to(Dtype::f64).clone();
  if (!model.embed.ngrams.defined()) return table;
  const Tensor ngrams = model.embed.ngrams.value().to(Dtype::f64);
  const Index d = words.dim(1);
  const NgramConfig config = task.data().ngrams();
  std::vector<int> ids;
  for (int w = task.tokenizer()->vocab().n_specials(); w < task.tokenizer()->vocab_size(); w++) {
    ids.clear();
    append_ngrams(task.tokenizer()->token(w), config, ids);
    double* row = table.data<double>() + w * d;
    for (int id : ids)
      for (Index i = 0; i < d; i++) row[i] += ngrams.data<double>()[id * d + i] / double(ids.size());
  }
  return table;
}

std::string obstacle(const Experiment& e, const EncoderClassifier* model, const WordSenses* task) {
  if (!model || !task) return "it computes only an encoder classifier of word senses";
  if (!e.config.section("model").sections("layers").empty())
    return "it computes only equal blocks, not [[model.layers]]";
  if (const std::string& type = model->config.stack.block.attention.type; type != "attention")
    return "it computes no attention of type " + type;
  const PositionType position = model->config.position.type;
  if (const AttentionConfig& heads = model->config.stack.block.attention;
      heads.qk_norm != QkNorm::none || heads.softcap > 0 || heads.window > 0)
    return "it computes no attention with qk_norm, softcap or window";
  if (in_attention(position)) return "it computes no positions of type " + text_of(position);
  if (model->config.pooler != Pooler::none) return "it computes no pooler";
  const StackConfig& stack = model->config.stack;
  for (const auto& [has, what] : {std::pair(stack.embed_norm, "norm of the embeddings"),
                                  {stack.share_layers > 1, "shared layers"},
                                  {stack.value_embeddings > 0, "value embeddings"},
                                  {stack.residual_scalars, "residual scalars"},
                                  {model->config.logit_softcap > 0, "soft-cap of the logits"},
                                  {stack.block.ffn.activation == Activation::gelu_erf, "gelu-erf"}})
    if (has) return fmt::format("it computes no {}", what);
  if (model->token_types.defined()) return "it computes no token types";
  if (model->config.bag > 0) return "it computes no bag of words beside the network";
  if (task->tokenizer()->config().type != "word") return "it cuts text only as the word tokenizer does";
  return "";
}

Json shape_json(const EncoderClassifier& model) {
  const BlockConfig& block = model.config.stack.block;
  const AttentionOptions options = block.attention.options(model.config.stack.d_model);
  return {{"layers", model.stack.layers.size()},
          {"width", model.config.stack.d_model},
          {"heads", options.n_head},
          {"kv_heads", options.n_kv_head},
          {"head_width", block.attention.head_width(model.config.stack.d_model)},
          {"scale", options.scale},
          {"learned", block.attention.qkv == Projections::learned},
          {"rms", block.norm.type == NormType::rmsnorm},
          {"eps", block.norm.eps},
          {"pre", block.norm.place == NormPlace::pre},
          {"ffn", block.ffn.d_ff > 0 ? text_of(block.ffn.activation) : ""},
          {"readout", text_of(model.config.readout)},
          {"relative", model.position.relative},
          {"position", text_of(model.config.position.type)},
          {"max_length", model.config.max_seq_len},
          {"one_hot", model.embed.one_hot}};
}

}  // namespace

Json model_json(const Experiment& e, std::size_t limit) {
  const auto* model = dynamic_cast<const EncoderClassifier*>(e.model.get());
  const auto* task = dynamic_cast<const WordSenses*>(e.task.get());
  if (const std::string why = obstacle(e, model, task); !why.empty()) return {{"missing", why}};
  std::vector<NamedTensor> tensors = e.parameters->named();
  if (model->position.fixed.defined()) tensors.push_back({"position.weight", model->position.fixed});
  const bool ngrams = model->embed.ngrams.defined();
  auto bits_of = [](const std::string& name, const Precision& p) {
    return name == "embed.ngrams" ? p.ngrams : name == "embed.weight" ? p.words : p.layers;
  };
  auto size = [&](const Precision& p) {
    std::size_t bytes = 0;
    for (const NamedTensor& named : tensors) {
      const Index columns = named.tensor.dim(-1);
      bytes += packed_size(named.tensor.size() / columns, columns, bits_of(named.name, p));
    }
    for (const std::string& word : task->tokenizer()->vocab().tokens()) bytes += word.size() + 3;
    return bytes;
  };
  const auto* precision = std::find_if(std::begin(kPrecisions), std::end(kPrecisions),
                                       [&](const Precision& p) { return size(p) <= limit; });
  if (precision == std::end(kPrecisions))
    return {{"missing", fmt::format("its {} weights take more than {:.1f} MB", e.parameters->count(),
                                    double(limit) / 1e6)}};
  const TokenizerConfig& tokens = task->tokenizer()->config();
  Json result = {
      {"shape", shape_json(*model)},
      {"labels", task->labels()},
      {"targets", task->state().at("target_forms")},
      {"lowercase", !tokens.lowercase                                    ? ""
                    : task->tokenizer()->normalize("\u00dc") == "\u00dc" ? "A-Z"  // of an earlier version
                                                                         : "all"},
      {"words_regex", split_regex()},
      {"vocab", task->tokenizer()->vocab().tokens()},
      {"specials", task->tokenizer()->vocab().n_specials()},
      {"split", tokens.split},
      {"window", task->data().window}};
  if (ngrams)
    result["ngrams"] = {{"min", task->data().ngram_min},
                        {"max", task->data().ngram_max},
                        {"buckets", task->data().ngram_buckets}};
  for (const NamedTensor& named : tensors)
    result["tensors"][named.name] =
        packed_matrix(named.name == "embed.weight" ? word_table(*model, *task) : named.tensor,
                      bits_of(named.name, *precision));
  return result;
}

}  // namespace qkv
