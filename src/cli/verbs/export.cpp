// The verbs import and export: models of other toolkits in, models for them out.
#include <filesystem>

#include "base/file.h"
#include "cli/answers.h"
#include "interop/format.h"
#include "interop/import.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

struct Export : Verb {
  void setup(Options& options) override {
    options.add("run", &subject.path, "run directory or checkpoint").required = true;
    Option& formats = options.add("--format", &format, "format of what is written");
    formats.required = true;
    formats.choices = export_format_names();
    options.add("--out", &out, "new folder; default: RUN-FORMAT, in the working directory");
    subject.add(options, "print one JSON object");
  }

  int run() override {
    const Experiment e = subject.load();
    std::error_code error;
    if (out.empty()) out = fs::canonical(subject.path, error).filename().string() + "-" + format;
    export_model(e, format, out);
    const std::vector<std::string> files = files_below(out);
    subject.print({{"out", out}, {"format", format}, {"files", files}},
                  fmt::format("{}: {}\n", out, join(files, ", ")));
    return 0;
  }
  std::string example() const override { return "qkv export runs/stories --format safetensors"; }

  Subject subject;
  std::string format, out;
};

struct Import : Verb {
  void setup(Options& options) override {
    options.add("folder", &folder, "folder with config.json, model.safetensors and tokenizer.json").required =
        true;
    options.add("--out", &out, "run directory to make; default: runs/NAME, of the folder's name");
    options.add("--json", &json, "print one JSON object");
  }

  int run() override {
    const Imported made = import_folder(folder, out, command);
    for (const std::string& note : made.notes) console().warn("{}", note);
    print_answer(json, {{"run", made.run}, {"architecture", made.architecture}},
                 fmt::format("{}: {}\n", made.run, made.architecture));
    return 0;
  }
  std::string example() const override { return "qkv import gpt2 --out runs/gpt2"; }

  std::string folder, out;
  bool json = false;
};

QKV_REGISTER(Verb, "import", Import, "make a run directory of a model of Hugging Face");
QKV_REGISTER(Verb, "export", Export, "write a trained model in a format of other programs");

}  // namespace
}  // namespace qkv
