// Runs that are killed, stopped and resumed end with the bytes of an uninterrupted one.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "cli/kill_points.h"
#include "cli/long_run.h"
#include "log/read_metrics.h"

namespace qkv::test {

TEST_CASE("SIGKILL at ten random moments, then resume: the same bytes") {
  const Long& run = long_run();
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> part(0, 0.95);
  std::uniform_int_distribution<int> delay(0, 15'000);
  for (int k = 0; k < 10; k++) {
    CAPTURE(k);
    const std::string place = run.place(fmt::format("kill-{}", k));
    Process process(Long::train(), {place});
    REQUIRE(run.reach(process, place, part(random)));
    std::this_thread::sleep_for(std::chrono::microseconds(delay(random)));
    process.send(SIGKILL);
    CHECK(process.wait().code == -SIGKILL);
    const Finished result = run_qkv(Long::resume(), {place});
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
    run.check_same(place);
  }
}

TEST_CASE("a run that is killed again and again ends with the same bytes") {
  const Long& run = long_run();
  const std::string place = run.place("often");
  int killed = 0;
  for (const double share : {0.0, 0.2, 0.35, 0.5, 0.8}) {
    Process process(killed ? Long::resume() : Long::train(), {place});
    if (!run.reach(process, place, share)) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(3 * killed));
    process.send(SIGKILL);
    killed++;
  }
  CHECK(killed == 5);
  CHECK(run_qkv(Long::resume(), {place}).code == 0);
  run.check_same(place);
  // Resuming what is finished changes nothing.
  CHECK(run_qkv(Long::resume(), {place}).code == 0);
  run.check_same(place);
}

TEST_CASE("SIGHUP, SIGINT and SIGTERM save and exit with 129, 130 and 143; train --resume goes on") {
  const Long& run = long_run();
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) {
    CAPTURE(signal);
    const std::string place = run.place(fmt::format("signal-{}", signal)), folder = place + "/runs/small";
    Process process(Long::train(), {place});
    REQUIRE(run.reach(process, place, 0.3));
    process.send(signal);
    const Finished result = process.wait();
    CHECK(result.code == 128 + signal);
    CHECK(count(result.err, fmt::format("signal {}: the run stops as soon as it can be saved", signal)) == 1);
    CHECK(count(result.err, "interrupted at step ") == 1);
    CHECK(count(result.err, "continue with: qkv resume runs/small") == 1);
    const Record end = read_metrics(folder + "/metrics.jsonl").back();
    CHECK(end.text("reason") == "interrupted");
    CHECK(list_checkpoints(folder).back().first == end.step());
    // Another configuration is another run; the same one goes on.
    auto other = Long::train();
    other.insert(other.end(), {"--resume", "--set", "train.max_steps=3", "--set", "schedule.warmup_steps=0"});
    const Finished fresh = run_qkv(other, {place});
    CHECK(fresh.code == 0);
    CHECK(count(fresh.err,
                "no interrupted run of 'small' with this configuration in runs: starting a new one") == 1);
    CHECK(exists(folder + "-2"));
    auto same = Long::train();
    same.push_back("--resume");
    CHECK(run_qkv(same, {place}).code == 0);
    CHECK(!exists(folder + "-3"));
    run.check_same(place);
  }
}

TEST_CASE("a signal that the parent ignores stays ignored; SIGHUP twice is not a second signal") {
  const Long& run = long_run();
  const std::string place = run.place("nohup");
  ProcessOptions options{place};
  options.ignored = {SIGHUP, SIGINT};
  Process process(Long::train(), options);
  REQUIRE(run.reach(process, place, 0.3));
  process.send(SIGHUP);
  process.send(SIGINT);
  CHECK(process.wait().code == 0);
  run.check_same(place);
  const std::string twice = run.place("twice");
  Process other(Long::train(), {twice});
  REQUIRE(run.reach(other, twice, 0.3));
  other.send(SIGHUP);
  other.send(SIGHUP);
  const Finished result = other.wait();
  CHECK(result.code == 128 + SIGHUP);
  CHECK(count(result.err, "continue with: qkv resume runs/small") == 1);
}

TEST_CASE("a signal in the final evaluation is obeyed, and resume finishes the run") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 60; i++) text += "owl sat up . mouse went home . ";
  write_file_atomic(folder / "l.txt", text);
  std::string many;
  for (int i = 0; i < 2000; i++) many += text;
  write_file_atomic(folder / "test.txt", many);
  write_file_atomic(folder / "l.toml",
                    "task.type = \"language-model\"\n[data]\ntrain = \"l.txt\"\ntest = \"test.txt\"\n"
                    "val_fraction = 0.2\nbatch_size = 4\n[model]\ntype = \"decoder-lm\"\nn_layer = 1\n"
                    "d_model = 16\nmax_seq_len = 16\nattention.n_head = 2\n[train]\nmax_steps = 20\n");
  Process process({"train", "l.toml"}, {folder.path});
  while (process.running() && !exists(folder / "runs/l/checkpoints/step-000020/state.json"))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  process.send(SIGTERM);
  const Finished result = process.wait();
  CHECK(result.code == 128 + SIGTERM);
  CHECK(count(result.err, "interrupted at step 20/20") == 1);
  CHECK_FALSE(exists(folder / "runs/l/result.json"));
  for (const Record& record : read_metrics(folder / "runs/l/metrics.jsonl"))
    CHECK(record.text("split") != "test");  // nothing of a part of it
  write_file_atomic(folder / "l.toml", "");
  CHECK(run_qkv({"resume", "runs/l", "--set", "eval.test=false"}, {folder.path}).code == 0);
  CHECK(exists(folder / "runs/l/result.json"));
}

TEST_CASE("resume, killed after each of its changes of a file, then resumed: the same bytes") {
  if (!kShimLoads) return;
  const TemporaryFolder finished, stopped;
  prepare_config(finished.path);
  REQUIRE(run_qkv({"train", "small.toml"}, {finished.path}).code == 0);
  const auto copy_of = [](const TemporaryFolder& from) {
    return [&from](const std::string& to) {
      std::filesystem::copy(
          from.path, to,
          std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
    };
  };
  SUBCASE("of a finished run") {
    CHECK(kill_at_each_change({copy_of(finished), {"resume", "runs/small"}, {"resume", "runs/small"}}) > 20);
  }
  SUBCASE("of a finished run that is to go on, by another metric") {
    const std::vector<std::string> longer = {"resume", "runs/small",          "--set", "train.max_steps=6",
                                             "--set",  "eval.metric=accuracy"};
    CHECK(kill_at_each_change({copy_of(finished), longer, longer}) > 60);
  }
  SUBCASE("of a run that was killed") {
    prepare_config(stopped.path);
    for (int n = 100; !exists(stopped / "runs/small/checkpoints/step-000002"); n += 10)
      run_and_kill({"train", "small.toml", "--overwrite"}, stopped.path, n);
    CHECK(kill_at_each_change({copy_of(stopped), {"resume", "runs/small"}, {"resume", "runs/small"}}) > 60);
  }
}

TEST_CASE("a second trainer in one run directory is refused, and the first goes on") {
  const Long& run = long_run();
  const std::string place = run.place("two");
  Process first(Long::train(), {place});
  REQUIRE(run.reach(first, place, 0.1));
  const std::string part = "runs/small: only one process may train in a run directory; another one does";
  check_refused(run_qkv(Long::resume(), {place}), 1, part);
  auto same = Long::train();
  same.push_back("--resume");
  check_refused(run_qkv(same, {place}), 1, part);
  auto over = Long::train();
  over.push_back("--overwrite");
  check_refused(run_qkv(over, {place}), 1, part);
  REQUIRE(first.running());
  CHECK(first.wait().code == 0);
  run.check_same(place);
}

}  // namespace qkv::test
