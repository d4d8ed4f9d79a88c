// The trained model: what it says of the examples it was not trained on, and its weights for a page to
// compute with.
#include <algorithm>

#include "data/split.h"
#include "inspect/look.h"
#include "model/encoder_classifier.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "report/report.h"
#include "task/wsd.h"

namespace qkv {

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
  if (position == PositionType::rope || position == PositionType::alibi)
    return "it computes no positions of type " + text_of(position);
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
