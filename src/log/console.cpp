#include "qkv/log/console.h"

#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/dist_sink.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "log/terminal_text.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// POSIX precedence of the variables; setlocale is the program's business, not the library's.
bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string value = environment(name);
    if (value.empty()) continue;
    std::transform(value.begin(), value.end(), value.begin(),
                   [](char c) { return static_cast<char>(c | 0x20); });
    return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

// Without the variable nothing is known of the terminal.
bool takes_escapes() {
  const std::string term = environment("TERM");
  return !term.empty() && term != "dumb";
}

bool wants_color(ColorChoice choice, int fd) {
  if (choice != ColorChoice::automatic) return choice == ColorChoice::always;
  return isatty(fd) && environment("NO_COLOR").empty() && takes_escapes();
}

int terminal_width(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// 0 or the error number.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      pollfd ready{fd, POLLOUT, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (count < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

spdlog::level::level_enum spdlog_level(Level level) {
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                   spdlog::level::warn, spdlog::level::err};
  return kLevels[static_cast<int>(level)];
}

// What somebody has given may be as long as a book; the ends of a line tell what it is about.
std::string shortened(std::string_view text) {
  constexpr std::size_t kLongest = 4000, kBegin = 1200, kEnd = 400;
  std::string result;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (begin > 0) result += '\n';
    if (line.size() <= kLongest) {
      result += line;
    } else {
      std::size_t head = 0, tail = line.size() - kEnd;
      while (head < kBegin) next_code_point(line, head);
      while (tail < line.size() && (line[tail] & 0xC0) == 0x80) tail++;
      result += fmt::format("{} ... ({} bytes) ... {}", line.substr(0, head), tail - head, line.substr(tail));
    }
    begin = end + 1;
  }
  return result;
}

std::string labelled(Level level, std::string_view text) {
  switch (level) {
    case Level::debug:
      return styled(Style::dim, std::string("debug: ").append(text));
    case Level::warn:
      return styled(Style::yellow, "warning:") + " " + shortened(text);
    case Level::error:
      return styled(Style::red, "error:") + " " + shortened(text);
    case Level::info:
      break;
  }
  return std::string(text);
}

// Clears the status line, writes, redraws: in one write, under the lock that every sink of spdlog has.
class TerminalSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void configure(const ConsoleOptions& options) {
    std::lock_guard<std::mutex> lock(mutex_);
    out_ = options.out;
    err_ = options.err;
    live = isatty(err_) && takes_escapes() && options.verbosity >= 0;
    color = wants_color(options.color, err_);
    out_color = wants_color(options.color, out_);
    out_terminal = isatty(out_);
    unicode = options.unicode.value_or(locale_is_utf8());
  }

  void result(std::string_view text) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (out_closed) return;
    const bool shared = drawn_ && isatty(out_);
    if (shared) write_all(err_, clear());
    const int error = write_all(out_, text);
    out_closed = error == EPIPE;
    if (error != 0 && error != EPIPE)
      fail(Fault::runtime, "stdout: cannot be written; got {}", std::strerror(error));
    if (shared) write_all(err_, status());
  }

  void push(StatusLine* line) {
    std::lock_guard<std::mutex> lock(mutex_);
    lines_.push_back(line);
    if (lines_.size() == 1) write_all(err_, status());
  }
  void remove(StatusLine* line) {
    std::lock_guard<std::mutex> lock(mutex_);
    lines_.erase(std::remove(lines_.begin(), lines_.end(), line), lines_.end());
    std::string output = clear();
    output += status();
    write_all(err_, output);
  }
  void redraw() {
    std::lock_guard<std::mutex> lock(mutex_);
    write_all(err_, status());
  }
  int width() {
    std::lock_guard<std::mutex> lock(mutex_);
    return terminal_width(err_);
  }
  int out_width() {
    std::lock_guard<std::mutex> lock(mutex_);
    return out_terminal ? terminal_width(out_) : 1 << 20;
  }

  std::atomic<bool> live{false}, color{false}, out_color{false}, out_terminal{false}, unicode{false},
      out_closed{false};

 private:
  // A reader of stderr that is gone, or a full disk behind it, is not worth ending a run for.
  void sink_it_(const spdlog::details::log_msg& msg) override {
    const std::string_view text(msg.payload.data(), msg.payload.size());
    std::string output = clear();
    output += harmless(text, color) + "\n";
    output += status();
    write_all(err_, output);
  }
  void flush_() override {}

  std::string clear() {
    const bool drawn = drawn_;
    drawn_ = false;
    return drawn ? "\r\033[K" : "";
  }
  std::string status() {
    if (!live || lines_.empty()) return {};
    drawn_ = true;
    const int width = terminal_width(err_) - 1;
    std::string text = harmless(lines_.back()->render(width), color);
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
    return "\r" + fit_width(text, width, unicode) + "\033[K";
  }

  std::vector<StatusLine*> lines_;
  int out_ = 1, err_ = 2;
  bool drawn_ = false;
};

}  // namespace

struct Console::Impl {
  std::shared_ptr<TerminalSink> terminal = std::make_shared<TerminalSink>();
  std::shared_ptr<spdlog::sinks::dist_sink_mt> files = std::make_shared<spdlog::sinks::dist_sink_mt>();
  spdlog::logger terminal_log{"terminal", terminal};
  spdlog::logger file_log{"file", files};
  std::atomic<bool> has_file{false};

  void write_terminal(spdlog::level::level_enum level, std::string_view text) {
    terminal_log.log(level, spdlog::string_view_t(text.data(), text.size()));
  }
  void write_file(spdlog::level::level_enum level, std::string_view text) {
    if (!has_file) return;
    const std::string plain = harmless(text, false);
    for (std::size_t begin = 0; begin <= plain.size();) {
      const std::size_t end = std::min(plain.find('\n', begin), plain.size());
      file_log.log(level, spdlog::string_view_t(plain.data() + begin, end - begin));
      begin = end + 1;
    }
  }
};

Console::Console(const ConsoleOptions& options) : impl_(std::make_unique<Impl>()) {
  struct sigaction action {};
  if (sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL)
    std::signal(SIGPIPE, SIG_IGN);
  impl_->file_log.flush_on(spdlog::level::trace);
  impl_->file_log.set_error_handler([this](const std::string& what) {
    impl_->has_file = false;
    impl_->terminal_log.log(spdlog::level::warn,
                            labelled(Level::warn, "log file: writing stops; got " + what));
  });
  impl_->terminal_log.set_error_handler([](const std::string&) {});
  configure(options);
}

Console::~Console() = default;

void Console::configure(const ConsoleOptions& options) {
  impl_->terminal->configure(options);
  const Level level = options.verbosity < 0    ? Level::error
                      : options.verbosity == 0 ? Level::info
                                               : Level::debug;
  impl_->terminal_log.set_level(spdlog_level(level));
  impl_->file_log.set_level(spdlog_level(std::min(level, Level::info)));
}

void Console::message(Level level, std::string_view text) {
  const std::string line = labelled(level, text);
  impl_->write_terminal(spdlog_level(level), line);
  impl_->write_file(spdlog_level(level), line);
}

void Console::terminal_message(std::string_view text) {
  impl_->write_terminal(spdlog::level::info, text);
}
void Console::file_message(std::string_view text) {
  impl_->write_file(spdlog::level::info, text);
}

void Console::result(std::string_view text) {
  impl_->terminal->result(harmless(text, out_color()));
}
void Console::verbatim(std::string_view text) {
  impl_->terminal->out_terminal ? impl_->terminal->result(harmless(text, false))
                                : impl_->terminal->result(text);
}
void Console::screen(std::string_view text) {
  impl_->terminal->result("\033[H\033[J" + harmless(text, out_color()));
}

bool Console::enabled(Level level) const {
  return impl_->terminal_log.should_log(spdlog_level(level)) ||
         (impl_->has_file && impl_->file_log.should_log(spdlog_level(level)));
}

void Console::attach_file(const std::string& path) {
  try {
    auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    file->set_pattern("[%Y-%m-%d %H:%M:%S %z] %v");
    impl_->files->set_sinks({std::move(file)});
  } catch (const spdlog::spdlog_ex&) {
    const int error = errno;
    fail(Fault::runtime, "log file: '{}' cannot be opened; got {}", path, std::strerror(error));
  }
  impl_->has_file = true;
}

void Console::detach_file() {
  impl_->has_file = false;
  impl_->files->set_sinks({});
}

bool Console::live() const {
  return impl_->terminal->live;
}
bool Console::color() const {
  return impl_->terminal->color;
}
bool Console::out_color() const {
  return impl_->terminal->out_color;
}
bool Console::unicode() const {
  return impl_->terminal->unicode;
}
bool Console::out_closed() const {
  return impl_->terminal->out_closed;
}
int Console::width() const {
  return impl_->terminal->width();
}
int Console::out_width() const {
  return impl_->terminal->out_width();
}
void Console::push(StatusLine* line) {
  impl_->terminal->push(line);
}
void Console::remove(StatusLine* line) {
  impl_->terminal->remove(line);
}
void Console::redraw() {
  impl_->terminal->redraw();
}

Console& console() {
  // Never destroyed: objects that end after main may still report.
  static Console& process_console = *new Console;
  return process_console;
}

}  // namespace qkv
