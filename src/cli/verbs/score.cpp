
#include "base/file.h"
#include "cli/answers.h"
#include "data/lines.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/task/metrics.h"

namespace qkv {
namespace {

// The lines of a file, of a pipe, or of standard input ("-").
std::vector<std::string> texts_of(const std::string& path) {
  if (path == "-") return lines_of(read_standard_input(), "standard input");
  return lines_of(read_file_or_pipe(path, kMaxFileSize, Fault::data), path);
}

struct Score : Verb {
  void setup(Options& options) override {
    options.add("--hyp", &hypotheses, "file (or -) with the texts to score, one per line").required = true;
    options.add("--ref", &references, "file (or -) with their references, line by line").required = true;
    options.add("--metric", &metrics, "comma-separated list of bleu, chrf, rouge, exact_match");
    options.add("--tokenize", &tokenize, "tokenisation for BLEU: 13a, or none if texts are already tokenised")
        .choices = {"13a", "none"};
    options.add("--lowercase", &lowercase, "ignore case");
    options.add("--json", &json, "print one JSON object");
  }

  int run() override {
    std::vector<std::string> names;
    for (const std::string& name : split(metrics, ',')) {
      const std::vector<std::string> known{"bleu", "chrf", "rouge", "exact_match"};
      if (!std::count(known.begin(), known.end(), name))
        fail(Fault::usage, "score: --metric must name bleu, chrf, rouge or exact_match; got '{}'{}", name,
             suggest(name, known));
      if (name == "rouge")
        names.insert(names.end(), {"rouge1", "rouge2", "rougeL"});
      else
        names.push_back(name);
    }
    if (hypotheses == "-" && references == "-")
      fail(Fault::usage, "score: one of --hyp and --ref can be standard input; got '-' for both");
    const std::vector<std::string> h = texts_of(hypotheses), r = texts_of(references);
    if (h.size() != r.size())
      fail(Fault::data, "score: {} and {} must have as many lines; got {} and {}", hypotheses, references,
           h.size(), r.size());
    TextScores scores(names, tokenize, lowercase);
    for (std::size_t i = 0; i < h.size(); i++) scores.add(h[i], r[i]);
    const auto values = scores.values();
    const auto signatures = scores.signatures();
    Json result = {{"lines", h.size()}};
    for (std::size_t i = 0; i < names.size(); i++) {
      const auto& [name, value] = values[i];
      result[name] = value;
      result[name + "_signature"] = signatures[i].second;
      if (!json) console().print("{:<11}  {:>8.4f}  {}\n", name, value, signatures[i].second);
    }
    if (json)
      print_json(result);
    else
      console().print("{} lines\n", h.size());
    return 0;
  }
  std::string example() const override {
    return "qkv score --hyp hypotheses.txt --ref references.txt --metric bleu,chrf";
  }

  std::string hypotheses, references, metrics = "bleu,chrf,rouge", tokenize = "13a";
  bool lowercase = false, json = false;
};

QKV_REGISTER(Verb, "score", Score, "BLEU, chrF and ROUGE of a file of texts against a file of references");

}  // namespace
}  // namespace qkv
