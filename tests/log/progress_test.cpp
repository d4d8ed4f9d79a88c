#include "log/progress.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "log/capture.h"
#include "log/terminal_text.h"

using namespace qkv;
using namespace qkv::test;

namespace {

ProgressState sample() {
  ProgressState state;
  state.label = "train";
  state.position = 900;
  state.total = 2000;
  state.elapsed = 3.2;
  state.rate = 291.2;
  state.postfix = "loss 0.2131";
  return state;
}

// What a terminal shows after the output: a carriage return starts the line again, ESC [ K clears its rest.
std::vector<std::string> screen(const std::string& output) {
  std::vector<std::string> lines(1);
  std::size_t column = 0;
  for (std::size_t i = 0; i < output.size(); ++i) {
    if (output[i] == '\n') {
      lines.emplace_back();
      column = 0;
    } else if (output[i] == '\r') {
      column = 0;
    } else if (output.compare(i, 3, "\033[K") == 0) {
      lines.back().resize(std::min(lines.back().size(), column));
      i += 2;
    } else {
      lines.back().resize(std::max(lines.back().size(), column + 1), ' ');
      lines.back()[column++] = output[i];
    }
  }
  return lines;
}

ConsoleOptions on(const CapturedTerminal& terminal, bool unicode) {
  ConsoleOptions options;
  options.err = options.out = terminal.fd;
  options.unicode = unicode;
  options.color = ColorChoice::never;
  return options;
}

double now = 0;  // what the clock of a test says
double test_clock() {
  return now;
}

}  // namespace

TEST_CASE("the bar shows share, position, time, time left, speed and values") {
  CHECK(progress_bar(sample(), 72, true) ==
        "train  45%|████▌     |  900/2000 [00:03<00:03, 291.2 step/s] loss 0.2131");
  CHECK(progress_bar(sample(), 72, false) ==
        "train  45%|####5     |  900/2000 [00:03<00:03, 291.2 step/s] loss 0.2131");
}

TEST_CASE("the bar shrinks with the terminal and goes before the numbers do") {
  for (int width = 66; width < 200; ++width)
    CHECK(visible_width(progress_bar(sample(), width, true)) <= width);
  CHECK(progress_bar(sample(), 60, true) == "train  45%  900/2000 [00:03<00:03, 291.2 step/s] loss 0.2131");
}

TEST_CASE("slow loops are shown in seconds per step, unknown totals without a bar") {
  ProgressState state = sample();
  state.rate = 0.25;
  CHECK(progress_bar(state, 60, true) == "train  45%  900/2000 [00:03<1:13:20, 4.0 s/step] loss 0.2131");
  state.total = 0;
  state.postfix.clear();
  CHECK(progress_bar(state, 80, true) == "train 900 step [00:03, 4.0 s/step]");
  state.rate = 0;
  CHECK(progress_bar(state, 80, true) == "train 900 step [00:03, ? step/s]");
}

TEST_CASE("the share is 100 only at the end") {
  ProgressState state = sample();
  state.position = 1999;
  CHECK(progress_bar(state, 80, true).find(" 99%") != std::string::npos);
  state.position = 2000;
  CHECK(progress_bar(state, 80, true).find("100%") != std::string::npos);
}

TEST_CASE("the speed forgets old times and is exact for a steady loop") {
  RateMeter meter(10, 500);
  for (int i = 1; i <= 100; ++i) meter.add(10 + i * 0.1, 500 + i * 20);
  CHECK(meter.per_second() == doctest::Approx(200));
  for (int i = 1; i <= 300; ++i) meter.add(20 + i * 0.1, 2500 + i * 10);
  CHECK(meter.per_second() == doctest::Approx(100).epsilon(0.01));
}

TEST_CASE("no redraw is wider than the terminal, also after it has become narrower; ten come in a second") {
  if (no_terminals()) return;
  ScopedEnvironment term("TERM", "xterm");
  for (bool unicode : {true, false}) {
    CapturedTerminal terminal(40);
    now = 100;
    {
      Console console(on(terminal, unicode));
      REQUIRE(console.live());
      CHECK(console.width() == 40);
      Progress progress("train", 0, 60, console, test_clock);
      progress.postfix("loss 0.2131 lr 3.0e-04 | val accuracy 0.94");
      for (int i = 1; i <= 60; ++i) {
        if (i == 31) {
          terminal.resize(25);
          console.info("narrower");
        }
        now += 0.0625;
        progress.update(i);
      }
    }
    const std::string& output = terminal.finish();
    const std::size_t narrow = output.find("narrower");
    REQUIRE(narrow != std::string::npos);
    int redraws = 0;
    for (std::size_t begin = 0; (begin = output.find("\rtrain", begin)) != std::string::npos;) {
      const std::size_t end = output.find("\033[K", ++begin);
      REQUIRE(end != std::string::npos);
      CHECK(visible_width(output.substr(begin, end - begin)) <= (begin < narrow ? 39 : 24));
      ++redraws;
    }
    CHECK(redraws == 30 + 2);  // of every second step, the first, and that of the message
    // At the end the line is clear.
    const auto lines = screen(output);
    CHECK(lines.back().empty());
    CHECK(lines.front() == "narrower");
  }
}

TEST_CASE("a message clears the bar, stands alone on its line, and the bar comes back") {
  if (no_terminals()) return;
  ScopedEnvironment term("TERM", "xterm");
  CapturedTerminal terminal(100);
  {
    Console console(on(terminal, false));
    Progress progress("train", 0, 100, console, test_clock);
    console.warn("cut {} examples", 3);
    console.print("result\n");
    progress.postfix("two\nlines\t\033[2J");
    now += 0.11;
    progress.update(50);
  }
  const std::string& output = terminal.finish();
  CHECK(output.find("\r\033[Kwarning: cut 3 examples\r\n\rtrain   0%|") != std::string::npos);
  CHECK(output.find("\r\033[Kresult\r\n\rtrain   0%|") != std::string::npos);
  CHECK(output.find(" two lines ?[2J\033[K") != std::string::npos);
  CHECK(screen(output) == std::vector<std::string>{"warning: cut 3 examples", "result", ""});
}

TEST_CASE("without a terminal there is no bar") {
  CapturedFile err;
  ConsoleOptions options;
  options.err = err.fd;
  Console console(options);
  Progress progress("train", 0, 100, console, test_clock);
  now += 1;
  progress.update(50);
  CHECK(err.text().empty());
}

TEST_CASE("many threads may move the bar while others log" * doctest::test_suite("tsan")) {
  if (no_terminals()) return;
  ScopedEnvironment term("TERM", "xterm");
  CapturedTerminal terminal(50);
  {
    Console console(on(terminal, true));
    Progress progress("train", 0, 4000, console);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 1000; ++i) {
          progress.update(4 * i + t);
          if (i % 100 == t) console.info("thread {} step {:04}", t, i);
          if (i % 100 == 50) progress.postfix("loss " + std::to_string(i));
          if (i % 100 == 60) console.redraw();
        }
      });
    for (auto& thread : threads) thread.join();
  }
  const auto lines = screen(terminal.finish());
  REQUIRE(lines.size() == 41);
  for (std::size_t i = 0; i < 40; ++i) {
    CHECK(lines[i].size() == 18);
    CHECK(lines[i].find("thread ") == 0);
  }
  CHECK(lines.back().empty());
}
