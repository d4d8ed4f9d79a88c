// The terminal: messages, results and a status line that share one lock, so that none tears another.
#pragma once
#include <fmt/core.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace qkv {

/// How important a message is.
enum class Level { debug, info, warn, error };
/// When output is coloured.
enum class ColorChoice { automatic, always, never };

/// What is shown, and how.
struct ConsoleOptions {
  int verbosity = 0;  ///< -1: errors only (-q), 0: normal, 1: debug messages too (-v)
  ColorChoice color = ColorChoice::automatic;
  std::optional<bool> unicode = {};  ///< default: what the locale's variables say
  int out = 1;                       ///< descriptor of results
  int err = 2;                       ///< descriptor of messages and the status line
};

/// What a console draws in the last line of a terminal: the text for so many columns; the console cuts what
/// is longer. Called with the console locked.
using StatusLine = std::function<std::string(int width)>;

/// Messages to stderr and train.log, results to stdout. All members may be called from any thread, except
/// that `configure` comes before other threads start. Colour codes (see `styled`) are taken out where colour
/// is off; other control characters are shown as '?' in all of them, also in a file or pipe, where somebody
/// may look at them later; only `verbatim` keeps them. Of errors and warnings, lines of many thousand
/// characters are shortened. Constructing one ignores SIGPIPE where nothing else was chosen: a closed pipe
/// must not end a training run.
class Console {
 public:
  explicit Console(const ConsoleOptions& options = {});
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void configure(const ConsoleOptions& options);

  template <class... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::debug)) message(Level::debug, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::info)) message(Level::info, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::warn)) message(Level::warn, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    message(Level::error, fmt::format(format, std::forward<Args>(args)...));
  }
  /// A result for stdout; no newline is added. A closed pipe is not an error (see `out_closed`); a full disk
  /// is.
  template <class... Args>
  void print(fmt::format_string<Args...> format, Args&&... args) {
    result(fmt::format(format, std::forward<Args>(args)...));
  }

  /// Text of one or more lines at a level; "warning: " and "error: " are put in front.
  void message(Level level, std::string_view text);
  /// Level info, for one of the two outputs only.
  void terminal_message(std::string_view text);
  void file_message(std::string_view text);
  void result(std::string_view text);
  /// A text that a model has made, for stdout: byte for byte, unless that is a terminal.
  void verbatim(std::string_view text);
  /// The same place of a terminal's screen, again and again: clears it first.
  void screen(std::string_view text);
  /// True if such a message would be seen on the terminal or in the file.
  bool enabled(Level level) const;

  /// Copies messages of level info and up (debug with -v; also with -q) to a file, each line with date and
  /// time. Appends. If the disk fills up later, one warning is given and the file is let go.
  void attach_file(const std::string& path);
  void detach_file();

  /// Messages go to a terminal that can redraw a line.
  bool live() const { return live_; }
  bool color() const { return color_; }
  bool out_color() const { return out_color_; }
  bool unicode() const { return unicode_; }
  /// True once the reader of stdout is gone: long listings may stop.
  bool out_closed() const;
  /// Columns of the terminal now; 80 where unknown.
  int width() const;
  /// Columns for results: those of the terminal on stdout; in a file or pipe, which are for programs, no
  /// limit.
  int out_width() const;

  /// Draws this line from now on, or none (nullptr). Without a live terminal nothing is drawn.
  void show(StatusLine line);
  void redraw();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  bool live_ = false, color_ = false, unicode_ = false, out_color_ = false;
};

/// The console of this process on stdout and stderr.
Console& console();

}  // namespace qkv
