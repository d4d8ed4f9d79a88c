#include "word_table.h"

#include <CLI/CLI.hpp>
#include <cstring>

#include "base/file.h"
#include "log/table.h"
#include "look.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "train/checkpoint.h"

namespace qkv {

// The token of each id; special ones, which nobody asks for, are empty.
static std::vector<std::string> tokens_of(const Subject& subject, const Checkpoint& checkpoint) {
  if (!checkpoint.tokenizer) {
    const Experiment e = load(subject);
    std::vector<std::string> tokens = e.task->vocabulary();
    if (tokens.empty())
      fail(Fault::usage,
           "inspect: tokens must have texts; got task '{}' with neither tokenizer nor vocabulary (override "
           "Task::vocabulary, qkv/task/task.h)",
           e.config.section("task").type(Task::kDefault));
    return tokens;
  }
  const Vocab& vocab = checkpoint.tokenizer->vocab();
  std::vector<std::string> tokens;
  for (int id = 0; id < vocab.size(); ++id) tokens.push_back(vocab.is_special(id) ? "" : vocab.token(id));
  return tokens;
}

WordVectors word_table(const Subject& subject, const std::string& table) {
  const std::string& run = subject.path;
  if (exists(run) && !is_directory(run)) {
    WordVectors vectors = read_word2vec(run);
    if (!vectors.warning.empty()) console().warn("{}", vectors.warning);
    return vectors;
  }
  const Checkpoint checkpoint = read_checkpoint(find_checkpoint(run, subject.checkpoint));
  const std::vector<std::string> tokens = tokens_of(subject, checkpoint);
  const Tensor* found = nullptr;
  std::vector<std::string> names;
  for (const NamedTensor& weight : checkpoint.weights) {
    if (weight.tensor.rank() != 2 || weight.tensor.dim(0) != static_cast<Index>(tokens.size())) continue;
    names.push_back(weight.name);
    if (!found && (table.empty() || table == weight.name)) found = &weight.tensor;
  }
  if (!found)
    fail(Fault::usage, "inspect: --table must name a parameter with a row per token; got {}{}",
         in_quotes(table), suggest(table, names));
  WordVectors result;
  std::vector<Index> rows;
  for (std::size_t id = 0; id < tokens.size(); ++id)
    if (!tokens[id].empty()) result.words.push_back(tokens[id]), rows.push_back(static_cast<Index>(id));
  const Tensor all = found->to(Dtype::f32);
  const Index d = all.dim(1);
  result.vectors = Tensor::empty({static_cast<Index>(rows.size()), d});
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::memcpy(result.vectors.data<float>() + static_cast<Index>(i) * d, all.data<float>() + rows[i] * d,
                static_cast<std::size_t>(d) * sizeof(float));
  return result;
}

int row_of(const WordSpace& space, const std::string& word) {
  const int row = space.find(word);
  if (row >= 0) return row;
  std::vector<std::string> words;
  for (int i = 0; i < space.size(); ++i) words.push_back(space.word(i));
  const std::string near = nearest(word, words);
  fail(Fault::usage, "inspect: the vocabulary must have the word; got {}{}", in_quotes(word),
       near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near));
}

void WordInspection::setup(CLI::App& app) {
  app.add_option("-k,--count", k, "how many words are shown")->check(CLI::Range(1, 100000));
  app.add_option("--table", table, "parameter with a row per token, if not the first one");
}

Json neighbors_json(const std::vector<Neighbor>& neighbors) {
  Json list = Json::array();
  for (const Neighbor& n : neighbors)
    list.push_back({{"word", n.word}, {"cosine", json_number(static_cast<float>(n.cosine))}});
  return list;
}

std::string neighbors_text(const std::vector<Neighbor>& neighbors) {
  Table rows({"word", "cosine"});
  for (const Neighbor& n : neighbors) rows.row({n.word, fmt::format("{:.4f}", n.cosine)});
  return rows.str(console().unicode());
}

}  // namespace qkv
