// Verb: a word of the command line.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "qkv/base/registry.h"

namespace CLI {
class App;
}

namespace qkv {

/// One verb of `qkv VERB ...`. `setup` adds options to its sub-command; `run` is called when the user chose
/// it.
struct Verb {
  using Factory = std::unique_ptr<Verb>();
  virtual ~Verb() = default;
  virtual void setup(CLI::App& app) = 0;
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
