#include "serve/models.h"

#include <cmath>

#include "base/clock.h"
#include "base/file.h"
#include "diagnosis/cause.h"
#include "inspect/continuation.h"
#include "inspect/look.h"
#include "inspect/vectors.h"
#include "model/skip_gram.h"
#include "report/report.h"
#include "train/checkpoint.h"

namespace qkv {
namespace {

constexpr double kSeconds = 30;  // of writing one text
constexpr std::size_t kText = 20000, kNext = 10;
constexpr Index kMaxTokens = 2000, kAttention = 256;  // words up to which attention is sent

// A number of the options; a usage error where it is none.
template <class T>
T option(const Json& options, const char* name, T otherwise) {
  if (!options.contains(name)) return otherwise;
  const Json& value = options.at(name);
  if (!value.is_number() || (std::is_integral_v<T> && !value.is_number_integer()))
    fail(Fault::usage, "answer: {} must be {}; got {}", name,
         std::is_integral_v<T> ? "an integer" : "a number", dump_json(value));
  return value.get<T>();
}

void check_names(const Json& options) {
  const std::vector<std::string> known{"checkpoint", "max_tokens", "temperature", "top_k",
                                       "top_p",      "min_p",      "seed"};
  if (!options.is_object())
    fail(Fault::usage, "answer: options must be an object; got {}", dump_json(options));
  for (const auto& [name, value] : options.items())
    if (!std::count(known.begin(), known.end(), name))
      fail(Fault::usage, "answer: unknown option {}{}", in_quotes(name), suggest(name, known));
}

GenerateOptions generation(const Json& options) {
  GenerateOptions result;
  result.max_tokens = option<Index>(options, "max_tokens", 100);
  if (result.max_tokens > kMaxTokens)
    fail(Fault::usage, "answer: max_tokens must be at most {}; got {}", kMaxTokens, result.max_tokens);
  result.sampling.temperature = option(options, "temperature", 0.0);
  result.sampling.top_k = option<Index>(options, "top_k", 0);
  result.sampling.top_p = option(options, "top_p", 1.0);
  result.sampling.min_p = option(options, "min_p", 0.0);
  const auto seed = option<std::int64_t>(options, "seed", 0);
  if (seed < 0) fail(Fault::usage, "answer: seed must not be negative; got {}", seed);
  result.seed = static_cast<std::uint64_t>(seed);
  return result;
}

// Weights with four digits, [head][query][key].
Json weights_of(const AttentionLook& layer) {
  Json heads = Json::array();
  for (Index h = 0; h < layer.n_head; h++) {
    Json& rows = heads.emplace_back(Json::array());
    for (Index t = 0; t < layer.T; t++) {
      Json& row = rows.emplace_back(Json::array());
      for (const double weight : layer.row(layer.weights, h, t))
        row.push_back(json_number(std::round(weight * 1e4) / 1e4));
    }
  }
  return heads;
}

// What the model reads of a text, and its attention; nothing where its task shows no texts.
void add_look(const Experiment& e, const std::string& text, const std::string& written, Json& answer) {
  try {
    const Look look = look_at(e, text + written);
    answer["words"] = look.text.words;
    answer["read"] = written.empty() ? look.text.words.size() : look_at(e, text).text.words.size();
    answer["target"] = look.text.target;
    if (static_cast<Index>(look.text.words.size()) > kAttention) return;
    Json layers = Json::array();
    for (const AttentionLook& layer : look.layers)
      layers.push_back({{"layer", layer.layer},
                        {"queries", "words"},
                        {"keys", "words"},
                        {"heads", layer.n_head},
                        {"weights", weights_of(layer)}});
    if (!layers.empty()) answer["attention"] = std::move(layers);
  } catch (const Error& error) {
    if (error.fault() != Fault::usage && error.fault() != Fault::data) throw;
  }
}

Json neighbors_of(const std::string& run, const std::string& checkpoint, const std::string& word) {
  const WordVectors table = word_table(run, "", checkpoint);
  const WordSpace space(table.words, table.vectors, run);
  Json list = Json::array();
  for (const Neighbor& one : space.nearest(row_of(space, word), 10))
    list.push_back({{"word", one.word}, {"cosine", json_number(float(one.cosine))}});
  return {{"word", word}, {"neighbors", list}};
}

}  // namespace

const Experiment& Models::load(const std::string& run, const std::string& checkpoint) {
  const std::string folder = find_checkpoint(run, checkpoint), state = folder + "/state.json";
  const std::string now = folder + " " + (exists(state) ? checksum_file(state) : "");
  if (now == loaded_) return *model_;
  loaded_.clear();
  model_.reset();
  model_.emplace(load_experiment(run, checkpoint));
  loaded_ = now;
  return *model_;
}

Json Models::answer(const std::string& run, const std::string& text, const Json& options) {
  check_names(options);
  if (text.size() > kText || !is_utf8(text) || text.find('\0') != std::string::npos)
    fail(Fault::usage, "answer: the text must be UTF-8 of at most {} bytes; got {}", kText, in_quotes(text));
  const Json which = options.value("checkpoint", Json("best"));
  if (!which.is_string()) fail(Fault::usage, "answer: checkpoint must be a name; got {}", dump_json(which));
  const std::string checkpoint = which.get<std::string>();
  if (checkpoint.find('/') != std::string::npos)
    fail(Fault::usage, "answer: checkpoint must be best, last or step-000100; got {}", in_quotes(checkpoint));
  const GenerateOptions how = generation(options);

  const std::lock_guard<std::mutex> one_at_a_time(mutex_);
  const Experiment& e = load(run, checkpoint);
  Json answer = {{"classes", e.task->classes()}, {"words", Json::array()}};
  if (dynamic_cast<const SkipGram*>(e.model.get())) {
    answer["prediction"] = neighbors_of(run, checkpoint, std::string(trim(text)));
  } else if (continues_texts(e)) {
    const Continuation continuation(e, how);
    const double end = steady_seconds() + kSeconds;
    const Json drawn =
        continuation.draw(text, [&](const std::string&) { return !stopping_ && steady_seconds() < end; });
    const std::string written = drawn.at("text").get<std::string>();
    add_look(e, text, written, answer);
    answer["prediction"] = {
        {"text", text}, {"continuation", drawn["text"]}, {"cut_tokens", drawn["cut_tokens"]}};
    answer["written"] = written;
    answer["next"] = continuation.next(text, kNext);
  } else {
    answer["prediction"] = e.task->predict(*e.model, text);
    add_look(e, text, "", answer);
    for (const char* written : {"translation", "summary", "answer"})
      if (answer["prediction"].contains(written)) answer["written"] = answer["prediction"][written];
  }
  return answer;
}

Json Models::report(const std::string& run) {
  const std::lock_guard<std::mutex> one_at_a_time(mutex_);
  loaded_.clear();  // it loads the model, too
  model_.reset();
  return report_data({run});
}

Json Models::diagnosis(const std::string& run) {
  const std::lock_guard<std::mutex> one_at_a_time(mutex_);
  loaded_.clear();
  model_.reset();
  return diagnosis_json(run);
}

}  // namespace qkv
