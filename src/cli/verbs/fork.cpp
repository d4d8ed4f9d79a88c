// Another future of a run: it goes back to one of its steps, and takes another way from there.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/communicator.h"
#include "base/file.h"
#include "base/toml.h"
#include "cli/answers.h"
#include "cli/course.h"
#include "cli/training.h"
#include "diagnosis/case.h"
#include "inspect/futures.h"
#include "log/jsonl.h"
#include "qkv/base/threads.h"
#include "report/report.h"
#include "train/checkpoint.h"
#include "train/cut_heads.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr Index kExamples = 500;  // of the validation split, evenly over it
constexpr std::size_t kShown = 8;

// Without ".." and a slash at the end.
fs::path absolute_run(const std::string& run) {
  return fs::absolute(run + "/x").lexically_normal().parent_path();
}

std::string name_of_run(const std::string& run) {
  return absolute_run(run).filename().string();
}

// The parts of an option, "3,17".
std::vector<std::string> parts_of(const std::string& given) {
  std::vector<std::string> parts;
  for (const std::string& part : split(given, ',')) parts.emplace_back(trim(part));
  return parts;
}

// The number of a training example that is named by it or by its place in a file.
std::string number_of(Task& task, const std::string& name) {
  const auto n = task.examples(Split::train);
  if (all_digits(name) && name.size() < 10 && std::stol(name) < n) return name;
  const std::vector<ListedExample> all = listed_examples(task, Split::train);
  for (std::size_t i = 0; i < all.size(); i++)
    if (all[i].place == name) return std::to_string(i);
  fail(Fault::usage, "--without: must name training examples by number, 0 .. {}{}; got {}", n - 1,
       all.empty() ? "" : ", or place, such as " + in_quotes(all[0].place), in_quotes(name));
}

// Copies what the run has up to its newest whole checkpoint that is not later than the step. That checkpoint,
// or "" where there is none.
std::string copy_past(const std::string& run, std::int64_t step, const RunDir& to) {
  const auto [begin, newest] = whole_checkpoint(run, step);
  for (const char* name : {"levels.json", "metrics.jsonl", "captures"})
    if (exists(run + "/" + name)) copy_files(run + "/" + name, to.file(name));
  truncate_after(to.file("metrics.jsonl"), begin);
  if (newest.empty()) return "";
  const auto best = read_checkpoint_state(newest).at("best_step").get<std::int64_t>();
  bool has_best = false;
  for (const auto& [own, folder] : list_checkpoints(run))
    if (own == begin || own == best) {
      copy_files(folder, to.file("checkpoints/" + step_name(own)));
      has_best = has_best || own == best;
    }
  point_links(to.path(), begin, has_best ? best : -1);
  return newest;
}

// Whether the change is larger than any that another order of the examples makes.
bool is_beyond(const Json& row) {
  for (const char* side : {"original", "fork", "low", "high"})
    if (!row[side].is_number()) return false;
  const double before = row["original"],
               most = std::max(before - double(row["low"]), double(row["high"]) - before);
  return std::fabs(double(row["fork"]) - before) > most;
}

// Where the futures part, and whether they are of the same length.
std::string verdict(bool same, const std::optional<std::int64_t>& first, std::int64_t ends,
                    std::int64_t forked) {
  const std::string ways =
      ends == forked ? "" : fmt::format(" The run ends at step {}, the fork at step {}.", ends, forked);
  if (first) return fmt::format("The first step that differs is {}.", *first) + ways;
  if (same) return "Both futures are the same.";
  if (!ways.empty()) return fmt::format("No step up to {} differs.", std::min(ends, forked)) + ways;
  return "All steps are the same, the averages of the weights are not.";
}

// What the change did, kind by kind. The examples have the largest changes in front.
std::string text_of(const Json& c) {
  const std::size_t n = c["course"].size();
  std::string text = c["verdict"].get<std::string>() + "\n";
  for (auto [kind, name, heading] :
       {std::tuple{"asked", "text", "Log-odds of the answer that the run gives"},
        {"examples", "text", "Log-odds of the right answer to validation examples"},
        {"heads", "head", "Growth of the validation loss without a head"}}) {
    const Json& all = c[kind];
    if (all.empty()) continue;
    Json rows = Json::array();
    for (const Json& one : all) {
      if (rows.size() == kShown) break;
      rows.push_back(one);
      rows.back()["more"] = n > 0 && is_beyond(one) ? "*" : "";
    }
    const std::string columns = "run=original:.3f | fork:.3f | from=low:.3f | to=high:.3f | =more | ";
    text += fmt::format("\n{}:\n", heading) + table_text(rows, columns + name, 36);
    if (n > 0)
      text += fmt::format("* {} of {} changed more than in {} other order{}\n",
                          std::count_if(all.begin(), all.end(), is_beyond), all.size(), n, n == 1 ? "" : "s");
  }
  return text;
}

struct ForkVerb : Verb {
  void setup(Options& options) override {
    options.add("run", &run_, "run directory").required = true;
    options.add("--at", &at_, "step to go back to; 0: the start").required = true;
    options.add("--set", &sets_, "override a key from there on");
    options.add(
        "--without", &without_,
        "training examples whose loss no longer counts: numbers from 0, or places such as train.tsv:12, "
        "with commas between them");
    options.add("--ablate", &ablate_, "heads to cut out, LAYER.HEAD from 0, with commas between them");
    options.add("--ask", &ask_, "a text whose answers are compared");
    options.add("--seeds", &seeds_, "futures in another order, for comparison").range = {0, 100};
    options.add("--name", &name_, "name of the new run beside the other; default: RUN-fork");
    options.add("--json", &json_, "print one JSON object");
  }

  int run() override {
    if (!names_a_directory(name_))
      fail(Fault::usage, "--name: must be the name of a directory; got {}", in_quotes(name_));
    if (!communicator().alone())
      fail(Fault::usage, "fork: must run in one process; got {} processes", communicator().size());
    ForkPoint from{config_of_run(run_), ""};
    check_run_checksums(run_);
    const std::string fork = make_past(from);
    if (fork.empty()) return 128 + signal_;
    console().info("fork     {} from step {} of {}: {}", fork, at_, run_,
                   changes_.empty() ? "nothing is changed" : join(changes_, ", "));
    const int code = train_on(from, fork);
    if (code != 0 || signal_) return code ? code : 128 + signal_;
    const Json comparison = read_json(fork + "/fork.json");
    print_answer(json_, comparison, text_of(comparison));
    return 0;
  }
  std::string example() const override { return "qkv fork runs/bank --at 100 --without 3,17"; }

 private:
  int train_on(const ForkPoint& from, const std::string& fork) {
    struct Past {  // is removed in the end, whatever happens
      ~Past() {
        std::error_code ignored;
        fs::remove_all(folder, ignored);
      }
      std::string folder;
    } past{fork + "/.past"};
    const int code = resume_run(fork, sets_);
    if (code == 0) compare(from, fork);
    return code;
  }

  // The new run directory, which was trained as the other up to the step; "" after a signal. Sets what is to
  // change from there on, and where.
  std::string make_past(ForkPoint& from) {
    Experiment e = build_experiment(Section::load(from.config));
    const auto reached = list_checkpoints(run_);
    if (const std::int64_t last = reached.empty() ? 0 : reached.back().first; at_ < 0 || at_ > last)
      fail(Fault::usage, "--at: must be a step that the run has reached, 0 .. {}; got {}", last, at_);
    set_threads(e.run.threads > 0 ? static_cast<int>(e.run.threads) : communicator().threads);
    const Section changed = Section::load(from.config, sets_).section("train");
    const auto given = changed.read<ForkConfig>();
    if (!without_.empty()) {
      std::vector<std::string> numbers;
      for (std::int64_t number : given.without) numbers.push_back(std::to_string(number));
      for (const std::string& name : parts_of(without_)) numbers.push_back(number_of(*e.task, name));
      sets_.push_back("train.without=[" + join(numbers, ", ") + "]");
    }
    if (!ablate_.empty()) {
      std::vector<std::string> heads = parts_of(ablate_);
      if (const std::string problem = unknown_head(*e.parameters, heads); !problem.empty())
        fail(Fault::usage, "--ablate: {}", problem);
      heads.insert(heads.begin(), given.ablate.begin(), given.ablate.end());
      for (std::string& head : heads) head = toml_string(head);
      sets_.push_back("train.ablate=[" + join(heads, ", ") + "]");
    }
    changes_ = changed_keys(run_, sets_);  // refuses what is wrong before anything is written
    asked_texts(e, ask_);                  // refuses, too
    Training t = prepare_training(e);
    if (const std::int64_t steps = t.steps_of(changed.read<TrainConfig>()); steps < at_)
      fail(Fault::usage, "--at: must not be later than the end, step {}; got {}", steps, at_);
    install_signal_handlers();
    const RunDir made = RunDir::create(absolute_run(run_).parent_path(),
                                       name_.empty() ? name_of_run(run_) + "-fork" : name_, false);
    made.fill([&] { train_past(t, made); });
    if (signal_) remove_folder(made.path());
    if (signal_ || at_ == 0) return signal_ ? "" : made.path();
    // A copy of the checkpoint of the step, which training on may remove.
    from.checkpoint = made.file(".past/" + step_name(at_));
    copy_files(find_checkpoint(made.path(), step_name(at_)), from.checkpoint);
    return made.path();
  }

  void train_past(Training& t, const RunDir& made) {
    const Experiment& e = t.experiment;
    write_run_files(made, e, read_file(run_ + "/config.toml"), kept_config(e, ""), command);
    const std::string checkpoint = copy_past(run_, at_, made);
    t.files.run = made.path(), t.files.resolved = kept_config(e, "../../"), t.files.pause_at = at_;
    restore(t, checkpoint);
    if (!checkpoint.empty()) t.files.last_saved = t.state.step;
    if (t.state.step < at_) {
      MetricSinks sinks;
      sinks.add(std::make_unique<JsonlSink>(made.file("metrics.jsonl")));
      if ((signal_ = train(t, sinks).signal)) return;
    }
    const std::optional<Parting> parting = course_of(run_, made.path()).parting;
    if (!parting && t.state.step >= at_) return;
    const std::string arithmetic = changed_arithmetic(run_);
    fail(Fault::runtime, "fork: the past must be that of {}, bit by bit; got another one at step {}{}", run_,
         parting ? parting->step : t.state.step, arithmetic.empty() ? "" : " (" + arithmetic + ")");
  }

  // Writes fork.json and the page: at once without the seeds, and again with them.
  void compare(const ForkPoint& from, const std::string& fork) {
    const Experiment before = load_experiment(run_, "last"), after = load_experiment(fork, "last");
    Questions questions;
    questions.examples = spread_examples(*before.task, Split::val, kExamples);
    questions.texts = asked_texts(before, ask_);
    log_odds(before, questions.texts);  // from now on each is asked for the class that the run gives it
    const Answers original = answers_of(before, questions), changed = answers_of(after, questions);
    const bool same = same_weights(run_, fork).value_or(false) && !course_of(run_, fork).parting;
    const auto first = same ? std::nullopt : first_difference(from, sets_);
    if (!same && !first && (signal_ = signal_received())) return;  // not all steps were looked at
    const std::int64_t ends = list_checkpoints(run_).back().first,
                       forked = list_checkpoints(fork).back().first;
    const std::int64_t own = before.tables.fork.seed > 0 ? before.tables.fork.seed : before.run.seed;
    std::vector<Future> seeds;
    for (;;) {
      Json found = {{"of", name_of_run(run_)},
                    {"at", at_},
                    {"changes", changes_},
                    {"first_difference", first ? Json(*first) : Json()},
                    {"verdict", verdict(same, first, ends, forked)},
                    {"metric", before.tables.eval.metric},
                    {"course", Json::array()}};
      for (const Future& seed : seeds) found["course"].push_back(seed.course);
      found.update(compared(before, questions, original, changed, seeds));
      write_file_atomic(fork + "/fork.json", dump_json(found, 1) + "\n");
      write_file_atomic(fork + "/report.html", report_page(report_data({fork, run_})));
      console().info("page     {}/report.html, with {} of {} seeds", fork, seeds.size(), seeds_);
      while (static_cast<int>(seeds.size()) < seeds_ && !signal_) {
        const auto k = static_cast<std::int64_t>(seeds.size()) + 1;
        seeds.push_back(future_of(from, {fmt::format("train.seed={}", own + k)}, questions));
        signal_ = seeds.back().signal;
      }
      if (signal_ || found["course"].size() == seeds.size()) return;
    }
  }

  std::string run_, without_, ablate_, name_;
  std::vector<std::string> sets_, ask_, changes_;
  std::int64_t at_ = 0;
  int seeds_ = 4, signal_ = 0;
  bool json_ = false;
};

QKV_REGISTER(Verb, "fork", ForkVerb, "another future of a run from one of its steps, beside the first");

}  // namespace
}  // namespace qkv
