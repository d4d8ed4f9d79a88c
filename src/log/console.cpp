#include "qkv/log/console.h"

#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>

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
  std::string value = environment("LC_ALL");
  if (value.empty()) value = environment("LC_CTYPE");
  value = lower_ascii(value.empty() ? environment("LANG") : value);
  return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
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
    text.remove_prefix(std::size_t(count));
  }
  return 0;
}

// User input may be very long; its beginning and end show what it is about.
std::string shortened(std::string_view text) {
  constexpr std::size_t kLongest = 4000, kBegin = 1200, kEnd = 400;
  std::vector<std::string> lines = split(text, '\n');
  for (std::string& line : lines) {
    if (line.size() <= kLongest) continue;
    std::size_t head = 0, tail = line.size() - kEnd;
    while (head < kBegin) next_code_point(line, head);
    while (tail < line.size() && (line[tail] & 0xC0) == 0x80) tail++;
    line = fmt::format("{} ... ({} bytes) ... {}", line.substr(0, head), tail - head, line.substr(tail));
  }
  return join(lines, "\n");
}

std::string labelled(Level level, std::string_view text) {
  if (level == Level::debug) return styled(Style::dim, fmt::format("debug: {}", text));
  if (level == Level::warn) return styled(Style::yellow, "warning:") + " " + shortened(text);
  if (level == Level::error) return styled(Style::red, "error:") + " " + shortened(text);
  return std::string(text);
}

}  // namespace

// Clears the status line, writes, draws it again: in one write, under one lock.
struct Console::Impl {
  std::mutex mutex;
  ConsoleOptions options;
  bool live = false, color = false, unicode = false, out_terminal = false;
  std::atomic<bool> out_closed{false};
  StatusLine line;
  bool drawn = false;
  std::optional<spdlog::logger> file;  // dates each line and writes it at once
  std::string file_problem;

  std::string clear() { return std::exchange(drawn, false) ? "\r\033[K" : ""; }
  std::string status() {
    if (!live || !line) return {};
    drawn = true;
    const int width = terminal_width(options.err) - 1;
    std::string text = harmless(line(width), color);
    for (char& c : text) c = c == '\n' || c == '\t' ? ' ' : c;
    return "\r" + fit_width(text, width, unicode) + "\033[K";
  }

  Level least() const {
    return options.verbosity < 0 ? Level::error : options.verbosity == 0 ? Level::info : Level::debug;
  }
  // A closed stderr or a full disk must not end a run.
  void to_terminal(Level level, std::string_view text) {
    if (level < least()) return;
    const std::string cleared = clear() + harmless(text, color) + "\n";
    write_all(options.err, cleared + status());
  }
  void to_file(Level level, std::string_view text) {
    if (!file || level < std::min(least(), Level::info)) return;
    for (const std::string& part : split(harmless(text, false), '\n')) file->info(part);
    if (file_problem.empty()) return;
    file.reset();
    to_terminal(Level::warn, labelled(Level::warn, "log file: writing stops; got " + file_problem));
  }
  void result(std::string_view text) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (out_closed) return;
    const bool shared = drawn && isatty(options.out);
    if (shared) write_all(options.err, clear());
    const int error = write_all(options.out, text);
    out_closed = error == EPIPE;
    if (error != 0 && error != EPIPE)
      fail(Fault::runtime, "stdout: cannot be written; got {}", std::strerror(error));
    if (shared) write_all(options.err, status());
  }
};

Console::Console(const ConsoleOptions& options) : impl_(std::make_unique<Impl>()) {
  struct sigaction action {};
  if (sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL)
    std::signal(SIGPIPE, SIG_IGN);
  configure(options);
}

Console::~Console() = default;

void Console::configure(const ConsoleOptions& options) {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  impl_->options = options;
  live_ = impl_->live = isatty(options.err) && takes_escapes() && options.verbosity >= 0;
  color_ = impl_->color = wants_color(options.color, options.err);
  unicode_ = impl_->unicode = options.unicode.value_or(locale_is_utf8());
  out_color_ = wants_color(options.color, options.out);
  impl_->out_terminal = isatty(options.out);
}

void Console::message(Level level, std::string_view text) {
  const std::string line = labelled(level, text);
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  impl_->to_terminal(level, line);
  impl_->to_file(level, line);
}
void Console::terminal_message(std::string_view text) {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  impl_->to_terminal(Level::info, text);
}
void Console::file_message(std::string_view text) {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  impl_->to_file(Level::info, text);
}

void Console::result(std::string_view text) {
  impl_->result(harmless(text, out_color_));
}
void Console::verbatim(std::string_view text) {
  impl_->result(impl_->out_terminal ? harmless(text, false) : std::string(text));
}
void Console::screen(std::string_view text) {
  impl_->result("\033[H\033[J" + harmless(text, out_color_));
}

bool Console::enabled(Level level) const {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  return level >= impl_->least() || (impl_->file && level >= Level::info);
}

void Console::attach_file(const std::string& path) {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  try {
    impl_->file.emplace("file", std::make_shared<spdlog::sinks::basic_file_sink_st>(path));
  } catch (const spdlog::spdlog_ex&) {
    fail(Fault::runtime, "{}: cannot be written; got {}", path, std::strerror(errno));
  }
  impl_->file->set_pattern("[%Y-%m-%d %H:%M:%S %z] %v");
  impl_->file->flush_on(spdlog::level::trace);
  impl_->file_problem.clear();
  impl_->file->set_error_handler([this](const std::string& what) { impl_->file_problem = what; });
}
void Console::detach_file() {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  impl_->file.reset();
}

bool Console::out_closed() const {
  return impl_->out_closed;
}
int Console::width() const {
  return terminal_width(impl_->options.err);
}
int Console::out_width() const {
  return impl_->out_terminal ? terminal_width(impl_->options.out) : 1 << 20;
}

void Console::show(StatusLine line) {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  impl_->line = std::move(line);
  const std::string cleared = impl_->clear();
  write_all(impl_->options.err, cleared + impl_->status());
}
void Console::redraw() {
  const std::lock_guard<std::mutex> lock(impl_->mutex);
  write_all(impl_->options.err, impl_->status());
}

Console& console() {
  // Never destroyed: objects that end after main may still report.
  static Console& process_console = *new Console;
  return process_console;
}

}  // namespace qkv
