#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "cli/process.h"
#include "log/xml.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

constexpr const char* kSentence = "we went to the <old> & \"grey\" bank";

// A two-layer run, with captures; its name is hostile to XML.
struct PicturesRun {
  PicturesRun() {
    data.config(
        "[model]\nn_layer = 2\nd_model = 16\nmax_seq_len = 12\n[model.attention]\nn_head = 2\n"
        "[model.ffn]\nd_ff = 16\n");
    for (const std::string& one : {name, std::string("second")})
      REQUIRE(run({"train", "small.toml", "--set", "run.name=" + one, "--set",
                   "run.seed=" + std::to_string(one.size()), "--set",
                   "inspect.capture=[\"attention\",\"qkv\"]", "--set", "inspect.every=5"})
                  .code == 0);
  }
  Finished run(const std::vector<std::string>& arguments) const {
    return run_qkv(arguments, {data.folder.path});
  }
  // The picture that a command writes.
  std::string picture(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--svg", "picture.svg"});
    const Finished done = run(arguments);
    CAPTURE(join(arguments, " "));
    CAPTURE(done.err);
    REQUIRE(done.code == 0);
    const std::string svg = read_file(data.folder / "picture.svg");
    CHECK(xml_fault(svg) == "");
    return svg;
  }
  const std::string name = "a&<b>";
  SmallData data;
};

}  // namespace

TEST_CASE("every picture of log and inspect is written as SVG, with the numbers of --json") {
  const PicturesRun all;
  const std::string run = "runs/" + all.name;
  const std::string curves = all.picture({"log", run, "--metric", "loss", "--metric", "grad_norm"});
  for (const char* part : {"a&amp;&lt;b&gt;", ">loss</text>", ">gradient norm</text>", ">train</text>",
                           ">val</text>", ">step</text>"})
    CHECK_MESSAGE(count(curves, part) > 0, part);
  CHECK(count(all.picture({"log", run, "runs/second"}), ">second val</text>") == 2);

  const std::string maps =
      all.picture({"inspect", run, "attention", kSentence, "--layer", "1", "--head", "0"});
  const Json json = parse_json(
      all.run({"inspect", run, "attention", kSentence, "--layer", "1", "--head", "0", "--json"}).out,
      "attention");
  const Json& weights = json.at("layers")[0].at("heads")[0].at("weights");
  const std::size_t bank = json.at("target");
  CHECK(count(maps, fmt::format("we, went: {:.4f}</title>", weights[0][1].get<double>())) == 1);
  CHECK(count(maps, fmt::format("bank, to: {:.4f}</title>", weights[bank][2].get<double>())) == 1);
  CHECK(count(all.picture({"inspect", run, "attention", kSentence}), ", head ") == 4);

  CHECK(count(all.picture({"inspect", run, "explain", kSentence}), "attention: ") > 0);
  CHECK(count(all.picture({"inspect", run, "qkv", kSentence}), ": values</text>") == 1);
  CHECK(count(all.picture({"inspect", run, "heads"}), ">induction</text>") == 1);
  CHECK(count(all.picture({"inspect", run, "circuits", "--words", "20"}), "OV: ") == 4);
  CHECK(count(all.picture({"inspect", run, "faithful"}), ">gradient x input</text>") == 1);
  CHECK(count(all.picture({"inspect", run, "vectors", "bank", "the bank", "a bank today", "her bank"}),
              "<circle") == 3);
  CHECK(count(all.picture({"inspect", run, "neighbors", "bank", "the", "-k", "3"}), "nearest to ") == 2);
  CHECK(count(all.picture({"inspect", run, "analogy", "bank", "the", "cash"}), ">cosine</text>") == 1);
  CHECK(count(all.picture({"inspect", "explain", "--example"}), "0.6000") == 1);

  check_refused(all.run({"inspect", run, "neighbors", "--save", "vectors.txt", "--svg", "nothing.svg"}), 2,
                "must have something to draw");
  CHECK_FALSE(exists(all.data.folder / "nothing.svg"));
}

TEST_CASE("report writes each picture of the page as a file, of one run and of several") {
  const PicturesRun all;
  const std::string run = "runs/" + all.name, folder = all.data.folder / "pictures";
  REQUIRE(all.run({"report", run, "runs/second", "--svg", "pictures"}).code == 0);
  const std::vector<std::string> names = entries_of(folder);
  for (const char* name : {"comparison", "confusion", "curve-loss", "norms-weight", "norms-gradient", "time",
                           "weights", "attention-1"})
    CHECK_MESSAGE(std::count(names.begin(), names.end(), std::string(name) + ".svg") == 1, name);
  for (const std::string& name : names) {
    CAPTURE(name);
    CHECK(xml_fault(read_file(folder + "/" + name)) == "");
  }
  const Json data = parse_json(all.run({"report", run, "--json"}).out, "report");
  double examples = 0;
  for (const Json& row : data.at("evaluation").at("confusion"))
    for (const Json& cell : row) examples += cell.get<double>();
  double drawn = 0;  // the counts that are written into the cells
  const std::string confusion = read_file(folder + "/confusion.svg");
  for (std::size_t at = 0; (at = confusion.find("</title></rect>", at)) != std::string::npos; at++)
    drawn += std::stod(confusion.substr(confusion.rfind(": ", at) + 2));
  CHECK(drawn == examples);
}

}  // namespace qkv::test
