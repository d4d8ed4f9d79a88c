#include "qkv/log/console.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "log/capture.h"
#include "log/terminal_text.h"
#include "qkv/base/error.h"

using namespace qkv;
using namespace qkv::test;

namespace {

ConsoleOptions to_file(const CapturedFile& err, int verbosity = 0) {
  ConsoleOptions options;
  options.verbosity = verbosity;
  options.err = options.out = err.fd;
  return options;
}

// The text without the date and its time zone, which must be there.
std::string undated(const std::string& text) {
  std::string result;
  for (const std::string& line : lines_of(text)) {
    REQUIRE(line.size() >= 29);
    CHECK(line[0] == '[');
    CHECK((line[21] == '+' || line[21] == '-'));
    CHECK(line.substr(27, 2) == "] ");
    result += line.substr(29) + "\n";
  }
  return result;
}

void all_levels(Console& console) {
  console.debug("d {}", 1);
  console.info("i {}", 2);
  console.warn("w {}", 3);
  console.error("e {}", 4);
}

}  // namespace

TEST_CASE("messages have a label from warning on, and -q and -v choose the level") {
  const std::string expected[] = {"error: e 4\n", "i 2\nwarning: w 3\nerror: e 4\n",
                                  "debug: d 1\ni 2\nwarning: w 3\nerror: e 4\n"};
  for (int verbosity : {-1, 0, 1}) {
    CapturedFile err;
    Console console(to_file(err, verbosity));
    all_levels(console);
    CHECK(err.text() == expected[verbosity + 1]);
  }
}

TEST_CASE("the log file gets messages with date and time, also with -q, one date per line") {
  CapturedFile err;
  TemporaryFile file;
  file.write("[2026-01-01 00:00:00 +00:00] earlier run\n");
  Console console(to_file(err, -1));
  console.attach_file(file.path);
  all_levels(console);
  console.info("two\n{}", styled(Style::green, "lines"));
  console.file_message("file only");
  console.terminal_message("terminal only");
  console.detach_file();
  console.info("after");
  CHECK(undated(file.text()) == "earlier run\ni 2\nwarning: w 3\nerror: e 4\ntwo\nlines\nfile only\n");
  CHECK(err.text() == "error: e 4\n");
}

TEST_CASE("a log file that cannot be opened is an error with path and reason") {
  CapturedFile err;
  Console console(to_file(err));
  CHECK_THROWS_WITH_AS(console.attach_file("/proc/no/train.log"),
                       "/proc/no/train.log: cannot be written; got No such file or directory", Error);
}

TEST_CASE("a full disk under the log file gives one warning and the run goes on") {
  CapturedFile err;
  Console console(to_file(err));
  console.attach_file("/dev/full");
  console.info("first");
  console.info("second");
  const auto lines = lines_of(err.text());
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == "first");
  CHECK(lines[1].find("warning: log file: writing stops; got ") == 0);
  CHECK(lines[1].find("/dev/full") != std::string::npos);
  CHECK(lines[1].find("No space left on device") != std::string::npos);
  CHECK(lines[2] == "second");
}

TEST_CASE("without a terminal there are no control characters") {
  CapturedFile err;
  Console console(to_file(err));
  console.warn("{} \033[2J\r", styled(Style::red, "x"));
  console.print("{}\n", styled(Style::bold, "result"));
  console.print("a\033]0;title\007b\x9b\xff\xc2\x9b\tc\n");
  CHECK(err.text() == "warning: x ?[2J?\nresult\na?]0;title?b???\tc\n");
  CHECK_FALSE(console.live());
  CHECK(console.width() == 80);
}

TEST_CASE("what a model has made keeps its bytes in a file, and is harmless on a terminal") {
  const std::string text = "a\033[2J\033[31mred\r\xff\n";
  CapturedFile file;
  Console to_disk(to_file(file));
  to_disk.verbatim(text);
  CHECK(file.text() == text);
  if (no_terminals()) return;
  CapturedTerminal terminal(80);
  ConsoleOptions options;
  options.err = options.out = terminal.fd;
  options.color = ColorChoice::always;
  Console console(options);
  console.verbatim(text);
  console.print("\033]0;title\007{}\n", styled(Style::red, "x"));
  CHECK(terminal.finish() == "a?[2Jred??\r\n?]0;title?\033[31mx\033[0m\r\n");
}

TEST_CASE("long lines of errors and warnings keep their ends") {
  CapturedFile err;
  Console console(to_file(err));
  console.error("where: rule; got {}\n{} (hint)\nshort", std::string(1 << 20, 'x'), std::string(4000, 'y'));
  const auto lines = lines_of(err.text());
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == "error: where: rule; got " + std::string(1200 - 17, 'x') + " ... (1046993 bytes) ... " +
                        std::string(400, 'x'));
  CHECK(lines[1].substr(1200) == " ... (2407 bytes) ... " + std::string(393, 'y') + " (hint)");
  CHECK(lines[2] == "short");
}

TEST_CASE("colour follows NO_COLOR and TERM, and the option wins") {
  if (no_terminals()) return;
  CapturedTerminal terminal(80);
  ConsoleOptions options;
  options.err = options.out = terminal.fd;
  struct Case {
    const char *no_color, *term;
    ColorChoice choice;
    bool color, live;
  };
  const Case cases[] = {{nullptr, "xterm", ColorChoice::automatic, true, true},
                        {"", "xterm", ColorChoice::automatic, true, true},
                        {"1", "xterm", ColorChoice::automatic, false, true},
                        {nullptr, "dumb", ColorChoice::automatic, false, false},
                        {nullptr, nullptr, ColorChoice::automatic, false, false},
                        {"1", "dumb", ColorChoice::always, true, false},
                        {nullptr, "xterm", ColorChoice::never, false, true}};
  for (const Case& c : cases) {
    ScopedEnvironment no_color("NO_COLOR", c.no_color), term("TERM", c.term);
    options.color = c.choice;
    const Console console(options);
    CHECK(console.color() == c.color);
    CHECK(console.live() == c.live);
  }
}

TEST_CASE("the locale's variables decide between Unicode and ASCII") {
  CapturedFile err;
  ScopedEnvironment all("LC_ALL", nullptr), type("LC_CTYPE", nullptr), lang("LANG", nullptr);
  CHECK_FALSE(Console(to_file(err)).unicode());
  setenv("LANG", "en_US.UTF-8", 1);
  CHECK(Console(to_file(err)).unicode());
  setenv("LC_ALL", "C", 1);
  CHECK_FALSE(Console(to_file(err)).unicode());
  setenv("LC_ALL", "C.utf8", 1);
  CHECK(Console(to_file(err)).unicode());
}

TEST_CASE("a closed pipe on stdout is quiet, a full disk is an error") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  close(ends[0]);
  ConsoleOptions options;
  options.out = options.err = ends[1];
  Console console(options);
  console.print("result\n");
  CHECK(console.out_closed());
  console.print("more\n");
  console.info("message");
  close(ends[1]);

  options.out = open("/dev/full", O_WRONLY);
  Console full(options);
  CHECK_THROWS_WITH_AS(full.print("x"), "stdout: cannot be written; got No space left on device", Error);
  close(options.out);
}

TEST_CASE("messages of many threads come out whole" * doctest::test_suite("tsan")) {
  CapturedFile err;
  TemporaryFile file;
  Console console(to_file(err));
  console.attach_file(file.path);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&console, t] {
      for (int i = 0; i < 100; ++i)
        console.info("thread {} message {}", t, std::string(50, static_cast<char>('a' + t)));
    });
  for (auto& thread : threads) thread.join();
  const auto lines = lines_of(err.text());
  CHECK(lines.size() == 400);
  for (const std::string& line : lines) {
    REQUIRE(line.size() == 67);
    CHECK(line == "thread " + line.substr(7, 1) + " message " +
                      std::string(50, static_cast<char>('a' + (line[7] - '0'))));
  }
  CHECK(lines_of(undated(file.text())).size() == 400);
}
