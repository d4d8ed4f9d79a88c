#include "train/run_dir.h"

#include <doctest/doctest.h>

#include <cstring>

#include "base/file.h"
#include "base/toml.h"
#include "train/small_run.h"

namespace qkv::test {

TEST_CASE("an existing run directory is never overwritten unless asked for") {
  TemporaryFolder folder;
  const RunDir first = RunDir::create(folder.path, "a", false);
  CHECK(first.path() == folder / "a");
  write_file_atomic(first.file("config.resolved.toml"), "one");
  const RunDir second = RunDir::create(folder.path, "a", false);
  CHECK(second.path() == folder / "a-2");
  CHECK(RunDir::create(folder.path, "a", false).path() == folder / "a-3");
  CHECK(read_file(first.file("config.resolved.toml")) == "one");
}

TEST_CASE("what a process left before it held a run is emptied and taken") {
  TemporaryFolder folder;
  make_directories(folder / "a/data");
  write_file_atomic(folder / "a/.lock", "");
  write_file_atomic(folder / "a/data/train.tsv", "half of");
  make_directories(folder / "empty");
  make_directories(folder / "letters");
  write_file_atomic(folder / "letters/to_mother.txt", "dear");
  CHECK(RunDir::create(folder.path, "a", false).path() == folder / "a");
  CHECK(files_below(folder / "a") == std::vector<std::string>{".lock"});
  CHECK(RunDir::create(folder.path, "empty", false).path() == folder / "empty");
  CHECK(RunDir::create(folder.path, "letters", false).path() == folder / "letters-2");
}

TEST_CASE("two processes cannot train in one run directory") {
  TemporaryFolder folder;
  const std::string path = RunDir::create(folder.path, "a", false).path();
  const RunDir held = RunDir::open(path);
  const std::string text = "only one process may train in a run directory; another one does";
  CHECK(has(error_of(Fault::runtime, [&] { RunDir::open(path); }), text));
  CHECK(has(error_of(Fault::runtime, [&] { RunDir::create(folder.path, "a", true); }), text));
}

TEST_CASE("only a run directory can be emptied") {
  TemporaryFolder folder;
  make_directories(folder / "letters");
  write_file_atomic(folder / "letters/to_mother.txt", "dear");
  CHECK(has(error_of(Fault::usage, [&] { RunDir::create(folder.path, "letters", true); }),
            "letters: only a run directory can be overwritten"));
  CHECK(read_file(folder / "letters/to_mother.txt") == "dear");
  const std::string path = RunDir::create(folder.path, "a", false).path();
  write_file_atomic(path + "/metrics.jsonl", "x");
  CHECK(RunDir::create(folder.path, "a", true).path() == path);
  CHECK(!exists(path + "/metrics.jsonl"));
}

TEST_CASE("the run to resume has the same name, configuration and data, and is the newest") {
  SmallData data;
  Session session(data.encoder());
  const Task& task = *session.experiment.task;
  std::vector<std::pair<std::string, std::string>> replaced_keys;
  for (const DataPlace& place : data_places(task, Section::parse("")))
    replaced_keys.emplace_back(place.key, toml_string(place.place));
  const std::string runs = data.folder / "runs", text = resolved_config(session.config, replaced_keys);
  auto make = [&](const std::string& name) {
    const RunDir run = RunDir::create(runs, name, false);
    keep_data(run.path(), task, Section::parse(""));
    write_file_atomic(run.file("config.resolved.toml"), text);
    return run.path();
  };
  auto newest = [&](const std::string& config) {
    return newest_run(runs, "small", session.config, config, task);
  };
  CHECK(newest(text) == "");
  const std::string first = make("small");
  make("small-other");
  CHECK(newest(text) == first);
  const std::string second = make("small");
  const auto time = std::filesystem::last_write_time(first + "/config.resolved.toml");
  std::filesystem::last_write_time(second + "/config.resolved.toml", time + std::chrono::seconds(1));
  CHECK(second == first + "-2");
  CHECK(newest(text) == second);
  CHECK(newest(text + "[more]\nkey = 1\n") == "");
  // Threads and logs do not decide; a key that an older run does not have was at its default.
  const auto replaced = [&](const char* key, const char* by) {
    return std::regex_replace(text, std::regex(std::string("\n") + key + " = .*"), std::string("\n") + by);
  };
  CHECK(newest(replaced("threads", "threads = 3")) == second);
  CHECK(newest(replaced("seed", "seed = 8")) == "");
  write_file_atomic(second + "/config.resolved.toml", replaced("spike", ""));
  CHECK(newest(text) == second);
  write_file_atomic(second + "/config.resolved.toml", replaced("lr", ""));
  CHECK(newest(text) == first);
  write_file_atomic(second + "/config.resolved.toml", text);
  std::filesystem::last_write_time(second + "/config.resolved.toml", time + std::chrono::seconds(1));
  write_file_atomic(second + "/data/train.tsv", sentences(44, 5));  // not this data any more
  CHECK(newest(text) == first);
}

}  // namespace qkv::test
