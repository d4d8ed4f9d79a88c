// The initial values of a run that starts from the weights of another one.
#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/train/training.h"
#include "train/checkpoint.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

// The names of the tensors that the others lack: "none" or "3 (a, b, c)".
std::string without(const std::vector<NamedTensor>& tensors, const std::vector<NamedTensor>& others) {
  constexpr std::size_t kShown = 8;
  std::vector<std::string> names;
  for (const NamedTensor& one : tensors)
    if (std::none_of(others.begin(), others.end(), [&](const NamedTensor& o) { return o.name == one.name; }))
      names.push_back(one.name);
  if (names.empty()) return "none";
  const std::vector<std::string> first(
      names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kShown)));
  return fmt::format("{} ({}{})", names.size(), join(first, ", "), names.size() > kShown ? ", ..." : "");
}

// The rows of an embedding stand for words, and only for those of its own vocabulary. Another number of words
// is reported as another shape.
void check_same_words(const Tokenizer& own, const Tokenizer& theirs, const std::string& where) {
  const std::vector<std::string>&a = own.vocab().tokens(), &b = theirs.vocab().tokens();
  if (a.size() != b.size() || a == b) return;
  const auto [here, there] = std::mismatch(a.begin(), a.end(), b.begin());
  fail(Fault::usage,
       "{}: must have the vocabulary of this run; got another one of equal size, whose token {} is {} "
       "instead of "
       "{} (tokenizer.type = \"file\" uses a tokenizer.json)",
       where, here - a.begin(), in_quotes(*there), in_quotes(*here));
}

Json member(const Json& state, const char* name) {
  return state.is_object() && state.contains(name) ? state.at(name) : Json();
}

}  // namespace

std::string warm_start(Training& t) {
  const std::string& from = t.tables.train.init_from;
  const Experiment& e = t.experiment;
  if (from.empty()) return "";
  const std::string where = "train.init_from '" + from + "'";
  const bool file = ends_with(from, ".safetensors");
  const std::string folder =
      file ? fs::path(fs::absolute(from)).parent_path().string() : find_checkpoint(from, "best");
  const Json own = e.task->state();
  Json theirs;
  std::vector<NamedTensor> weights;
  if (file) {
    weights = read_safetensors(from);
  } else {
    const Checkpoint c = read_checkpoint(folder);
    weights = c.weights, theirs = c.state->at("task");
  }
  const int taken = e.parameters->load(weights, where, true);
  if (taken == 0) fail(Fault::data, "{}: must hold tensors of this model; got none", where);
  const Tokenizer* words = e.task->tokenizer();
  if (words && exists(folder + "/tokenizer.json"))
    check_same_words(*words, *Tokenizer::load(folder + "/tokenizer.json"), where);
  const Json source = member(own, "source_tokenizer"), other = member(theirs, "source_tokenizer");
  if (!source.is_null() && !other.is_null())
    check_same_words(*Tokenizer::from_json(source), *Tokenizer::from_json(other), where);
  const std::vector<NamedTensor> mine = e.parameters->named();
  std::string line = fmt::format("{}: {} of {} tensors loaded; missing: {}; unused: {}", where, taken,
                                 mine.size(), without(mine, weights), without(weights, mine));
  const Json labels = member(own, "labels"), old = member(theirs, "labels");
  if (!old.is_null() && old.size() == labels.size() && old != labels)
    line += fmt::format("; its classes are {} instead of {}", dump_json(old), dump_json(labels));
  return line;
}

}  // namespace qkv
