#include <doctest/doctest.h>

#include <filesystem>

#include "base/file.h"
#include "paths.h"
#include "qkv/base/text.h"
#include "qkv/data/tokenizer.h"
#include "qkv/task/task.h"
#include "qkv/train/optimizer.h"
#include "train/check.h"

namespace fs = std::filesystem;

using namespace qkv;

namespace {

// The keys that are stated twice by whatever reads this config.
std::string restated(const std::string& text) {
  const CheckReport report = check_config(Section::parse("data.train = \"\"\n" + text));
  return join(report.config.restated_keys(), ", ");
}

template <class T>
void check_all(const char* table) {
  for (const std::string& name : Registry<T>::instance().names()) {
    CAPTURE(name);
    CHECK(restated(fmt::format("{}.type = \"{}\"", table, name)) == "");
  }
}

}  // namespace

TEST_CASE("no key is stated twice, whatever task and model read the config") {
  for (const std::string& task : Registry<Task>::instance().names())
    for (const std::string& model : Registry<Model>::instance().names()) {
      CAPTURE(task);
      CAPTURE(model);
      CHECK(restated(fmt::format("task.type = \"{}\"\nmodel.type = \"{}\"", task, model)) == "");
    }
  check_all<Optimizer>("optimizer");
  check_all<Schedule>("schedule");
  check_all<Tokenizer>("tokenizer");
}

TEST_CASE("no key of a shipped config is stated twice") {
  for (const auto& entry : fs::directory_iterator(source_dir() + "/configs")) {
    if (entry.path().extension() != ".toml") continue;
    CAPTURE(entry.path().string());
    const CheckReport report = check_config(Section::load(entry.path().string()));
    CHECK(join(report.config.restated_keys(), ", ") == "");
  }
}

TEST_CASE("tasks, models and layers open no table of the config but their own") {
  for (const char* room :
       {"src/task", "include/qkv/task", "src/model", "include/qkv/model", "src/nn", "src/data"})
    for (const auto& entry : fs::directory_iterator(source_dir() + "/" + room)) {
      const std::string name = entry.path().filename().string();
      if (!entry.is_regular_file() || name == "task.h") continue;  // where it is done for tasks
      const std::string text = read_file(entry.path().string());
      for (const char* table : {"run", "model", "train", "eval", "data", "optimizer", "schedule", "log"}) {
        CAPTURE(name);
        CHECK_MESSAGE(text.find(fmt::format("section(\"{}\")", table)) == std::string::npos, table);
      }
    }
}
