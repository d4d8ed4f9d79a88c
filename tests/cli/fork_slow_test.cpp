// A hundred forks, and planted lessons: is the one with the largest effect found?
#include <cmath>

#include "cli/process.h"
#include "inspect/futures.h"
#include "log/jsonl.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/checkpoint.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

constexpr std::int64_t kSteps = 60;

std::vector<std::string> small_run(const std::string& name, int every) {
  std::vector<std::string> arguments{"train", "small.toml", "-q"};
  for (const std::string& set : {"run.name=" + name, fmt::format("train.max_steps={}", kSteps),
                                 fmt::format("checkpoint.every={}", every),
                                 std::string("checkpoint.keep_last=100"), std::string("inspect.every=15")})
    arguments.insert(arguments.end(), {"--set", set});
  return arguments;
}

// Training lines and evaluations up to a step.
std::string lines_up_to(const std::string& run, std::int64_t step) {
  std::string text;
  for (const std::string& line : split(metrics_of(run), '\n')) {
    const Record record = line.empty() ? Record() : parse_metrics_line(line, run);
    if (record.step() >= 0 && record.step() <= step && record.type() != "end" &&
        record.text("split") != "test")
      text += line + "\n";
  }
  return text;
}

// ---- planted lessons

// Sentences about a bank; the cue decides. Twelve cues for each of two senses, and words that say nothing.
struct Planted {
  static constexpr int kExamples = 240, kCandidates = 20, kGroup = 4;
  const std::vector<std::string> cues[2] = {{"cash", "loan", "account", "teller", "credit", "deposit",
                                             "vault", "clerk", "savings", "cheque", "rates", "debt"},
                                            {"water", "fish", "reeds", "boat", "mud", "willow", "otter",
                                             "ferry", "current", "heron", "bridge", "stones"}};
  const std::vector<std::string> begins{"they saw the", "near a",       "we went to the old",
                                        "she left her", "look at this", "behind our"},
      ends{"", "today", "in the rain", "before it got dark", "again", "at noon"};

  std::string sentence(Stream& dice, const std::string& cue) const {
    const std::string end = ends[draw(dice, ends.size())];
    return begins[draw(dice, begins.size())] + " [bank] with " + cue + (end.empty() ? "" : " " + end);
  }
  // The same with another end.
  std::string twin(const std::string& text) const {
    for (const std::string& end : ends)
      if (const std::size_t at = text.find(" " + end); !end.empty() && at != std::string::npos)
        return text.substr(0, at) + (end == "again" ? " at noon" : " again");
    return text + " again";
  }
  static std::size_t draw(Stream& dice, std::size_t n) {
    return static_cast<std::size_t>(dice.uniform() * static_cast<double>(n));
  }
};

// One trial: data in which `wrong` examples of one cue have the wrong label, and a text that differs from the
// first of them in its end. The rank of the planted candidate by the change of the log-odds when it is left
// out; 0 is the first.
int rank_of_planted(int trial, int wrong, const TemporaryFolder& folder) {
  const Planted planted;
  Stream dice(1000, "planted", trial, wrong);
  const int sense = trial % 2;
  const std::string& cue = planted.cues[sense][Planted::draw(dice, 12)];
  std::vector<std::pair<int, std::string>> examples;
  for (int i = 0; i < Planted::kExamples; i++)
    examples.emplace_back(i % 2, planted.sentence(dice, planted.cues[i % 2][Planted::draw(dice, 12)]));
  // Candidates are groups of neighbours; the first holds what is planted.
  std::vector<std::vector<int>> candidates;
  for (int c = 0; c < Planted::kCandidates; c++) {
    candidates.emplace_back();
    for (int k = 0; k < wrong; k++) candidates.back().push_back(c * wrong + k);
  }
  for (int number : candidates[0])
    examples[static_cast<std::size_t>(number)] = {1 - sense, planted.sentence(dice, cue)};
  std::string train, val;
  const char* const names[] = {"money", "river"};
  for (const auto& [label, text] : examples) train += fmt::format("{}\t{}\n", names[label], text);
  for (int i = 0; i < 12; i++)
    val += fmt::format("{}\t{}\n", names[i % 2],
                       planted.sentence(dice, planted.cues[i % 2][static_cast<std::size_t>(i)]));
  write_file_atomic(folder / "train.tsv", train);
  write_file_atomic(folder / "val.tsv", val);
  write_file_atomic(folder / "planted.toml", fmt::format(R"(schema = 1
[run]
seed = {}
[data]
train = "train.tsv"
val = "val.tsv"
batch_size = 16
[model]
n_layer = 1
d_model = 32
max_seq_len = 16
[model.attention]
n_head = 2
[model.ffn]
d_ff = 32
[optimizer]
lr = 2e-3
[schedule]
type = "cosine"
warmup_steps = 5
[train]
max_steps = 180
[eval]
every = 180
)",
                                                         trial + 1));
  // The fork: after the first epoch.
  const std::string config = folder / "planted.toml", run = folder / "run";
  std::filesystem::remove_all(run);
  Session session(config);
  session.training.files.pause_at = 20;
  session.train(run);
  const ForkPoint from{config, find_checkpoint(run, "last")};
  Questions questions;
  {
    const Experiment e = load_experiment(run, "last");
    questions.texts =
        e.task->probe_texts({planted.twin(examples[static_cast<std::size_t>(candidates[0][0])].second)});
    questions.texts[0].label = sense;
  }
  const double original = future_of(from, {}, questions).answers.asked.at(0);
  std::vector<double> effects;
  for (const std::vector<int>& candidate : candidates) {
    std::vector<std::string> numbers;
    for (int number : candidate) numbers.push_back(std::to_string(number));
    const std::vector<std::string> sets{"train.without=[" + join(numbers, ", ") + "]"};
    effects.push_back(std::fabs(future_of(from, sets, questions).answers.asked.at(0) - original));
  }
  return static_cast<int>(
      std::count_if(effects.begin(), effects.end(), [&](double e) { return e > effects[0]; }));
}

}  // namespace

TEST_CASE(
    "the past of a hundred forks is the run's, bit by bit, and a fork without change is the run to its end") {
  SmallData data;
  data.encoder();
  const ProcessOptions here{data.folder.path};
  REQUIRE(run_qkv(small_run("whole", 7), here).code == 0);
  REQUIRE(run_qkv(small_run("each", 1), here).code == 0);  // the same, with the weights of every step
  const std::string whole = data.folder / "runs/whole", each = data.folder / "runs/each";
  const std::vector<std::vector<std::string>> changes{{},
                                                      {"--without", "3,17"},
                                                      {"--ablate", "0.1"},
                                                      {"--set", "optimizer.lr=1e-3"},
                                                      {"--set", "train.seed=5"}};
  Stream dice(7, "forks");
  int equal = 0, to_the_end = 0, unchanged = 0;
  for (int i = 0; i < 100; i++) {
    const auto step = static_cast<std::int64_t>(dice.uniform() * static_cast<double>(kSteps - 1)) + 1;
    const std::vector<std::string>& change = changes[static_cast<std::size_t>(i) % changes.size()];
    const std::string name = fmt::format("fork-{}", i), fork = data.folder / ("runs/" + name),
                      at = "/checkpoints/" + step_name(step) + "/";
    std::vector<std::string> arguments{"fork",    "runs/whole", "-q",     "--at", std::to_string(step),
                                       "--seeds", "0",          "--name", name};
    arguments.insert(arguments.end(), change.begin(), change.end());
    const Finished result = run_qkv(arguments, here);
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
    const auto same = [&](const char* file) {
      return checksum_file(fork + at + file) == checksum_file(each + at + file);
    };
    equal += same("model.safetensors") && same("optimizer.safetensors") &&
             lines_up_to(fork, step) == lines_up_to(whole, step);
    const std::string last = "/checkpoints/last/";
    const bool whole_end = lines_up_to(fork, kSteps) == lines_up_to(whole, kSteps) &&
                           checksum_file(fork + last + "model.safetensors") ==
                               checksum_file(whole + last + "model.safetensors") &&
                           checksum_file(fork + last + "optimizer.safetensors") ==
                               checksum_file(whole + last + "optimizer.safetensors");
    const Json first = read_json(fork + "/fork.json")["first_difference"];
    CHECK((first.is_null() ? whole_end : first.get<std::int64_t>() > step));
    unchanged += change.empty(), to_the_end += change.empty() && whole_end && first.is_null();
    std::filesystem::remove_all(fork);
  }
  MESSAGE(equal << " of 100 pasts are equal, " << to_the_end << " of " << unchanged
                << " forks without change to the end");
  CHECK(equal == 100);
  CHECK(to_the_end == unchanged);
}

TEST_CASE(
    "of twenty candidates, the planted wrong label or poisoned batch has the largest effect in 38 of 40 "
    "trials") {
  const TemporaryFolder folder;
  int found = 0, single = 0;
  for (int trial = 0; trial < 40; trial++) {
    const bool label = trial < 20;
    const int rank = rank_of_planted(trial, label ? 1 : Planted::kGroup, folder);
    found += rank == 0, single += label && rank == 0;
  }
  MESSAGE("found: " << single << " of 20 wrong labels, " << found - single << " of 20 poisoned batches");
  CHECK(found >= 38);
}

}  // namespace qkv::test
