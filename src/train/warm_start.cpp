// The weights of another run, or of a file, with which a run begins.
#include <algorithm>
#include <filesystem>

#include "base/at.h"
#include "base/file.h"
#include "data/json_members.h"
#include "nn/adapters.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/train/training.h"
#include "train/base_weights.h"
#include "train/cut_heads.h"
#include "train/weight_average.h"

namespace qkv {

// The names of the tensors that the others lack: "none" or "3 (a, b, c)".
static std::string without(const std::vector<NamedTensor>& tensors, const std::vector<NamedTensor>& others) {
  std::vector<std::string> names;
  for (const NamedTensor& one : tensors)
    if (!tensor_named(one.name, others).defined()) names.push_back(one.name);
  return names.empty() ? "none" : fmt::format("{} ({})", names.size(), join(names, ", ", 8));
}

// The rows of an embedding stand for words, and only for those of its own vocabulary. Another number of words
// is reported as another shape.
static void check_same_words(const Tokenizer& own, const Tokenizer& theirs, const std::string& where) {
  const std::vector<std::string>&a = own.vocab().tokens(), &b = theirs.vocab().tokens();
  if (a.size() != b.size() || a == b) return;
  const auto [here, there] = std::mismatch(a.begin(), a.end(), b.begin());
  fail(Fault::usage,
       "{}: must have the vocabulary of this run; got another one of equal size, whose token {} is {}, not "
       "{} (tokenizer.type = \"file\" uses a tokenizer.json)",
       where, here - a.begin(), in_quotes(*there), in_quotes(*here));
}

int take_initial(Training& t, std::vector<NamedTensor>& weights, const std::string& where) {
  ParameterStore& store = *t.experiment.parameters;
  store.match(t.tables.train.init_except, "train.init_except", [&](int, ParameterStore::Part& part) {
    drop_if(weights, [&](const NamedTensor& one) { return one.name == part.name; });
    return true;
  });
  std::vector<NamedTensor> kept;
  store.each_part([&](int s, const ParameterStore::Part& part) {
    if (!part.stored) kept.push_back({part.name, part.of(store.slot(s).value)});
  });
  if (const std::string lacking = without(kept, weights); lacking != "none")
    fail(Fault::data,
         "{}: must hold all that [train.lora] does not train; it lacks {} (what train.init_except names is "
         "trained as a whole)",
         where, lacking);
  const int taken = store.load(weights, where, true);
  if (t.extras.adapters) t.extras.adapters->set_base();
  if (t.extras.cut) t.extras.cut->cut();
  return taken;
}

std::string warm_start(Training& t) {
  const std::string& from = t.tables.train.init_from;
  const Experiment& e = t.experiment;
  if (from.empty()) return "";
  const std::string where = "train.init_from '" + from + "'";
  const bool file = ends_with(from, ".safetensors");
  const std::string folder =
      file ? std::filesystem::absolute(from).parent_path().string() : find_checkpoint(from, "best");
  const Json own = e.task->state();
  Json theirs;
  std::vector<NamedTensor> weights;
  if (file) {
    weights = read_safetensors(from);
  } else {
    const Checkpoint c = read_checkpoint(folder);
    weights = whole_weights(c), theirs = c.state->at("task");
  }
  const int taken = take_initial(t, weights, where);
  if (t.extras.adapters) t.files.base = base_from(from);
  if (t.extras.average) t.extras.average->restart(*e.parameters);
  if (taken == 0) fail(Fault::data, "{}: must hold tensors of this model; got none", where);
  const Tokenizer* words = e.task->tokenizer();
  if (words && exists(folder + "/tokenizer.json"))
    check_same_words(*words, *Tokenizer::load(folder + "/tokenizer.json"), where);
  const Json source = member_or_null(own, "source_tokenizer"),
             other = member_or_null(theirs, "source_tokenizer");
  if (!source.is_null() && !other.is_null())
    check_same_words(*Tokenizer::from_json(source), *Tokenizer::from_json(other), where);
  std::vector<NamedTensor> mine = e.parameters->named();
  if (t.extras.adapters)
    mine.resize(mine.size() - 2 * static_cast<std::size_t>(t.extras.adapters->count()));  // they come last
  std::string line = fmt::format("{}: {} of {} tensors loaded; missing: {}; unused: {}", where, taken,
                                 mine.size(), without(mine, weights), without(weights, mine));
  const Json labels = member_or_null(own, "labels"), old = member_or_null(theirs, "labels");
  if (!old.is_null() && old.size() == labels.size() && old != labels)
    line += fmt::format("; its classes are {} instead of {}", dump_json(old), dump_json(labels));
  return line;
}

}  // namespace qkv
