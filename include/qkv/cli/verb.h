// Verb: a word of the command line, and its options.
#pragma once
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "qkv/base/registry.h"

namespace qkv {

/// An option ("--steps", "-o,--output") or argument ("run") of a verb.
struct Option {
  /// Where values go, as they were typed. A bool is a flag; a list of texts takes one value each time it is
  /// given, as an argument all that there are; in a list of lists, each time gives a list of at least two.
  using Target = std::variant<bool*, int*, std::int64_t*, std::uint64_t*, double*, std::string*,
                              std::vector<std::string>*, std::vector<std::vector<std::string>>*>;

  std::string names;
  Target target;
  std::string help;
  bool required = false;
  bool shows_default = false;                                  ///< in --help
  std::optional<std::pair<std::int64_t, std::int64_t>> range;  ///< of a number
  std::vector<std::string> choices;                            ///< of a text
  std::vector<std::string> excludes, needs;                    ///< names of other options
  std::string alone;   ///< the value of an option after which none stands; "": one must
  std::string label;   ///< what --help calls the value; "": its type
  int most = 0;        ///< values of a list at once; 0: as said above
  bool given = false;  ///< by the user
};

/// The options and verbs of a program, or of one of its verbs.
struct Options {
  Options(std::string verb, std::string text, Options* above = nullptr);
  Options(const Options&) = delete;  // options point into it
  Options& operator=(const Options&) = delete;

  /// The option, to set more of its fields: `add("config", &file, "config file").required = true`.
  Option& add(std::string names, Option::Target target, std::string help);
  /// A verb that follows this one; one of them must.
  Options& add_verb(const std::string& verb, const std::string& text);

  std::string name, help;
  std::string example;  ///< a runnable one, for --help
  Options* parent;
  std::list<Option> options;  ///< the first is --help
  std::list<Options> verbs;
  bool chosen = false;  ///< by the user
};

/// One verb of `qkv VERB ...`. `setup` adds its options; `run` is called when the user chose it.
struct Verb {
  using Factory = std::unique_ptr<Verb>();
  virtual ~Verb() = default;
  virtual void setup(Options& options) = 0;
  /// The exit code. Errors are thrown.
  virtual int run() = 0;
  /// A runnable example for --help.
  virtual std::string example() const = 0;
  /// The whole command line, for env.json.
  std::vector<std::string> command;
};

QKV_DECLARE_REGISTRY(Verb);

/// The program: parses the command line, runs a verb, maps errors to exit codes. Users' own executables call
/// it from main, with their layers and tasks registered.
int run(int argc, char** argv);

}  // namespace qkv
