// qkv average: a run whose weights are the mean of several checkpoints.
#include <filesystem>

#include "cli/process.h"
#include "qkv/base/json.h"
#include "train/checkpoint.h"
#include "train/small_run.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

struct AveragePlace {
  Finished run(std::vector<std::string> arguments, const std::vector<std::string>& sets = {}) const {
    for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
    ProcessOptions options;
    options.folder = data.folder / "";
    return run_qkv(arguments, options);
  }
  void train(const std::string& name, std::vector<std::string> sets = {}) const {
    sets.insert(sets.end(), {"run.out_dir=.", "run.name=" + name});
    const Finished result = run({"train", data.encoder(), "-q"}, sets);
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
  }
  void refused(const std::vector<std::string>& arguments, int code, const std::string& rule) const {
    const Finished result = run(arguments);
    CHECK(result.code == code);
    CHECK_MESSAGE(has(result.err, rule), result.err);
  }
  std::string folder() const { return data.folder / ""; }
  SmallData data;
};

// Whether the weights of a run are the mean of those of the checkpoints, summed here in long double.
void check_mean(const std::string& run, const std::vector<std::string>& folders) {
  const std::vector<NamedTensor> mean = read_checkpoint(find_checkpoint(run, "best")).weights;
  CHECK(mean.size() > 10);
  for (const NamedTensor& one : mean) {
    CAPTURE(one.name);
    std::vector<long double> sum(static_cast<std::size_t>(one.tensor.size()));
    for (const std::string& folder : folders) {
      const Tensor value = tensor_named(one.name, read_checkpoint(folder).weights);
      for (std::size_t i = 0; i < sum.size(); i++) sum[i] += static_cast<long double>(value.at(Index(i)));
    }
    for (std::size_t i = 0; i < sum.size(); i++)
      REQUIRE(one.tensor.at(Index(i)) ==
              static_cast<float>(sum[i] / static_cast<long double>(folders.size())));
  }
}

}  // namespace

TEST_CASE("average: the mean of the last checkpoints of a run is a run that every verb reads") {
  const AveragePlace place;
  place.train("one");
  const Finished made = place.run({"average", "one/", "--last", "3"});
  CAPTURE(made.err);
  REQUIRE(made.code == 0);
  CHECK(has(made.out, "one-average  (the mean of 3 checkpoints)"));
  const std::string steps = place.folder() + "one/checkpoints/step-0000";
  check_mean(place.folder() + "one-average", {steps + "04", steps + "08", steps + "12"});
  fs::rename(place.folder() + "one", place.folder() + "gone");  // it needs nothing else
  for (const std::vector<std::string>& verb :
       std::vector<std::vector<std::string>>{{"verify", "one-average"},
                                             {"eval", "one-average"},
                                             {"predict", "one-average", "they saw the [bank] with water"},
                                             {"report", "one-average"},
                                             {"config", "show", "one-average"},
                                             {"check", "one-average/config.toml"},
                                             {"export", "one-average", "--format", "safetensors"},
                                             {"train", place.data.encoder(), "-q", "--set",
                                              "train.init_from=one-average", "--set", "run.name=next"}}) {
    CAPTURE(verb[0]);
    const Finished result = place.run(verb);
    CAPTURE(result.err);
    CHECK(result.code == 0);
  }
  place.refused({"resume", "one-average"}, 2, "must hold the state of an optimizer to go on; got none");
}

TEST_CASE("average: the best checkpoints of several runs, also of averages of weights") {
  const AveragePlace place;
  place.train("a"), place.train("b", {"run.seed=8", "optimizer.lr=5e-3"}),
      place.train("c", {"train.ema_decay=0.9"});
  const Finished made = place.run({"average", "a", "b", "c", "--out", "deep/soup", "--json"});
  CAPTURE(made.err);
  REQUIRE(made.code == 0);
  const Json json = parse_json(made.out, "average");
  const auto folders = json.at("checkpoints").get<std::vector<std::string>>();
  REQUIRE(folders.size() == 3);
  CHECK(has(json.at("run").get<std::string>(), "deep/soup"));
  std::vector<std::string> absolute;
  for (const std::string& folder : folders) absolute.push_back(place.folder() + folder);
  check_mean(place.folder() + "deep/soup", absolute);
  // Of one checkpoint twice, it is the same to the bit.
  REQUIRE(place.run({"average", "a", "a", "--checkpoint", "last", "--out", "twice"}).code == 0);
  check_mean(place.folder() + "twice", {place.folder() + "a/checkpoints/last"});
}

TEST_CASE("average: what is refused leaves nothing") {
  const AveragePlace place;
  place.train("a"), place.train("wide", {"model.d_model=32"});
  place.refused({"average", "a"}, 2, "average: there must be two checkpoints or more; got one");
  place.refused({"average", "a", "--last", "9"}, 2, "average: a must keep 9 checkpoints; got 3");
  place.refused({"average", "a", "wide"}, 3, "model.safetensors: ");
  place.refused({"average", "a", "nowhere"}, 3, "nowhere: must be a run directory");
  write_file_atomic(place.data.folder / "train.tsv", sentences(44, 0) + "river\ta [bank] of pebbles\n");
  place.train("other", {"data.val=\"\"", "data.val_fraction=0.1"});
  place.refused({"average", "a", "other"}, 2, "must have the vocabulary and classes of a/checkpoints/");
  CHECK_FALSE(fs::exists(place.folder() + "a-average"));
  REQUIRE(place.run({"average", "a", "--last", "2"}).code == 0);
  place.refused({"average", "a", "--last", "2"}, 2, "a-average must not exist yet");
}

TEST_CASE("average: runs with adapters are to be merged first") {
  const AveragePlace place;
  place.train("base");
  place.train("tuned", {"train.init_from=base", "train.lora.rank=2", "train.lora.targets=[\"*.W_Q\"]"});
  place.refused({"average", "tuned", "--last", "2"}, 2,
                "must hold weights as a whole; got adapters (qkv merge");
  CHECK_FALSE(fs::exists(place.folder() + "tuned-average"));
}

}  // namespace qkv::test
