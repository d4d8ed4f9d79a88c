#include <doctest/doctest.h>

#include "cli/process.h"
#include "qkv/base/text.h"

namespace qkv::test {

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
  CHECK(run_qkv({"completion", "zsh"}).out ==
        "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n" + script.out);
  check_refused(run_qkv({"completion", "fish"}), 2, "fish");
}

}  // namespace qkv::test
