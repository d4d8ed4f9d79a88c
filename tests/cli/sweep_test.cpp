#include <chrono>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "cli/kill_points.h"
#include "count.h"
#include "log/run_log.h"
#include "qkv/base/json.h"
#include "qkv/base/random.h"
#include "qkv/base/text.h"

namespace qkv::test {
namespace {

Finished sweep(const SmallData& data, const std::vector<std::string>& rest) {
  std::vector<std::string> arguments{"sweep", "small.toml", "-q"};
  arguments.insert(arguments.end(), rest.begin(), rest.end());
  return run_qkv(arguments, {data.folder.path});
}

double number(const Json& json, const char* pointer) {
  return json.at(Json::json_pointer(pointer)).get<double>();
}

int finished_runs(const std::string& folder) {
  int n = 0;
  for (const std::string& run : entries_of(folder)) n += exists(folder + "/" + run + "/result.json");
  return n;
}

// The same weights, moments and scores.
void check_same_training(const std::string& a, const std::string& b) {
  for (const char* file : {"checkpoints/last/model.safetensors", "checkpoints/last/optimizer.safetensors",
                           "checkpoints/best/model.safetensors", "result.json"}) {
    CAPTURE(file);
    CHECK(checksum_file(a + "/" + file) == checksum_file(b + "/" + file));
  }
}

}  // namespace

TEST_CASE("a sweep trains every combination, and its best.toml trains as it stands, with the same result") {
  SmallData data;
  data.encoder();
  const Finished done =
      sweep(data, {"--grid", "optimizer.lr", "0.0001", "0.01", "0.001", "--grid", "model.n_layer", "1", "2",
                   "--set", "data.train=train.tsv", "--unset", "schedule.warmup_steps"});
  CAPTURE(done.err);
  REQUIRE(done.code == 0);
  const std::string folder = data.folder / "runs/small-sweep";
  const Json summary = read_json(folder + "/summary.json");
  REQUIRE(summary.at("scores").size() == 6);
  CHECK(summary.at("metric") == "loss");
  // Its numbers are those of the runs, and the rows of the table are in their order.
  std::vector<std::pair<double, std::string>> expected;
  for (auto& [name, score] : summary.at("scores").items()) {
    const Json result = read_json(folder + "/" + name + "/result.json");
    CHECK(number(score, "/mean") == number(result, "/val/loss"));
    CHECK(number(summary, ("/values/" + name + "/loss").c_str()) == number(result, "/test/loss"));
    expected.emplace_back(number(result, "/val/loss"), fmt::format("{:.4f}", number(result, "/test/loss")));
  }
  std::sort(expected.begin(), expected.end());
  const std::vector<std::string> lines = split(done.out, '\n');
  REQUIRE(lines.size() == 2 + expected.size() + 1);
  CHECK(has(lines[0], "val loss"));
  for (std::size_t i = 0; i < expected.size(); i++) {
    CHECK(has(lines[2 + i], fmt::format("{:.4f}", expected[i].first)));
    CHECK(has(lines[2 + i], expected[i].second));
  }
  const std::string best = summary.at("best");
  CHECK(number(summary, ("/scores/" + best + "/mean").c_str()) == expected[0].first);
  const Finished trained = run_qkv({"train", "runs/small-sweep/best.toml", "-q"}, {data.folder.path});
  CAPTURE(trained.err);
  REQUIRE(trained.code == 0);
  check_same_training(data.folder / "runs/best", folder + "/" + best);
  for (const char* picture : {"parallel.svg", "heatmap.svg"}) {
    const std::string svg = read_file(folder + "/" + picture);
    CHECK(starts_with(svg, "<svg "));
    for (const char* text : {"optimizer.lr", "model.n_layer", "0.0001", "val loss"}) CHECK(has(svg, text));
  }
}

TEST_CASE("a sweep over seeds reports their mean and deviation, however many runs there are at a time") {
  SmallData data;
  data.encoder();
  const std::vector<std::string> command = {"--grid", "optimizer.lr", "0.01", "0.001", "--seeds",
                                            "3",      "--json"};
  const auto with = [&](const char* jobs, const std::string& name) {
    std::vector<std::string> all = command;
    all.insert(all.end(), {"--jobs", jobs, "--set", "run.name=" + name});
    return parse_json(sweep(data, all).out, "sweep");
  };
  const Json one = with("1", "one"), two = with("2", "two");
  CHECK(one == two);
  double mean = 0, squares = 0;
  for (int seed : {7, 8, 9}) {
    const std::string run = data.folder / fmt::format("runs/two-sweep/0.01-3seeds/seed-{}", seed);
    mean += number(read_json(run + "/result.json"), "/val/loss") / 3;
  }
  for (const Json& value : two.at("scores").at("0.01").at("values"))
    squares += (value.get<double>() - mean) * (value.get<double>() - mean);
  CHECK(number(two.at("scores").at("0.01"), "/mean") == doctest::Approx(mean));
  CHECK(number(two.at("scores").at("0.01"), "/sd") == doctest::Approx(std::sqrt(squares / 2)));
  const Json own = read_json(data.folder / "runs/two-sweep/0.01-3seeds/summary.json");
  CHECK(number(two.at("values").at("0.01"), "/loss") == number(own, "/metrics/loss/mean"));
}

TEST_CASE("a sweep of nine runs, killed again and again, ends with the files of an undisturbed one") {
  const std::vector<std::string> command = {
      "sweep",        "small.toml", "--jobs", "2",     "--set",  "checkpoint.keep_last=1", "--grid",
      "optimizer.lr", "0.02",       "0.01",   "0.005", "--grid", "model.dropout",          "0",
      "0.1",          "0.2"};
  SmallData whole, killed;
  for (const SmallData* data : {&whole, &killed}) data->encoder();
  REQUIRE(run_qkv(command, {whole.folder.path}).code == 0);
  Stream random(1, "kills");
  int kills = 0;
  for (int n = 0; n < 9; n++) {  // when n runs are finished, and a moment later
    Process process(command, {killed.folder.path});
    while (process.running() && finished_runs(killed.folder / "runs/small-sweep") < n)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(random.below(60)));
    process.send(n % 3 == 2 ? SIGTERM : SIGKILL);
    const int code = process.wait().code;
    CHECK((code == 0 || code == 143 || code == -SIGKILL || code == -SIGTERM));  // the last before it trains
    kills += code != 0;
  }
  CHECK(kills > 0);
  const Finished last = run_qkv(command, {killed.folder.path});
  CAPTURE(last.err);
  REQUIRE(last.code == 0);
  CHECK(finished_runs(killed.folder / "runs/small-sweep") == 9);
  CHECK(difference(tree_of(whole.folder.path), tree_of(killed.folder.path)) == "");
  counted("sweeps killed", "went on where they were", kills);
}

TEST_CASE("successive halving gives up the worse settings early, and the last one is trained as without it") {
  SmallData data;
  data.encoder();
  const std::vector<std::string> command = {"--grid", "optimizer.lr", "0.00001", "0.01",
                                            "0.0001", "0.001",        "--set",   "train.max_steps=16"};
  std::vector<std::string> halving = command;
  halving.insert(halving.end(), {"--halving", "2"});
  const Finished done = sweep(data, halving);
  CAPTURE(done.err);
  REQUIRE(done.code == 0);
  const std::string folder = data.folder / "runs/small-sweep";
  const Json summary = read_json(folder + "/summary.json");
  std::vector<std::int64_t> steps;
  for (auto& [name, reached] : summary.at("steps").items()) steps.push_back(reached);
  std::sort(steps.begin(), steps.end());
  CHECK(steps == std::vector<std::int64_t>{4, 4, 8, 16});
  const std::string best = summary.at("best");
  CHECK(summary.at("steps").at(best) == 16);
  CHECK(summary.at("values").size() == 1);
  CHECK(finished_runs(folder) == 1);
  // Those that were given up are the worse ones at that step, by their own logs.
  double kept = 0, lost = INFINITY;
  for (auto& [name, reached] : summary.at("steps").items()) {
    const Curve curve = read_run_log(folder + "/" + name).curve("loss", "val");
    REQUIRE(curve.x[0] == 4);
    (reached == 4 ? lost : kept) = reached == 4 ? std::min(lost, curve.y[0]) : std::max(kept, curve.y[0]);
  }
  CHECK(kept <= lost);
  REQUIRE(
      run_qkv({"train", "small.toml", "-q", "--set", "train.max_steps=16", "--set", "optimizer.lr=" + best},
              {data.folder.path})
          .code == 0);
  check_same_training(data.folder / "runs/small", folder + "/" + best);
  // The same command changes nothing; without halving, all are trained to their end.
  const std::string before = read_file(folder + "/summary.json");
  CHECK(sweep(data, halving).out == done.out);
  CHECK(read_file(folder + "/summary.json") == before);
  CHECK(sweep(data, command).code == 0);
  CHECK(finished_runs(folder) == 4);
}

TEST_CASE("a setting that diverges is the worst of a sweep, and the others are trained") {
  SmallData data;
  data.encoder();
  const std::vector<std::string> command = {"--grid", "optimizer.lr", "1e30",
                                            "0.1",    "--set",        "optimizer.type=sgd"};
  const Finished done = sweep(data, command);
  CHECK(done.code == 0);
  CHECK(has(done.out, "diverged"));
  const std::string folder = data.folder / "runs/small-sweep";
  const Json summary = read_json(folder + "/summary.json");
  CHECK(summary.at("best") == "0.1");
  CHECK_FALSE(summary.at("values").contains("1e30"));
  CHECK(has(read_file(folder + "/best.toml"), "optimizer.lr = 0.1\n"));
  CHECK(sweep(data, command).out == done.out);
  CHECK(run_qkv({"train", "small.toml", "-q", "--set", "optimizer.type=sgd", "--each", "optimizer.lr", "1e30",
                 "0.1"},
                {data.folder.path})
            .code == 4);
  CHECK(exists(data.folder / "runs/small-each/0.1/result.json"));
}

TEST_CASE("random values follow from the seed, lie in their range, and of more the first are the same") {
  SmallData data;
  data.encoder();
  const auto values = [&](const char* n) {
    const Finished done = sweep(data, {"--random", n, "optimizer.lr", "1e-4:1e-2:log", "model.ffn.d_ff",
                                       "4:9", "--set", "train.max_steps=4", "--json"});
    CAPTURE(done.err);
    REQUIRE(done.code == 0);
    return parse_json(done.out, "sweep").at("settings");
  };
  const Json four = values("4"), six = values("6");
  REQUIRE(six.size() == 6);
  for (auto& [name, setting] : six.items()) {
    const double lr = std::stod(setting[0].get<std::string>()),
                 width = std::stod(setting[1].get<std::string>());
    CHECK(lr >= 1e-4);
    CHECK(lr <= 1e-2);
    CHECK(width == std::floor(width));
    CHECK(width >= 4);
    CHECK(width <= 9);
  }
  REQUIRE(four.size() == 4);
  for (auto& [name, setting] : four.items()) CHECK(six.at(name) == setting);
}

TEST_CASE("a sweep refuses wrong keys, values and ranges before anything is trained") {
  SmallData data;
  data.encoder();
  const std::vector<std::pair<std::vector<std::string>, const char*>> wrong = {
      {{}, "--grid or --random must be given"},
      {{"--grid", "model.n_layer"}, "--grid"},
      {{"--grid", "model.n_layer", "1", "none"}, "n_layer"},
      {{"--grid", "model.n_lyer", "1", "2"}, "did you mean 'n_layer'?"},
      {{"--grid", "model.n_layer", "1", "--grid", "model.n_layer", "2"}, "a key must be given once"},
      {{"--grid", "optimizer.lr", "0.1", "0.1"}, "values must differ"},
      {{"--grid", "eval.metric", "loss", "accuracy"}, "must be the same in all settings"},
      {{"--random", "3", "optimizer.lr"}, "must be N KEY RANGE"},
      {{"--random", "no", "optimizer.lr", "1:2"}, "must be N KEY RANGE"},
      {{"--random", "3", "optimizer.lr", "0.1"}, "must have a range LOW:HIGH"},
      {{"--random", "3", "optimizer.lr", "0.2:0.1"}, "must have a range LOW:HIGH"},
      {{"--random", "3", "optimizer.lr", "0.0:0.1:log"}, "must have a range LOW:HIGH"},
      {{"--random", "3", "optimizer.lr", "0.1:0.2:exp"}, "must have a range LOW:HIGH"},
      {{"--random", "3", "model.n_layer", "1:2"}, "must hold 3 different settings; got 2"},
      {{"--random", "2", "model.dropout", "1.5:2.5"}, "dropout"},
      {{"--random", "2", "optimizer.lr", "0.1:0.2", "--grid", "optimizer.lr", "1"},
       "a key must be given once"},
      {{"--grid", "optimizer.lr", "0.1", "0.2", "--halving", "4", "--set", "eval.every=6"}, "eval.every = 6"},
      {{"--grid", "optimizer.lr", "0.1", "--unset", "data.val", "--set", "data.val_fraction=0"},
       "validation data"}};
  for (auto& [arguments, text] : wrong) {
    CAPTURE(text);
    check_refused(sweep(data, arguments), 2, text);
  }
  CHECK_FALSE(exists(data.folder / "runs"));
}

TEST_CASE("lr-range trains at rising rates, and finds where the loss falls and diverges") {
  SmallData data;
  data.encoder();
  const Finished done = run_qkv({"lr-range", "small.toml", "--from", "1e-5", "--to", "100", "--steps", "70",
                                 "--svg", "rates.svg", "--json"},
                                {data.folder.path});
  CAPTURE(done.err);
  REQUIRE(done.code == 0);
  const Json found = parse_json(done.out, "lr-range");
  const auto rates = found.at("rates").get<std::vector<double>>(),
             means = found.at("means").get<std::vector<double>>(),
             losses = found.at("losses").get<std::vector<double>>();
  REQUIRE(rates.size() == losses.size());
  CHECK(rates[0] == doctest::Approx(1e-5));
  CHECK(rates[2] / rates[1] == doctest::Approx(std::pow(1e7, 1.0 / 69)));
  // The first loss is that of the first step of any run; the means follow their definition.
  REQUIRE(run_qkv({"train", "small.toml", "-q"}, {data.folder.path}).code == 0);
  const RunLog log = read_run_log(data.folder / "runs/small");
  CHECK(losses[0] == doctest::Approx(log.train[0].number("loss")).epsilon(1e-6));
  double sum = 0, weight = 0;
  for (std::size_t i = 0; i < losses.size(); i++) {
    sum = 0.95 * sum + losses[i], weight = 0.95 * weight + 1;
    CHECK(means[i] == doctest::Approx(sum / weight));
  }
  // It diverges after the lowest mean, where half of the gain is lost.
  const auto lowest = std::min_element(means.begin(), means.end());
  const double half = (means[0] + *lowest) / 2, diverges = number(found, "/diverges");
  for (std::size_t i = 0; i < means.size(); i++)
    if (i >= static_cast<std::size_t>(lowest - means.begin()) && rates[i] < diverges) CHECK(means[i] <= half);
  CHECK(number(found, "/suggested") <= number(found, "/steepest"));
  CHECK(number(found, "/suggested") <= diverges / 10);
  CHECK(has(read_file(data.folder / "rates.svg"), "suggested"));
  CHECK_FALSE(exists(data.folder / "runs/small-sweep"));
  for (const auto& range : {std::pair{"0", "1"}, {"1", "1"}, {"2", "1"}})
    check_refused(
        run_qkv({"lr-range", "small.toml", "--from", range.first, "--to", range.second}, {data.folder.path}),
        2, "--from must be above 0 and below --to");
}

}  // namespace qkv::test
