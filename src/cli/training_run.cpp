// One training from its first step to its result.
#include <algorithm>
#include <cmath>
#include <set>

#include "base/communicator.h"
#include "base/file.h"
#include "base/machine.h"
#include "cli/training.h"
#include "diagnosis/cause.h"
#include "inspect/continuation.h"
#include "log/jsonl.h"
#include "log/number_text.h"
#include "log/record_keys.h"
#include "log/train_log.h"
#include "model/skip_gram.h"
#include "qkv/base/threads.h"
#include "qkv/version.h"
#include "tensor/bf16.h"
#include "tensor/blas.h"
#include "train/checkpoint.h"
#include "train/expect.h"
#include "train/levels.h"
#include "train/run_logger.h"

namespace qkv {
namespace {

Record start_record(Experiment& e, const Training& t, const RunDir& run, bool resumed) {
  Record r("start");
  r.add(key::version, kVersion).add(key::name, run.name());
  r.add(key::task, e.config.section("task").type(Task::kDefault))
      .add(key::model, e.config.section("model").type(Model::kDefault));
  r.add(key::parameters, e.parameters->count());
  if (const Index trained = e.parameters->trainable_count(); trained < e.parameters->count())
    r.add(key::trained_parameters, trained);
  for (auto [name, split] : {std::pair{key::train_examples, Split::train},
                             {key::val_examples, Split::val},
                             {key::test_examples, Split::test}})
    r.add(name, e.task->examples(split));
  for (auto& [name, value] : e.task->facts()) r.add(name, static_cast<float>(value));
  r.add(key::vocab_size, e.task->shape().vocab_size).add(key::max_steps, t.max_steps());
  r.add(key::batch_size, t.tables.batches.batch_size)
      .add(key::optimizer, e.config.section("optimizer").type(Optimizer::kDefault));
  r.add(key::metric, t.tables.eval.metric).add(key::seed, e.run.seed).add(key::dtype, name_of(e.run.dtype));
  r.add(key::threads, pool().size()).add(key::shards, t.shards()).add(key::run_dir, run.path());
  if (resumed) r.add(key::resumed_from, t.state.step).add(key::time_s, t.state.seconds);
  return r;
}

// What to do with the trained model.
std::string next_step(const Experiment& e, const std::string& path) {
  if (dynamic_cast<const SkipGram*>(e.model.get())) return fmt::format("inspect {} neighbors WORD", path);
  return fmt::format("{} {}", continues_texts(e) ? "generate" : "predict", path);
}

// What of this machine will not do for the run, or is not used as it could be.
void warn_of_limits(const Experiment& e, std::size_t bytes) {
  const std::size_t most = available_memory();
  if (bytes > most)
    console().warn(
        "memory: the run needs about {}, and {} may be used (a smaller data.batch_size needs less)",
        byte_text(static_cast<double>(bytes)), byte_text(static_cast<double>(most)));
  if (const int cpus = available_threads(); e.run.threads > cpus)
    console().warn("run.threads = {} is more than the {} usable CPUs: slower than one thread per CPU",
                   e.run.threads, cpus);
  if (e.run.matmul == Matmul::bf16 && !(bf16::unit() && bf16::is_fast(*bf16::unit())))
    console().info("run.matmul = \"bf16\": this CPU computes products of bf16 no faster than those of f32");
  if (const std::string note = blas().note; !note.empty()) console().warn("matrix products: {}", note);
}

// Metrics of the best checkpoint (of the last where none is known or kept) on validation and test split; null
// after a signal. `bad` names one that is not finite. Ranks without a run directory get the weights of rank
// 0.
Json final_metrics(Training& t, MetricSinks& sinks, std::string& bad, int& signal) {
  Experiment& e = t.experiment;
  std::int64_t step = 0;
  if (const std::string& run = t.files.run; !run.empty()) {
    const std::string folder = find_checkpoint(run, t.state.best_step < 0 ? "last" : "best");
    const Checkpoint best = read_checkpoint(folder);
    load_stored(t, best);
    step = best.state->at("step").get<std::int64_t>();
  }
  share_weights(*e.parameters);
  Json result = {{"step", step}};
  for (Split split : {Split::val, Split::test}) {
    if (e.task->examples(split) == 0 || (split == Split::test && !t.tables.eval.test)) continue;
    const Metrics metrics =
        evaluate(*e.task, *e.model, split, e.tables.batches.eval_batch_size, 0, 0, signal_received);
    if ((signal = agreed_signal())) return {};
    result[name_of(split)] = metrics.json();
    if (const auto names = metrics.nonfinite(); !names.empty() && bad.empty())
      bad = fmt::format("a {} {} that is not", name_of(split), names.front());
    if (split == Split::val) continue;
    Record r("eval");
    r.add(key::split, "test").add(key::step, step);
    for (auto& [name, value] : metrics.values()) r.add(name, static_cast<float>(value));
    sinks.write(r);
  }
  return result;
}

// Compares the test metrics (validation, where there is no test split) with the bounds of [expect], prints
// each, and returns 0 or, when one is missed, 1.
int check_expectations(const Section& config, const Json& metrics) {
  int missed = 0;
  for (const Expectation& one : expectations(config, metrics)) {
    if (!one.value)
      config.section("expect").fail(one.key, "must name a metric of the task; got '" + one.metric + "'");
    if (!one.met()) missed++;
    const std::string line = fmt::format(
        "expect  {} {} {:.6g}: {} is {}  {}", one.metric, one.least ? ">=" : "<=", one.bound, one.split,
        std::isfinite(*one.value) ? fmt::format("{:.6g}", *one.value) : metric_text(*one.value),
        one.met() ? "PASS" : "FAIL");
    one.met() ? console().info("{}", line) : console().error("{}", line);
  }
  return missed ? 1 : 0;
}

[[noreturn]] void fail_diverged(const TrainResult& result, const Training& t, const std::string& run) {
  const auto kept = list_checkpoints(run);
  fail(Fault::diverged,
       "train: loss, gradients, parameters and metrics must stay finite; got {} at step {} (a lower "
       "optimizer.lr{} may "
       "help; {}; qkv why {} {} shows more)",
       result.fault, result.failed_step, t.skips() ? "" : ", or train.on_nonfinite = \"skip\",",
       kept.empty() ? "there is no checkpoint yet"
                    : fmt::format("the checkpoint of step {} is kept", kept.back().first),
       run, result.failed_step);
}

// Reports the reference levels, and from now on those that are passed.
void show_levels(const Training& t, const std::vector<ReferenceLevel>& levels, const std::string& run,
                 MetricSinks& sinks) {
  std::vector<ReferenceLevel> followed;
  for (const std::string& metric : std::set<std::string>{"loss", t.tables.eval.metric}) {
    std::vector<std::string> texts;
    for (const ReferenceLevel& one : levels) {
      if (one.metric != metric) continue;
      followed.push_back(one);
      texts.push_back(fmt::format("{} {}", one.name, metric_text(one.value)));
    }
    if (!texts.empty())
      console().info("  levels   {}{}", metric == "loss" ? "" : metric + ": ", join(texts, ", "));
  }
  if (t.tables.log.tensorboard) write_level_lines(levels, run, t.max_steps());
  sinks.add(std::make_unique<LevelSink>(followed, run));
}

struct WatcherSink : MetricSink {
  explicit WatcherSink(const Watcher& w) : watcher(w) {}
  void write(const Record& record) override { watcher.record(record); }
  const Watcher& watcher;
};

}  // namespace

int assist_training(Training& t) {
  install_signal_handlers();  // before waiting: when another rank dies, mpirun sends SIGTERM
  communicator().agree();
  communicator().computing = true;
  share_state(t);
  MetricSinks none;
  std::string bad;
  TrainResult result = train(t, none);
  if (is_whole(result.reason)) final_metrics(t, none, bad, result.signal);
  communicator().computing = false;
  communicator().agree();
  return result.signal ? 128 + result.signal : 0;
}

int run_training(Training& t, RunDir& run, const Start& start) {
  Experiment& e = t.experiment;
  console().attach_file(run.file("train.log"));
  const bool resumed = start.resume && qkv::resume(t);
  if (start.resume && !resumed) warm_start(t);
  for (const std::string& change : start.changes) console().info("{}", change);
  if (start.resume) {
    remove_derived(run.path());
    truncate_after(run.file("metrics.jsonl"), t.state.step);
    if (!start.config.empty()) write_file_atomic(run.file("config.resolved.toml"), start.config);
    write_run_checksums(run.path());
  }
  MetricSinks sinks;
  auto terminal = std::make_unique<ConsoleSink>();
  ConsoleSink* bar = terminal.get();
  sinks.add(std::make_unique<JsonlSink>(run.file("metrics.jsonl")));
  sinks.add(std::move(terminal));
  if (t.tables.log.tensorboard)
    sinks.add(std::make_unique<TensorboardSink>(run.path(),
                                                tensorboard_run(e, run.path(), resumed ? t.state.step : -1)));
  if (start.watcher) sinks.add(std::make_unique<WatcherSink>(*start.watcher));
  const std::size_t bytes = memory_estimate(t);
  sinks.write(start_record(e, t, run, resumed).add(key::memory_bytes, static_cast<std::int64_t>(bytes)));
  // What lies in memory already: programs and data, and the weights, which the estimate has.
  const std::size_t weights = e.parameters->bytes();
  warn_of_limits(e, bytes + std::max(resident_memory(), weights) - weights);
  for (const std::string& warning : data_warnings(*e.task)) console().warn("{}", warning);
  const bool other_data = std::any_of(start.changes.begin(), start.changes.end(),
                                      [](const std::string& change) { return starts_with(change, "data."); });
  if (t.tables.eval.levels) show_levels(t, levels_of_run(*e.task, run.path(), other_data), run.path(), sinks);
  const Watcher* watcher = start.watcher;
  if (!watcher) install_signal_handlers();
  communicator().agree();
  communicator().computing = true;
  share_state(t);
  TrainResult result = train(t, sinks, [&](std::int64_t step) {
    bar->step(step);
    if (watcher) watcher->step();
  });
  bool whole = is_whole(result.reason);
  Json metrics;
  std::string bad;
  if (whole) metrics = final_metrics(t, sinks, bad, result.signal);
  communicator().computing = false;
  if (whole && metrics.is_null()) {
    whole = false;
    result.reason = StopReason::interrupted;
  } else if (!bad.empty()) {
    whole = false;
    result.reason = StopReason::diverged, result.fault = bad;
    result.failed_step = metrics.at("step").get<std::int64_t>();
  }
  Record end("end");
  end.add(key::reason, name_of(result.reason))
      .add(key::step, result.step)
      .add(key::time_s, static_cast<float>(t.state.seconds));
  end.add(key::tokens, t.state.tokens);
  const TrainSeconds& s = t.seconds;
  for (auto [part, seconds] : {std::pair{key::data_s, s.data},
                               {key::forward_s, s.forward},
                               {key::backward_s, s.backward},
                               {key::reduce_s, s.reduce},
                               {key::update_s, s.update},
                               {key::eval_s, s.evaluate},
                               {key::capture_s, s.capture},
                               {key::circuits_s, s.circuits},
                               {key::checkpoint_s, s.checkpoint}})
    end.add(part, static_cast<float>(seconds));
  if (result.best_step >= 0)
    end.add(key::best_step, result.best_step)
        .add(key::best_value, static_cast<float>(result.best_value))
        .add(key::checkpoint, run.file("checkpoints/best"));
  sinks.write(end);
  sinks.flush();
  if (whole) {
    if (t.tables.log.tensorboard) write_projector(run.path(), e);
    write_file_atomic(run.file("result.json"), dump_json(metrics, 2) + "\n");
    write_run_checksums(run.path());
    if (const std::string cause = first_cause(e, run.path()); !cause.empty())
      console().info("  why      {} (qkv why {} shows more)", cause, run.path());
  }
  console().detach_file();
  if (whole) console().info("  next     qkv {}, qkv report {}", next_step(e, run.path()), run.path());
  if (result.reason == StopReason::diverged) fail_diverged(result, t, run.path());
  const int code = result.signal                 ? 128 + result.signal
                   : whole && start.check_expect ? check_expectations(e.config, metrics)
                                                 : 0;
  communicator().agree();
  return code;
}

}  // namespace qkv
