#include "inspect/word_table.h"

#include "base/file.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/train/experiment.h"
#include "train/checkpoint.h"

namespace qkv {

// The token of each id; special ones, which are never queried, are empty.
static std::vector<std::string> tokens_of(const Checkpoint& checkpoint, const std::string& path,
                                          const std::string& which, const std::vector<std::string>& sets) {
  if (!checkpoint.tokenizer) {
    const Experiment e = load_experiment(path, which, sets);
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
  for (int id = 0; id < vocab.size(); id++) tokens.push_back(vocab.is_special(id) ? "" : vocab.token(id));
  return tokens;
}

WordVectors word_table(const std::string& path, const std::string& table, const std::string& which,
                       const std::vector<std::string>& sets) {
  if (exists(path) && !is_directory(path)) {
    WordVectors vectors = read_word2vec(path);
    if (!vectors.warning.empty()) console().warn("{}", vectors.warning);
    return vectors;
  }
  const Checkpoint checkpoint = read_checkpoint(find_checkpoint(path, which));
  const std::vector<std::string> tokens = tokens_of(checkpoint, path, which, sets);
  Tensor found;
  std::vector<std::string> names;
  for (const NamedTensor& weight : checkpoint.weights) {
    if (weight.tensor.rank() != 2 || weight.tensor.dim(0) != static_cast<Index>(tokens.size())) continue;
    names.push_back(weight.name);
    if (!found.defined() && (table.empty() || table == weight.name)) found = weight.tensor.to(Dtype::f32);
  }
  if (!found.defined())
    fail(Fault::usage, "inspect: --table must name a parameter with a row per token; got {}{}",
         in_quotes(table), suggest(table, names));
  WordVectors result;
  std::vector<Tensor> rows;
  for (std::size_t id = 0; id < tokens.size(); id++) {
    if (tokens[id].empty()) continue;
    result.words.push_back(tokens[id]);
    rows.push_back(found.rows(static_cast<Index>(id), 1));
  }
  result.vectors = Tensor::empty({static_cast<Index>(rows.size()), found.dim(1)});
  for (std::size_t i = 0; i < rows.size(); i++)
    result.vectors.rows(static_cast<Index>(i), 1).copy_from(rows[i]);
  return result;
}

int row_of(const WordSpace& space, const std::string& word) {
  const int row = space.find(word);
  if (row >= 0) return row;
  std::vector<std::string> words;
  for (int i = 0; i < space.size(); i++) words.push_back(space.word(i));
  const std::string near = nearest(word, words);
  fail(Fault::usage, "inspect: the vocabulary must have the word; got {}{}", in_quotes(word),
       near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near));
}

}  // namespace qkv
