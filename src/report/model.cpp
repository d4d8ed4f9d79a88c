// The trained model: what it says of the examples it was not trained on, and its weights for a page to
// compute with.
#include <algorithm>
#include <cmath>
#include <set>

#include "base/at.h"
#include "data/split.h"
#include "inspect/faithful.h"
#include "inspect/look.h"
#include "interop/graph.h"
#include "qkv/model/generate.h"
#include "report/report.h"

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
  std::vector<float> scales(std::size_t(rows), 0.0F);
  double most = 0;
  for (Index i = 0; i < x.size(); i++) {
    float& scale = at(scales, i / columns);
    scale = std::max(scale, std::abs(values[i]));
    most = std::max(most, double(scale));
  }
  most *= 1 + 1e-5;  // so that a scale that was rounded down still reaches its largest value
  BitWriter out;
  const double half = half_range(kScaleBits);
  for (Index r = 0; r < rows; r++) {
    // The scale as the reader will have it, rounded up.
    float& scale = at(scales, r);
    const double steps = most > 0 ? std::ceil(scale / most * half) : 0.0;
    scale = float(steps / half * most);
    for (Index c = 0; c < columns; c++)
      out.write(level(values[r * columns + c], steps / half * most, bits), bits);
  }
  return {{"shape", std::vector<Index>(x.shape().begin(), x.shape().end())},
          {"bits", bits},
          {"whole", matrix.dtype() == Dtype::i32},
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

Json faithful_json(const Experiment& e, Split split) {
  constexpr Index kTexts = 16;
  constexpr double kMost = 3e9;  // weights times words: about a second
  Faithfulness measured;
  try {
    const auto n = std::max<Index>(1, Index(e.task->classes().size()));
    for (const ProbeText& text : e.task->probe_examples(split, std::max<Index>(1, kTexts / n))) {
      const auto words = double(text.words.size());
      if (measured.texts() == kTexts || words < 2 ||
          kTexts * words * words * double(e.parameters->count()) > kMost)
        continue;
      measured.add(text, word_worth(e, text));
    }
  } catch (const Error&) {  // no attention, or none that can be changed
    return nullptr;
  }
  if (measured.texts() < 4) return nullptr;
  Json methods = Json::array();
  for (std::size_t m = 0; m < WordWorth::kCount; m++)
    methods.push_back({{"name", WordWorth::kNames[m]},
                       {"agreement", json_number(float(measured.agreement(m)))},
                       {"correlation", json_number(float(measured.correlation(m)))}});
  return {{"texts", measured.texts()},
          {"believed", measured.believed()},
          {"reason", measured.reason()},
          {"methods", methods}};
}

namespace {

constexpr int kMostBits = 24, kBits[] = {20, 18, 16, 14};  // per weight: the most that there is room for
constexpr int kAveraged = 4;                               // bits less of those of which many are averaged

// Values of the config that the page reads a text by.
constexpr const char* kSettings[] = {
    "data.window",     "data.ngram_min",    "data.ngram_max",      "data.length",  "data.ngram_buckets",
    "data.between",    "data.end",          "data.digits",         "data.reverse", "data.modulus",
    "data.max_length", "model.max_seq_len", "model.copy",          "task.beam",    "task.max_tokens",
    "task.normalize",  "task.unknown",      "task.length_penalty", "task.top_k"};

Json settings_json(const Section& config) {
  Json result = Json::object();
  for (const ResolvedKey& key : config.resolved())
    if (std::count(std::begin(kSettings), std::end(kSettings), key.key) > 0) result[key.key] = key.value;
  return result;
}

// tokenizer.json with its vocabulary as a list, and what it does not say.
Json tokenizer_json(const Tokenizer& tokenizer) {
  Json json = tokenizer.to_json(), special = Json::array();
  json.at("model").erase("vocab");
  for (int id = 0; id < tokenizer.vocab_size(); id++)
    if (tokenizer.vocab().is_special(id)) special.push_back(id);
  return {{"json", std::move(json)},          {"tokens", tokenizer.vocab().tokens()},
          {"special", std::move(special)},    {"type", tokenizer.config().type},
          {"subwords", tokenizer.subwords()}, {"pad", tokenizer.pad_id()},
          {"unk", tokenizer.vocab().unk_id()}};
}

// Texts to begin with: what the run answers while it trains, else the first examples.
Json examples_json(const Experiment& e) {
  constexpr std::size_t kMost = 4, kLongest = 400;
  const InspectConfig config = e.config.section("inspect").read<InspectConfig>();
  std::vector<std::string> texts = config.samples;
  texts.insert(texts.end(), config.sentences.begin(), config.sentences.end());
  for (Split split : {Split::test, Split::val})
    if (texts.size() < kMost && e.task->examples(split) > 0)
      for (const ProbeText& text : e.task->probe_examples(split, 2)) texts.push_back(text.text);
  drop_if(texts, [](const std::string& text) { return text.size() > kLongest; });
  texts.resize(std::min(texts.size(), kMost));
  return texts;
}

struct Weight {
  std::string name;
  Tensor tensor;
  int less;  ///< bits
  int bits(int most) const { return most - less; }
};

// How a page reads texts and what it runs, but for the weights, which come to `weights`.
Json graphs_json(const Experiment& e, std::vector<Weight>& weights) {
  const Task& task = *e.task;
  Json result = {{"task", e.config.section("task").type(Task::kDefault)},
                 {"classes", task.classes()},
                 {"examples", examples_json(e)},
                 {"settings", settings_json(e.config)},
                 {"words_regex", split_regex()},
                 {"end", task.end_id()},
                 {"room", TaskInput{e.config}.max_length()}};
  const Json state = task.state();
  if (state.contains("target_forms")) result["state"]["target_forms"] = state.at("target_forms");
  if (const Tokenizer* tokenizer = task.tokenizer()) {
    result["tokenizer"] = tokenizer_json(*tokenizer);
    result["never"] = tokenizer->unwritten();
    if (const Json own = state.value("source_tokenizer", Json()); !own.is_null())
      result["source_tokenizer"] = tokenizer_json(*Tokenizer::from_json(own));
  } else {
    result["vocabulary"] = task.vocabulary();
  }
  const auto* generator = dynamic_cast<const Generator*>(e.model.get());
  if (generator && !generator->needs_source() && task.shape().n_class == 0)
    result["room"] = generator->start({}, 1)->room();
  std::set<std::string> known, averaged;
  for (const Graph& graph : graphs_of(e)) {
    result["graphs"][graph.name] = json_of(graph);
    for (const Graph::Node& node : graph.nodes)
      if (node.op == "embedding_bag") averaged.insert(at(graph.values, node.inputs.at(0)).name);
    for (const Graph::Value& value : graph.values)
      if (value.kind == Graph::Kind::constant && value.tensor.defined())
        result["packed"][value.name] = packed_matrix(value.tensor, kMostBits);
      else if (value.tensor.defined() && known.insert(value.name).second)
        weights.push_back({value.name, value.tensor, averaged.count(value.name) ? kAveraged : 0});
  }
  return result;
}

std::size_t packed_bytes(const Tensor& x, int bits) {
  const Index columns = x.rank() == 0 ? 1 : std::max<Index>(1, x.dim(-1));
  return packed_size(x.size() / columns, columns, bits);
}

}  // namespace

Json model_json(const Experiment& e, std::size_t limit) {
  const auto too_large = [&] {
    return Json{
        {"missing", fmt::format("its {} weights take more than the {:.1f} MB that the page has for them",
                                e.parameters->count(), double(limit) / 1e6)}};
  };
  if (std::size_t(e.parameters->count()) > limit) return too_large();  // do not trace it
  std::vector<Weight> weights;
  Json result;
  try {
    result = graphs_json(e, weights);
  } catch (const Error& error) {
    return {{"missing", fmt::format("it is no graph ({})", error.what())}};
  }
  const std::size_t rest = dump_json(result).size();
  for (int bits : kBits) {
    std::size_t size = rest;
    for (const Weight& one : weights) size += packed_bytes(one.tensor, one.bits(bits)) + one.name.size();
    if (size > limit) continue;
    for (const Weight& one : weights) result["packed"][one.name] = packed_matrix(one.tensor, one.bits(bits));
    return result;
  }
  return too_large();
}

}  // namespace qkv
