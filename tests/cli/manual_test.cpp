#include <doctest/doctest.h>

#include "cli/process.h"
#include "qkv/base/text.h"
#include "qkv/cli/verb.h"

namespace qkv::test {

TEST_CASE("the manual page names every verb with its options and is well-formed") {
  const Finished page = run_qkv({"manual"});
  REQUIRE(page.code == 0);
  for (auto& [name, entry] : Registry<Verb>::instance().entries()) CHECK(count(page.out, ".SS " + name) >= 1);
  CHECK(count(page.out, "\\fB\\-\\-set\\fR") > 2);
  CHECK(count(page.out, "EXIT STATUS") == 1);
  // Every line that begins with a dot is a macro of the man package.
  for (const std::string& line : split(page.out, '\n'))
    if (!line.empty() && line[0] == '.') {
      CAPTURE(line);
      const std::string macro = line.substr(1, line.find(' ') - 1);
      bool known = false;
      for (const char* name : {"TH", "SH", "SS", "TP", "PP", "B", "I", "RI", "nf", "fi"})
        known = known || macro == name;
      CHECK(known);
    }
}

TEST_CASE("bash completes verbs, the words that some verbs go on with, and options") {
  const Finished script = run_qkv({"completion", "bash"});
  REQUIRE(script.code == 0);
  const TemporaryFolder folder;
  write_file_atomic(folder / "completion", script.out);
  auto completed = [&](const std::string& words) {  // separated by spaces, the last one is being written
    write_file_atomic(folder / "ask",
                      "source '" + folder.path + "/completion'\nCOMP_WORDS=(" + words +
                          ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_qkv\necho \"${COMPREPLY[*]}\" > '" +
                          folder.path + "/answer'\n");
    REQUIRE(std::system(("bash '" + folder.path + "/ask'").c_str()) == 0);
    return std::string(trim(read_file(folder / "answer")));
  };
  CHECK(completed("qkv tra") == "train");
  CHECK(completed("qkv train a.toml --over") == "--overwrite");
  CHECK(completed("qkv config sc") == "schema");
  CHECK(completed("qkv -v generate runs/x --top") == "--top-k --top-p");
  CHECK(count(run_qkv({"completion", "zsh"}).out, "'train:train a model, writing a run directory'") == 1);
  check_refused(run_qkv({"completion", "fish"}), 2, "fish");
}

}  // namespace qkv::test
