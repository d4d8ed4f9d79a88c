// Runs tests/cli/*.test and errors.golden: commands with the output they must give.
//
//   # a comment, or an empty line
//   $ qkv list schedules          a command for bash; a trailing backslash continues it
//   expected output               stdout and stderr together; [..] stands for any text within a line,
//   ...                           a line of three dots for any lines
//   [exit 2]                      where the exit code is not 0
//
// A script runs in a folder of its own that holds `configs`. QKV_UPDATE=1 writes what came out into the
// scripts.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "count.h"
#include "paths.h"
#include "qkv/base/text.h"

using namespace qkv;
namespace fs = std::filesystem;

namespace {

using Lines = std::vector<std::string>;

struct Step {
  Lines before;  // comments and empty lines
  std::string command;
  Lines expected;
};

std::vector<Step> parse(const std::string& text) {
  std::vector<Step> steps;
  Lines before, empty;  // empty lines belong to the output, unless a comment or a command follows
  bool continued = false;
  for (const std::string& line : split(text, '\n')) {
    if (continued) {
      steps.back().command += "\n" + line;
    } else if (line.empty()) {
      empty.push_back(line);
      continue;
    } else if (starts_with(line, "$ ")) {
      before.insert(before.end(), empty.begin(), empty.end());
      steps.push_back({before, line.substr(2), {}});
      before.clear();
    } else if (steps.empty() || !before.empty() || (line[0] == '#' && !empty.empty())) {
      before.insert(before.end(), empty.begin(), empty.end());
      before.push_back(line);
    } else {
      steps.back().expected.insert(steps.back().expected.end(), empty.begin(), empty.end());
      steps.back().expected.push_back(line);
    }
    empty.clear();
    continued = starts_with(line, "$ ") || continued ? ends_with(line, "\\") : false;
  }
  return steps;
}

bool line_matches(std::string_view pattern, std::string_view line) {
  const std::size_t any = pattern.find("[..]");
  if (any == std::string::npos) return pattern == line;
  if (line.substr(0, any) != pattern.substr(0, any)) return false;
  for (std::size_t at = any; at <= line.size(); at++)
    if (line_matches(pattern.substr(any + 4), line.substr(at))) return true;
  return false;
}

bool matches(const Lines& expected, std::size_t e, const Lines& actual, std::size_t a) {
  if (e == expected.size()) return a == actual.size();
  if (expected[e] == "...")
    return matches(expected, e + 1, actual, a) || (a < actual.size() && matches(expected, e, actual, a + 1));
  return a < actual.size() && line_matches(expected[e], actual[a]) && matches(expected, e + 1, actual, a + 1);
}

// Output lines, then [exit N] unless it is 0.
Lines run(const std::string& command, const TemporaryFolder& folder) {
  write_file_atomic(folder / ".command", command);
  const std::string shell = fmt::format(
      "cd '{0}' && exec env PATH='{1}':\"$PATH\" LC_ALL=C.UTF-8 NO_COLOR=1 bash .command 2>&1 </dev/null",
      folder.path, fs::path(binary_path()).parent_path().string());
  FILE* pipe = ::popen(shell.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  char buffer[4096];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  const int status = ::pclose(pipe);
  Lines lines = text.empty() ? Lines{} : split(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (std::string& line : lines)  // the folder has another name each time
    for (std::size_t at; (at = line.find(folder.path)) != std::string::npos;)
      line.replace(at, folder.path.size(), "FOLDER");
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (code != 0) lines.push_back(fmt::format("[exit {}]", code));
  return lines;
}

void run_script(const std::string& file) {
  const TemporaryFolder folder;
  fs::create_directory_symlink(source_dir() + "/configs", folder / "configs");
  Lines updated;
  for (const Step& step : parse(read_file(file))) {
    const Lines actual = run(step.command, folder);
    const bool same = matches(step.expected, 0, actual, 0);
    updated.insert(updated.end(), step.before.begin(), step.before.end());
    updated.push_back("$ " + step.command);
    updated.insert(updated.end(), (same ? step.expected : actual).begin(),
                   (same ? step.expected : actual).end());
    if (std::getenv("QKV_UPDATE")) continue;
    const bool message = ends_with(file, ".golden") && !actual.empty() && starts_with(actual[0], "error: ");
    if (message) test::counted("error messages in errors.golden", "as a user meets them");
    CHECK_MESSAGE(same, fmt::format("{}\n$ {}\n---- expected\n{}\n---- got\n{}", file, step.command,
                                    join(step.expected, "\n"), join(actual, "\n")));
  }
  if (ends_with(file, ".golden")) test::check_counted("error messages in errors.golden", 100);
  if (std::getenv("QKV_UPDATE")) write_file_atomic(file, join(updated, "\n") + "\n");
}

}  // namespace

TEST_CASE("command scripts give the output and the exit code that stands below each command") {
  int scripts = 0;
  for (auto& entry : fs::directory_iterator(source_dir() + "/tests/cli"))
    if (entry.path().extension() == ".test" || entry.path().extension() == ".golden")
      run_script(entry.path().string()), scripts++;
  CHECK(scripts > 0);
}

TEST_CASE("command scripts: what matches what") {
  CHECK(matches({}, 0, {}, 0));
  CHECK(matches({"a", "...", "d"}, 0, {"a", "b", "c", "d"}, 0));
  CHECK(matches({"..."}, 0, {}, 0));
  CHECK(matches({"took [..] ms, [..]"}, 0, {"took 3.5 ms, fast"}, 0));
  CHECK_FALSE(matches({"took [..] ms"}, 0, {"took 3.5 s"}, 0));
  CHECK_FALSE(matches({"a"}, 0, {"a", "b"}, 0));
  CHECK_FALSE(matches({"a", "b"}, 0, {"a"}, 0));
  const std::vector<Step> steps =
      parse("# first\n\n$ one \\\n two\nout\n\nmore\n[exit 1]\n\n# then\n\n$ three\n");
  REQUIRE(steps.size() == 2);
  CHECK(steps[0].command == "one \\\n two");
  CHECK(steps[0].before == Lines{"# first", ""});
  CHECK(steps[0].expected == Lines{"out", "", "more", "[exit 1]"});
  CHECK(steps[1].before == Lines{"", "# then", ""});
  CHECK(steps[1].expected.empty());
}
