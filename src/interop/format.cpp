#include "interop/format.h"

#include <filesystem>

#include "base/at.h"
#include "base/file.h"
#include "interop/graph.h"
#include "interop/onnx.h"
#include "qkv/base/text.h"
#include "qkv/tensor/safetensors.h"

namespace fs = std::filesystem;

namespace qkv {

const std::vector<ExportFormat>& export_formats() {
  static const std::vector<ExportFormat> formats{
      {"hf", "a folder that Hugging Face transformers load", write_hf},
      {"safetensors", "the parameters under their names here, and the tokenizer", write_parameters},
      {"onnx", "ONNX files (opset 17) of the model, and of a step of its generation", write_onnx},
      {"graph", "the ops of the model in the graph format of qkv (docs/graph-format.md)", write_graph},
  };
  return formats;
}

std::vector<std::string> export_format_names() {
  return mapped(export_formats(), [](const ExportFormat& one) { return std::string(one.name); });
}

void write_parameters(const Experiment& e, const std::string& folder) {
  write_safetensors(folder + "/model.safetensors", e.parameters->named());
}

void export_model(const Experiment& e, const std::string& format, const std::string& given) {
  std::string out = given;
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  const ExportFormat* chosen = nullptr;
  for (const ExportFormat& one : export_formats())
    if (one.name == format) chosen = &one;
  if (!chosen)
    fail(Fault::usage, "export: --format must be one of {}; got {}{}", join(export_format_names(), ", "),
         in_quotes(format), suggest(format, export_format_names()));
  std::error_code error;
  if (exists(out) && !(is_directory(out) && fs::is_empty(out, error)))
    fail(Fault::usage, "export: --out must name a new folder or an empty one; got {}", out);
  const fs::path target(out);
  const std::string parent = target.parent_path().string();
  if (!parent.empty()) make_directories(parent);
  const std::string fresh = (target.parent_path() / ("." + target.filename().string() + ".tmp")).string();
  fs::remove_all(fresh, error);
  try {
    make_directories(fresh);
    chosen->write(e, fresh);
    if (const Tokenizer* tokenizer = e.task->tokenizer()) tokenizer->save(fresh + "/tokenizer.json");
    fsync_dir(fresh);
    fs::rename(fresh, out);  // an empty folder is replaced
  } catch (const fs::filesystem_error& e) {
    fs::remove_all(fresh, error);
    fail(Fault::runtime, "{}: cannot be written; got {}", out, e.code().message());
  } catch (...) {
    fs::remove_all(fresh, error);
    throw;
  }
}

}  // namespace qkv
