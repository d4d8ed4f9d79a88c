// Inspections: what `qkv inspect RUN WHAT` shows of the inside of a model. One source and one line each.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "qkv/cli/verb.h"

namespace qkv {

/// What is looked at, and how the answer is given.
struct Subject {
  std::string path;  ///< run directory, checkpoint, config file, or what an inspection says it takes
  std::string checkpoint = "best";
  std::vector<std::string> sets;
  bool json = false;
};

/// One kind of look inside. `setup` adds options to its sub-command, `run` gives the exit code; errors are
/// thrown.
struct Inspection {
  using Factory = std::unique_ptr<Inspection>();
  virtual ~Inspection() = default;
  virtual void setup(Options& options) = 0;
  virtual int run(const Subject& subject) = 0;
  /// False where it can do without anything to look at: its `run` then checks what is given.
  virtual bool needs_subject() const { return true; }
  /// A runnable example for --help.
  virtual std::string example() const = 0;
};

QKV_DECLARE_REGISTRY(Inspection);

}  // namespace qkv
