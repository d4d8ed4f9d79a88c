#include "cli/config_schema.h"

#include <doctest/doctest.h>

#include "cli/process.h"
#include "qkv/base/text.h"
#include "qkv/model/model.h"
#include "qkv/task/task.h"

namespace qkv::test {

TEST_CASE("the reference names every table, every registered type and every key with its default") {
  const std::string text = config_reference();
  for (const char* table : {"run", "data", "task", "tokenizer", "model", "optimizer", "schedule", "train",
                            "eval", "checkpoint", "log", "inspect", "bench", "[model.layers]"})
    CHECK_MESSAGE(count(text, fmt::format("\n## [{}]\n", table)) == 1, table);
  for (const std::string& name : Registry<Model>::instance().names())
    CHECK(count(text, "### type = " + name) == 1);
  for (const std::string& name : Registry<Task>::instance().names())
    CHECK(count(text, "### type = " + name) >= 1);
  CHECK(count(text, "| `seed` | integer, at least 0 | `1337` | seed of everything random |") == 1);
  CHECK(count(text, "| `attention.n_head` | integer, above 0 |") > 1);
  CHECK(count(text, "`max_steps`") == 1);
  for (const std::string& line : split(text, '\n'))  // four columns, or three outside of tables
    if (starts_with(line, "| `")) {
      CAPTURE(line);
      const int bars = count(line, "|") - count(line, "\\|");
      CHECK((bars == 5 || bars == 4));
    }
}

}  // namespace qkv::test
