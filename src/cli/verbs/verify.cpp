#include "train/verify.h"

#include "qkv/base/json.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"

namespace qkv {
namespace {

struct Verify : Verb {
  void setup(Options& options) override {
    options.add("path", &paths, "run directories, checkpoints or .safetensors files").required = true;
    options.add("--json", &json, "print one JSON object per path");
  }
  int run() override {
    bool whole = true;
    for (const std::string& path : paths) {
      const VerifyReport report = verify(path);
      whole = whole && report.problems.empty();
      if (json) {
        console().print("{}\n", dump_json({{"path", path},
                                           {"ok", report.problems.empty()},
                                           {"files", report.checked},
                                           {"problems", report.problems}}));
        continue;
      }
      for (const std::string& problem : report.problems) console().error("{}", problem);
      if (report.problems.empty()) console().print("{}: whole ({} files)\n", path, report.checked.size());
    }
    return whole ? 0 : static_cast<int>(Fault::data);
  }
  std::string example() const override { return "qkv verify runs/bank"; }

  std::vector<std::string> paths;
  bool json = false;
};

QKV_REGISTER(Verb, "verify", Verify, "look for damage in a run directory, a checkpoint or a file of weights");

}  // namespace
}  // namespace qkv
