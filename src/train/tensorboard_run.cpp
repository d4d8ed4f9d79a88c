#include "train/tensorboard_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// A label in a TSV file of one column: on one line, and not empty.
std::string label(const std::string& word) {
  std::string text = word;
  for (char& c : text)
    if (c == '\t' || c == '\n' || c == '\r') c = ' ';
  return text.empty() ? "(empty)" : text;
}

}  // namespace

TensorboardSink::Run tensorboard_run(const Experiment& e, const std::string& run, std::int64_t resumed_from) {
  TensorboardSink::Run result;
  result.resumed_from = resumed_from;
  std::error_code error;
  result.name = std::filesystem::canonical(run, error).filename().string();
  for (const ResolvedKey& key : e.config.resolved()) {
    const bool wanted = starts_with(key.key, "model.") || starts_with(key.key, "optimizer.") ||
                        starts_with(key.key, "schedule.") || starts_with(key.key, "train.") ||
                        starts_with(key.key, "tokenizer.") || starts_with(key.key, "task.") ||
                        key.key == "data.batch_size" || key.key == "run.seed";
    if (!wanted || key.value.empty() || key.value[0] == '[' || key.value[0] == '{') continue;
    const bool quoted = key.value[0] == '"' || key.value[0] == '\'';
    result.config.emplace_back(key.key, quoted ? key.value.substr(1, key.value.size() - 2) : key.value);
  }
  for (const std::string& metric : e.task->metrics())
    for (const char* split : {"val", "test"}) result.results.push_back(fmt::format("{}/{}", split, metric));
  return result;
}

void write_projector(const std::string& run, const Experiment& experiment, Index most) {
  const std::vector<std::string> words = experiment.task->vocabulary();
  for (const NamedTensor& named : experiment.parameters->named()) {
    if (named.name != "embed.weight" || named.tensor.rank() != 2 ||
        named.tensor.dim(0) != static_cast<Index>(words.size()))
      continue;
    const Index n = std::min(named.tensor.dim(0), most), d = named.tensor.dim(1);
    std::string vectors, labels;
    for (Index row = 0; row < n; row++) {
      for (Index i = 0; i < d; i++)
        fmt::format_to(std::back_inserter(vectors), "{}{:.6g}", i ? "\t" : "", named.tensor.at(row * d + i));
      vectors += '\n';
      labels += label(words[static_cast<std::size_t>(row)]) + "\n";
    }
    make_directories(run + "/projector");
    write_file_atomic(run + "/projector/vectors.tsv", vectors);
    write_file_atomic(run + "/projector/words.tsv", labels);
    write_file_atomic(
        run + "/projector_config.pbtxt",
        "embeddings {\n  tensor_name: \"embed.weight\"\n  tensor_path: \"projector/vectors.tsv\"\n"
        "  metadata_path: \"projector/words.tsv\"\n}\n");
    return;
  }
}

}  // namespace qkv
