#include "report/report.h"

#include "base/file.h"
#include "cli/answers.h"

namespace qkv {
namespace {

struct Report : Verb {
  void setup(Options& options) override {
    options.add("run", &runs, "run directories; curves of all, details of the first").required = true;
    options.add("-o,--output", &output,
                "file to write, - for standard output; report.html in the first run directory");
    options.add("--svg", &svg, "write each picture to a file of this folder, too");
    options.add("--json", &json, "print the data of the page instead");
  }
  int run() override {
    const Json data = report_data(runs);
    if (!svg.empty()) {
      make_directories(svg);
      for (auto& [name, picture] : report_pictures(data))  // a metric may have any name
        write_file_atomic(svg + "/" + replace_all(name, "/", "-") + ".svg", picture.str());
    }
    if (json) {
      print_json(data);
      return 0;
    }
    const std::string file = output.empty() ? runs[0] + "/report.html" : output;
    const std::string page = report_page(data);
    if (file != "-") write_file_atomic(file, page);
    for (const Json& one : data.at("runs"))
      for (const Json& problem : one.at("problems")) console().warn("{}", problem.get<std::string>());
    if (file == "-")
      console().verbatim(page);
    else
      console().print("{}  ({:.1f} MB)\n", file, static_cast<double>(page.size()) / 1e6);
    return 0;
  }
  std::string example() const override { return "qkv report runs/bank"; }

  std::vector<std::string> runs;
  std::string output, svg;
  bool json = false;
};

QKV_REGISTER(Verb, "report", Report, "write an HTML page about runs, in one file that works offline");

}  // namespace
}  // namespace qkv
