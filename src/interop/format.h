// Export: a trained model in a format of the world outside. One table of formats.
#pragma once
#include <string>
#include <vector>

#include "qkv/train/experiment.h"

namespace qkv {

struct ExportFormat {
  const char *name, *help;
  /// Writes the files of a model, but for its tokenizer, into an existing, empty folder. A model that the
  /// format cannot say is a usage error that names the feature.
  void (*write)(const Experiment& e, const std::string& folder);
};

/// One line per format. To add one: declare its function below, define it in a file of its own, and add its
/// line to the table in format.cpp.
const std::vector<ExportFormat>& export_formats();
std::vector<std::string> export_format_names();

/// Writes `e` into the folder `out`, which must not exist or be empty: into a folder beside it that is
/// renamed, so that an error leaves nothing behind.
void export_model(const Experiment& e, const std::string& format, const std::string& out);

void write_hf(const Experiment& e, const std::string& folder);
void write_parameters(const Experiment& e, const std::string& folder);

}  // namespace qkv
