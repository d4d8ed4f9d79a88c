// Inspections: what `qkv inspect RUN WHAT` shows of the inside of a model. One source and one line each.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cli/answers.h"
#include "inspect/asked.h"
#include "inspect/look.h"
#include "log/charts.h"

namespace qkv {

/// One kind of look inside. `setup` adds options and an example to its sub-command; errors are thrown.
struct Inspection {
  using Factory = std::unique_ptr<Inspection>();
  virtual ~Inspection() = default;
  virtual void setup(Options& options) = 0;
  virtual void run(const Subject& subject) = 0;
  /// False where it can do without anything to look at: its `run` then checks what is given.
  virtual bool needs_subject() const { return true; }

  /// True where --svg is given: `run` then adds pictures.
  bool draws() const { return !svg.empty(); }
  std::string svg;
  std::vector<Svg> pictures;
};

QKV_DECLARE_REGISTRY(Inspection);

/// The layers and heads that the command line chooses: all unless it says which.
struct HeadChoice {
  /// Options --layer and --head.
  void add(Options& options);
  std::vector<AttentionLook> layers(const Look& look) const;
  std::vector<Index> heads(const AttentionLook& layer) const;

  int layer = -1, head = -1;
};

/// The texts that the command line gives, else examples.
struct TextChoice {
  /// Argument text and option --examples.
  void add(Options& options);
  std::vector<ProbeText> of(const Experiment& e) const { return texts_or_examples(e, texts, examples); }

  std::vector<std::string> texts;
  Index examples = 50;
};

/// A question about one text, as the command line asks it.
struct AskChoice {
  /// Argument text unless the verb has its own, and options --reply, --word and with 1 --answer, with 2 also
  /// --against.
  void add(Options& options, int answers, bool one_text = true);
  static std::string answer_of(const Asked& asked);
  static Json json_of(const Asked& asked);

  std::string text;
  AskOptions options;
};

/// Objects as the rows of a matrix, with columns as those of table_text; the first has the names of the rows.
MatrixChart matrix_of(const std::string& title, const Json& rows, const std::string& columns);
/// Four significant digits: 0.6, -1.204.
std::string number(double value);
/// "[0.25, -1.5, 3, ...]": at most `most` numbers.
std::string numbers(const std::vector<double>& values, std::size_t most = 8);
/// What was computed in f32, with the digits of f32.
Json json_number32(double value);
Json json_numbers(const std::vector<double>& values);

}  // namespace qkv
