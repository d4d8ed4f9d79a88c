#include "cli/inspect.h"

#include <numeric>

#include "base/at.h"
#include "base/file.h"

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

std::vector<AttentionLook> HeadChoice::layers(const Look& look) const {
  std::vector<AttentionLook> result;
  for (Index l : chosen("layer", layer, Index(look.layers.size()))) result.push_back(at(look.layers, l));
  return result;
}

std::vector<Index> HeadChoice::heads(const AttentionLook& one) const {
  return chosen("head", head, one.n_head);
}

void TextChoice::add(Options& options) {
  options.add("text", &texts, "texts; default: examples of the data");
  options.add("--examples", &examples, "number of examples, of each class if there are classes").range = {
      1, 10000};
}

MatrixChart matrix_of(const std::string& title, const Json& rows, const std::string& columns) {
  const std::vector<Column> list = columns_of(columns);
  MatrixChart chart{title, list[0].heading, "", {}, {}, {}};
  for (const Json& row : rows) chart.rows.push_back(row.at(list[0].key).get<std::string>());
  for (std::size_t i = 1; i < list.size(); i++) chart.columns.push_back(list[i].heading);
  for (const Json& row : rows)
    for (std::size_t i = 1; i < list.size(); i++) {
      const Json& value = row.at(list[i].key);
      chart.values.push_back(value.is_null() ? NAN : to_double(value, list[i].key));
    }
  return chart;
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
      Inspection& inspection = *inspections.emplace_back(&own, entry.make()).second;
      inspection.setup(own);
      own.add("--svg", &inspection.svg, "write the picture to this file, too");
      subject.add(own, "print JSON, one object per text if there are texts");
    }
  }
  int run() override {
    for (auto& [verb, inspection] : inspections) {
      if (!verb->chosen) continue;
      if (subject.path.empty() && inspection->needs_subject())
        fail(Fault::usage, "inspect: a run must be given before '{}'; got none", verb->name);
      inspection->run(subject);
      if (!inspection->draws()) continue;
      if (inspection->pictures.empty())
        fail(Fault::usage, "inspect {}: --svg must have something to draw; got no text or word", verb->name);
      write_file_atomic(inspection->svg, svg_grid(verb->name, inspection->pictures).str());
    }
    return 0;
  }
  std::string example() const override { return "qkv inspect runs/word2vec neighbors king"; }

  std::vector<std::pair<const Options*, std::unique_ptr<Inspection>>> inspections;
  Subject subject;
};

QKV_REGISTER(Verb, "inspect", Inspect,
             "look inside a trained model: attention, queries, keys, values, vectors of words, neighbours");

}  // namespace
}  // namespace qkv
