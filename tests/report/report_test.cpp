#include "report/report.h"

#include <cmath>

#include "cli/process.h"
#include "log/read_metrics.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "tensor/linalg.h"
#include "train/captures.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

namespace fs = std::filesystem;

const std::string kHostile =
    "she said </script><script>alert(1)</script> <!-- \u2028 & \"quotes\" near the [bank]";

// A trained run whose validation data has a sentence that is hostile to HTML.
struct Run {
  explicit Run(const std::vector<std::string>& sets = {}) {
    data.encoder();
    write_file_atomic(data.folder / "val.tsv", "river\t" + kHostile + "\n" + sentences(12, 1));
    std::vector<std::string> arguments{"train", "small.toml",           "--set", "expect.accuracy_min=0.1",
                                       "--set", "expect.loss_max=0.001"};
    for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
    const Finished result = run_qkv(arguments, {data.folder.path});
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
  }
  std::string path() const { return data.folder / "runs/small"; }
  SmallData data;
};

const Json& entry(const Json& list, const char* key, const std::string& value) {
  for (const Json& one : list)
    if (one.at(key) == value) return one;
  FAIL("no entry " << value);
  return list[0];
}

}  // namespace

TEST_CASE("the numbers of a report are those of the run's files") {
  const Run run;
  const Json data = report_data({run.path()}), &one = data.at("runs")[0];
  CHECK(one.at("problems") == Json::array());
  CHECK(one.at("name") == "small");
  int lines = 0;
  for (const Record& record : read_metrics(run.path() + "/metrics.jsonl")) {
    if (record.type() != "train" && !(record.type() == "eval" && record.text("split") == "val")) continue;
    const Json& curve = one.at("curves").at("loss").at(record.type() == "train" ? "train" : "val");
    for (std::size_t i = 0; i < curve.at("x").size(); i++)
      if (curve.at("x")[i] == record.step()) {
        CHECK(curve.at("y")[i].get<float>() == static_cast<float>(record.number("loss")));
        lines++;
      }
  }
  CHECK(lines == 12 + 3);
  CHECK(one.at("end").at("reason") == "max_steps");
  CHECK(one.at("norms").at("steps") == Json({4, 8, 12}));
  CHECK(one.at("seconds").size() == 8);

  const Json result = read_json(run.path() + "/result.json"), &evaluation = data.at("evaluation");
  CHECK(evaluation.at("split") == "test");
  CHECK(evaluation.at("confusion") == result.at("test").at("confusion"));
  CHECK(evaluation.at("accuracy").get<double>() ==
        doctest::Approx(result.at("test").at("accuracy").get<double>()));
  CHECK(evaluation.at("wrong") == evaluation.at("mistakes").size());
  const Json& least = entry(one.at("expect"), "metric", "accuracy");
  CHECK(least.at("value") == result.at("test").at("accuracy"));
  CHECK(least.at("met") == true);
  CHECK(entry(one.at("expect"), "metric", "loss").at("met") == false);

  CHECK(entry(one.at("config"), "key", "expect.loss_max").at("origin") == "--set #2");
  CHECK(has(entry(one.at("config"), "key", "train.max_steps").at("origin"), "small.toml:"));
  CHECK(has(entry(one.at("config"), "key", "data.train").at("origin"), "small.toml:"));
  CHECK(entry(one.at("config"), "key", "train.grad_clip_norm").at("origin") == "default");
}

TEST_CASE("a report shows what a resumed run has changed") {
  const Run run;
  REQUIRE(run_qkv({"resume", run.path(), "--set", "train.max_steps=14"}, {run.data.folder.path}).code == 0);
  const Json data = report_data({run.path()}), &one = data.at("runs")[0];
  CHECK(one.at("problems") == Json::array());
  CHECK(entry(one.at("config"), "key", "train.max_steps").at("value") == "14");
  CHECK(entry(one.at("config"), "key", "train.max_steps").at("origin") == "changed by resume");
  CHECK(entry(one.at("config"), "key", "train.grad_clip_norm").at("origin") == "default");
  CHECK(data.at("film").at("steps").back() == 14);
}

TEST_CASE("the film of a report shows the captures, on one basis for all frames") {
  const Run run;
  Problems problems;
  const Json film = film_json(run.path(), problems);
  CHECK(problems.empty());
  CHECK(film.at("steps") == Json({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  CHECK(film.at("matrices").size() == 3);
  CHECK(film.at("matrices")[0].at("frames").size() == 13);
  CHECK(film.at("matrices")[0].at("of") == Json({16, 16}));
  CHECK(film.at("matrices")[0].at("change").at("frames").size() == 13);
  CHECK(film.at("words")[0].at("rows") == film.at("texts")[0].at("words").size());
  CHECK(film.at("words")[0].at("columns") == 3 * 16);
  CHECK(film.at("words")[0].at("frames").size() == 13);
  CHECK(film.at("attention")[0][0].at("heads") == 2);
  CHECK(film.at("points").at("vectors").at("frames").size() == 13);
  const CaptureIndex index = read_capture_index(run.path());
  for (const NamedTensor& named : read_safetensors(index.file(index.captures.back())))
    if (named.name == "points.vectors") {
      const Pca basis = pca(named.tensor, 2);
      CHECK(film.at("points").at("vectors").at("variance")[0].get<float>() ==
            doctest::Approx(basis.variance_ratio.at(0)).epsilon(1e-5));
    }
}

TEST_CASE("a report holds the model as long as there is room, else says why not") {
  const Run run;
  Experiment e = load_experiment(run.path());
  const Json model = model_json(e, 1'000'000);
  CHECK(model.at("classes") == Json({"money", "river"}));
  CHECK(model.at("state").at("target_forms") == Json({"bank"}));
  CHECK(model.at("packed").at("head.weight").at("shape") == Json({2, 16}));
  CHECK(model.at("packed").at("head.weight").at("bits") == 20);
  for (const Json& name : model.at("graphs").at("forward").at("tensors"))
    CHECK(model.at("packed").contains(name.get<std::string>()));
  const std::size_t most = dump_json(model).size();
  const Json smaller = model_json(e, most - 1000);  // fewer bits for each weight
  CHECK(smaller.at("packed").at("head.weight").at("bits") < 20);
  CHECK(dump_json(smaller).size() < most);
  CHECK(has(model_json(e, 1'000).at("missing"), "weights take more than"));
}

TEST_CASE("a report shows how the answers to the samples of a run changed") {
  const Run run({"inspect.samples=[\"a boat at the bank\", \"no such word\"]"});
  const Json samples = report_data({run.path()}).at("runs")[0].at("samples");
  REQUIRE(samples.size() == 2);
  CHECK(samples[0].at("text") == "a boat at the bank");
  CHECK(samples[0].at("answers")[0].at("step") == 4);
  CHECK(samples[0].at("last") == 12);
  CHECK(has(samples[0].at("answers")[0].at("answer"), "bank = "));
  CHECK(samples[1].at("answers").size() == 1);  // it stayed
  CHECK(has(samples[1].at("answers")[0].at("answer"), "must hold one target word"));
}

TEST_CASE("no text of a run can leave the element that holds the data") {
  const Run run({"inspect.sentences=[" + Json(kHostile).dump() + "]"});
  const Json data = report_data({run.path()});
  CHECK(has(dump_json(data.at("film")), "</script><script>alert(1)"));  // it is shown
  const std::string page = report_page(data), plain = report_page(Json{{"runs", Json::array()}});
  for (const char* mark : {"</script", "<script", "<!--", "\u2028"})
    CHECK(count(page, mark) == count(plain, mark));
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const std::size_t begin = page.find(open) + open.size();
  CHECK(parse_json(page.substr(begin, page.find("</script>", begin) - begin), "page") == data);
  for (const char* remote : {"http://", "https://", "src=", "@import", "fetch(", "XMLHttpRequest"})
    CHECK(count(page, remote) == (std::string(remote) == "http://" ? 1 : 0));  // the name space of SVG
}

TEST_CASE("a damaged or half-written run still gives a report that says what is missing") {
  const Run run;
  std::vector<std::string> files;
  for (auto& file : fs::recursive_directory_iterator(run.path()))
    if (file.is_regular_file() && file.path().filename() != ".lock" &&
        file.path().filename() != "train.log" && file.path().filename() != "config.toml" &&
        file.path().filename() != "optimizer.safetensors")
      files.push_back(file.path().string());
  std::sort(files.begin(), files.end());
  const std::string best = fs::weakly_canonical(run.path() + "/checkpoints/best").string();
  int told = 0;
  for (const std::string& file : files) {
    CAPTURE(file);
    const std::string bytes = read_file(file);
    for (int damage = 0; damage < 3; damage++) {
      if (damage == 0) fs::remove(file);
      if (damage == 1) write_file_atomic(file, bytes.substr(0, bytes.size() / 2));
      if (damage == 2) write_file_atomic(file, "{\"\\u0000\": [\x01\xff");
      const Json data = report_data({run.path()});
      CHECK(report_page(data).size() > 10'000);
      told += !data.at("runs")[0].at("problems").empty();
      if (starts_with(file, best) && ends_with(file, "model.safetensors")) {
        CHECK(data.at("evaluation") == nullptr);
        CHECK(data.at("model").contains("missing"));
      }
    }
    write_file_atomic(file, bytes);
  }
  CHECK(told > 30);
  CHECK(report_data({run.path()}).at("runs")[0].at("problems") == Json::array());

  const TemporaryFolder empty;
  const Json nothing = report_data({empty.path});
  CHECK(nothing.at("runs")[0].at("problems").size() >= 4);
  CHECK(nothing.at("film") == nullptr);
  CHECK_THROWS_AS(report_data({empty / "none"}), Error);
}

TEST_CASE("qkv report writes one file, also for several runs") {
  const Run run;
  const ProcessOptions here{run.data.folder.path};
  REQUIRE(run_qkv({"train", "small.toml", "--set", "run.name=other"}, here).code == 0);
  const Finished one = run_qkv({"report", "runs/small"}, here);
  CHECK(one.code == 0);
  CHECK(one.err == "");
  CHECK(has(one.out, "runs/small/report.html"));
  CHECK(run_qkv({"verify", "runs/small"}, here).code == 0);
  const Finished both = run_qkv({"report", "runs/small", "runs/other", "-o", "both.html"}, here);
  CHECK(both.code == 0);
  CHECK(exists(run.data.folder / "both.html"));
  const Finished printed = run_qkv({"report", "runs/small", "-o", "-"}, here);
  CHECK(printed.code == 0);
  CHECK(printed.out == read_file(run.data.folder / "runs/small/report.html"));
  CHECK_FALSE(exists(run.data.folder / "-"));
  const Json data = parse_json(run_qkv({"report", "runs/small", "runs/other", "--json"}, here).out, "report");
  CHECK(data.at("runs").size() == 2);
  CHECK(dump_json(data).find(run.data.folder.path) == std::string::npos);
  CHECK(without_folders("x=/home/me/data/bank.toml:2:3, \"/a/b\" 1 / n a/b/c/d") ==
        "x=../bank.toml:2:3, \"../b\" 1 / n a/b/c/d");
  check_refused(run_qkv({"report", "runs/none"}, here), 3, "it does not exist");
  check_refused(run_qkv({"report", "runs/small", "-o", "none/report.html"}, here), 1, "none/report.html");
}

}  // namespace qkv::test
