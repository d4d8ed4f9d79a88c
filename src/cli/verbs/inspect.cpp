#include "cli/inspect.h"

#include <numeric>

#include "base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Inspection);

void HeadChoice::add(Options& options) {
  options.add("--layer", &layer, "only this layer, from 0 on").range = {0, 1000000};
  options.add("--head", &head, "only this head, from 0 on").range = {0, 1000000};
}

static std::vector<Index> chosen(const char* option, int one, Index n) {
  if (one >= n) fail(Fault::usage, "inspect: --{} must be in [0, {}); got {}", option, n, one);
  if (one >= 0) return {one};
  std::vector<Index> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), Index{0});
  return all;
}

std::vector<Index> HeadChoice::layers(const Look& look) const {
  return chosen("layer", layer, static_cast<Index>(look.layers.size()));
}

std::vector<Index> HeadChoice::heads(const AttentionLook& one) const {
  return chosen("head", head, one.n_head);
}

void TextChoice::add(Options& options) {
  options.add("text", &texts, "texts; default: examples of the data");
  options.add("--examples", &examples, "number of examples, of each class if there are classes").range = {
      1, 10000};
}

std::string number(double value) {
  return fmt::format("{:.4g}", value == 0 ? 0.0 : value);
}

std::string numbers(const std::vector<double>& values, std::size_t most) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < std::min(values.size(), most); i++) parts.push_back(number(values[i]));
  if (values.size() > most) parts.emplace_back("...");
  return "[" + join(parts, ", ") + "]";
}

Json json_number32(double value) {
  return json_number(static_cast<float>(value));
}

Json json_numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (double value : values) list.push_back(json_number32(value));
  return list;
}

namespace {

struct Inspect : Verb {
  void setup(Options& options) override {
    options.add("run", &subject.path, "run directory, checkpoint or, for words, a file of word2vec");
    for (auto& [name, entry] : Registry<Inspection>::instance().entries()) {
      Options& own = options.add_verb(name, entry.help);
      inspections.push_back(entry.make());
      inspections.back()->setup(own);
      own.add("--svg", &inspections.back()->svg, "write the picture to this file, too");
      subject.add(own, "print JSON, one object per text if there are texts");
      own.example = inspections.back()->example();
    }
    verbs = &options.verbs;
  }
  int run() override {
    auto inspection = inspections.begin();
    for (const Options& verb : *verbs) {
      if (verb.chosen && subject.path.empty() && (*inspection)->needs_subject())
        fail(Fault::usage, "inspect: a run must be given before '{}'; got none", verb.name);
      if (verb.chosen) return look(**inspection, verb.name);
      ++inspection;
    }
    return 0;
  }
  std::string example() const override { return "qkv inspect runs/word2vec neighbors king"; }

  int look(Inspection& inspection, const std::string& what) const {
    const int code = inspection.run(subject);
    if (!inspection.draws()) return code;
    if (inspection.pictures.empty())
      fail(Fault::usage, "inspect {}: --svg must have something to draw; got no text or word", what);
    write_file_atomic(inspection.svg, svg_grid(what, inspection.pictures).str());
    return code;
  }

  std::vector<std::unique_ptr<Inspection>> inspections;  // as in *verbs
  const std::list<Options>* verbs = nullptr;
  Subject subject;
};

QKV_REGISTER(Verb, "inspect", Inspect,
             "look inside a trained model: attention, queries, keys, values, vectors of words, neighbours");

}  // namespace
}  // namespace qkv
