// qkv merge: a run with adapters becomes one without.
#include <filesystem>

#include "cli/process.h"
#include "qkv/base/json.h"
#include "train/small_run.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

// Runs `base`, and `tuned` with adapters on it, below `folder`.
struct MergePlace {
  MergePlace() {
    train({"run.name=base"});
    train({"run.name=tuned", "run.seed=9", "train.init_from=base", "train.init_except=['head.*']",
           "train.lora.rank=2", "train.lora.targets=['*.W_*', 'embed.weight']", "optimizer.lr=3e-2"});
  }
  Finished run(const std::vector<std::string>& arguments) const {
    ProcessOptions options;
    options.folder = data.folder / "";
    return run_qkv(arguments, options);
  }
  void train(std::vector<std::string> sets) const {
    std::vector<std::string> arguments{"train", data.encoder(), "-q", "--set", "run.out_dir=."};
    for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
    const Finished result = run(arguments);
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
  }
  SmallData data;
};

}  // namespace

TEST_CASE("merge: the merged run answers as the tuned one, without its base") {
  const MergePlace place;
  const std::string folder = place.data.folder / "";
  const Finished merged = place.run({"merge", "tuned", "--out", "deep/merged"});
  CAPTURE(merged.err);
  REQUIRE(merged.code == 0);
  CHECK(has(merged.out, "deep/merged  ("));
  const std::vector<std::string> predict{"predict", "tuned", "they saw the [bank] with water", "--json"};
  const std::string before = place.run(predict).out;
  CHECK(has(before, "river"));
  CHECK(place.run({"config", "show", "deep/merged"}).code == 0);

  fs::remove_all(folder + "base"), fs::rename(folder + "tuned", folder + "gone");
  for (const char* run : {"gone", "deep/merged"}) {
    std::vector<std::string> now = predict;
    now[1] = run;
    const Finished answer = place.run(now);
    CHECK((answer.out == before) == (std::string(run) == "deep/merged"));
    CHECK(answer.code == (answer.out == before ? 0 : 3));
  }
  CHECK(place.run({"verify", "deep/merged"}).code == 0);
  CHECK(has(place.run({"verify", "gone"}).err, "is missing"));
  CHECK(place.run({"eval", "deep/merged"}).code == 0);
  CHECK(place.run({"log", "deep/merged"}).code == 0);
  CHECK(place.run({"report", "deep/merged"}).code == 0);
  // All of it can be trained further.
  const Finished further = place.run({"resume", "deep/merged", "--set", "train.max_steps=20", "-q"});
  CAPTURE(further.err);
  CHECK(further.code == 0);
  CHECK(fs::exists(folder + "deep/merged/checkpoints/step-000020"));
}

TEST_CASE("merge: the default name, the last checkpoint, and what is refused") {
  const MergePlace place;
  const std::string folder = place.data.folder / "";
  REQUIRE(place.run({"merge", "tuned/", "--checkpoint", "step-000008"}).code == 0);
  CHECK(fs::exists(folder + "tuned-merged/checkpoints/step-000008"));
  CHECK(place.run({"verify", "tuned-merged"}).code == 0);
  const auto refused = [&](const std::vector<std::string>& arguments, int code, const std::string& rule) {
    const Finished result = place.run(arguments);
    CHECK(result.code == code);
    CHECK(has(result.err, rule));
  };
  refused({"merge", "tuned"}, 2, "tuned-merged must not exist yet");
  refused({"merge", "base"}, 2, "base must be trained with [train.lora]; got a run without adapters");
  refused({"merge", "nowhere"}, 3, "nowhere: must be a run directory; it does not exist");
  fs::remove_all(folder + "base");
  refused({"merge", "tuned", "--out", "x"}, 3, "model.safetensors is missing");
  CHECK_FALSE(fs::exists(folder + "x"));
}

TEST_CASE("check and config show state the trained parameters and the adapters") {
  const MergePlace place;
  const std::string config = "tuned/config.resolved.toml";
  const Json check = parse_json(place.run({"check", config, "--json"}).out, "check");
  CHECK(check.at("adapters") == 5);
  const Finished text = place.run({"check", config}), shown = place.run({"config", "show", "tuned"});
  const std::string trained = " of them trained in 5 adapters";
  CHECK(has(text.out, trained));
  CHECK(has(shown.out, trained));
  const Json keys = parse_json(place.run({"config", "show", "tuned", "--json"}).out, "show");
  CHECK(keys.at("parameters").at("trained") == check.at("trained_parameters"));
  // Rank 2 of four matrices [16, 16] and of the words, and the head [2, 16] with its bias.
  const std::int64_t words = check.at("trained_parameters").get<std::int64_t>() - 4 * 2 * 32 - 34;
  CHECK(words % 2 == 0);
  CHECK(words / 2 > 16);
}

}  // namespace qkv::test
