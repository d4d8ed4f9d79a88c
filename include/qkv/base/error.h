// Errors: one exception type, one check macro, one wording: "where: rule; got values (hint)".
#pragma once
#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace qkv {

/// What went wrong, as the exit code of the process says (see `qkv --help`).
enum class Fault : int {
  runtime = 1,   ///< I/O, full disk, internal error
  usage = 2,     ///< command line or config
  data = 3,      ///< input data, checkpoint, tokenizer
  diverged = 4,  ///< training produced non-finite values
  memory = 5,    ///< more memory than there is; the exit code is that of `runtime`
};

/// A message in its parts: "where: rule (hint)", without those that are empty.
struct ErrorText {
  std::string where, rule, hint = {};
};

/// The one exception of qkv. `what()` is one clear message without trailing full stop.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string message, Fault fault = Fault::runtime, std::string layer = "")
      : Error(ErrorText{"", std::move(message), ""}, fault, std::move(layer)) {}
  explicit Error(ErrorText text, Fault fault = Fault::runtime, std::string layer = "");
  Fault fault() const { return fault_; }
  /// The message in its parts, where they were given; else `rule` is the whole message.
  const ErrorText& text() const { return text_; }
  /// Path of the layer that ran (see LayerPath), or "".
  const std::string& layer() const { return layer_; }
  int exit_code() const { return fault_ == Fault::memory ? 1 : static_cast<int>(fault_); }

 private:
  ErrorText text_;
  Fault fault_;
  std::string layer_;
};

/// Names the layer that runs on this thread while it lives; errors raised meanwhile end with "(in
/// decoder.0.attn)". The string must outlive the object.
class LayerPath {
 public:
  explicit LayerPath(const std::string& path) : outer_(current()) { current() = &path; }
  ~LayerPath() { current() = outer_; }
  LayerPath(const LayerPath&) = delete;
  LayerPath& operator=(const LayerPath&) = delete;
  static const std::string*& current();

 private:
  const std::string* outer_;
};

/// Throws an `Error` of this message and the current layer path.
[[noreturn]] void raise(Fault fault, ErrorText text);

/// Throws an `Error` with a formatted message and the current layer path.
template <class... Args>
[[noreturn]] void fail(Fault fault, fmt::format_string<Args...> format, Args&&... args) {
  raise(fault, {"", fmt::format(format, std::forward<Args>(args)...), ""});
}

}  // namespace qkv

/// Checks a condition that a user's config, data or code can violate; the message is a fmt format.
#define QKV_CHECK(condition, ...)                                      \
  do {                                                                 \
    if (!(condition)) ::qkv::fail(::qkv::Fault::runtime, __VA_ARGS__); \
  } while (false)
