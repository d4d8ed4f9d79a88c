// Groups of parameters and averages of weights, as the program shows and resumes them.
#include "cli/process.h"
#include "qkv/base/json.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

struct GroupPlace {
  GroupPlace() {
    write_file_atomic(data.folder / "muon.toml",
                      "extends = \"small.toml\"\n[train]\nema_decay = 0.9\n"
                      "freeze = [\"*.W_V\"]\n[[optimizer.groups]]\n"
                      "match = [\"layers.*\"]\nndim = 2\ntype = \"muon\"\n");
    data.encoder();
  }
  Finished run(std::vector<std::string> arguments, const std::vector<std::string>& sets = {}) const {
    for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
    ProcessOptions options;
    options.folder = data.folder / "";
    return run_qkv(arguments, options);
  }
  SmallData data;
};

}  // namespace

TEST_CASE("config show prints which optimizer changes each parameter") {
  const GroupPlace place;
  const Finished text = place.run({"config", "show", "muon.toml"});
  CAPTURE(text.err);
  for (const char* line : {"\n[[optimizer.groups]]\n", "\n# embed.weight: adamw, lr 0.01\n",
                           "\n# layers.0.attn.W_Q: muon, lr 0.02\n", "\n# layers.0.attn.W_V: frozen\n",
                           "\n# layers.0.attn.b_Q: adamw, lr 0.01\n"})
    CHECK_MESSAGE(has(text.out, line), line);
  const Json all = parse_json(place.run({"config", "show", "muon.toml", "--json"}).out, "show");
  CHECK(all.at("optimizer.groups[0].type").at("value") == "muon");
  std::int64_t muon = 0, frozen = 0;
  for (const Json& one : all.at("assignments")) {
    muon += one.at("type") == "muon" && one.at("lr") == 0.02;
    frozen += one.at("frozen").get<bool>();
  }
  CHECK(muon == 6);  // W_Q, W_K, W_V, W_O and the two matrices of the feed-forward layer
  CHECK(frozen == 1);
  CHECK_FALSE(has(place.run({"config", "show", "small.toml"}).out, "adamw, lr"));
  // What is shown reads back to the same.
  write_file_atomic(place.data.folder / "shown.toml", text.out);
  const Finished diff = place.run({"config", "diff", "muon.toml", "shown.toml"});
  CAPTURE(diff.out);
  CHECK(diff.code == 0);
}

TEST_CASE("check reports what is wrong with groups, with other problems and their lines") {
  const GroupPlace place;
  const auto refused = [&](const std::vector<std::string>& sets, const std::string& rule) {
    const Finished result = place.run({"check", "muon.toml"}, sets);
    CHECK(result.code == 2);
    CHECK_MESSAGE(has(result.err, rule), result.err);
  };
  refused({"optimizer.groups.0.match=[\"layer.*\"]"},
          "--set #1: optimizer.groups[0].match must match parameters; got 'layer.*', which matches none");
  refused({"optimizer.groups.0.ndim=0"},
          "muon.toml:8:8: optimizer.groups[0].type must fit all parameters that it "
          "changes; got 'layers.0.");
  refused({"optimizer.groups.0.betas=[0.9]", "model.dropuot=1"},
          "--set #1: unknown key 'optimizer.groups[0].betas'");
  refused({"optimizer.groups.0.type=mouon"}, "(did you mean 'muon'?)");
  refused({"optimizer.groups.0.type=sparse-sgd"}, "must not be \"sparse-sgd\"");
  refused({"optimizer.type=sparse-sgd"}, "optimizer.groups must be left out with optimizer \"sparse-sgd\"");
}

TEST_CASE("a run with groups and an average trains, resumes, and refuses what its checkpoints do not fit") {
  const GroupPlace place;
  const Finished trained = place.run({"train", "muon.toml", "-q"});
  CAPTURE(trained.err);
  REQUIRE(trained.code == 0);
  CHECK(place.run({"verify", "runs/muon"}).code == 0);
  const auto refused = [&](const std::string& set, const std::string& rule) {
    const Finished result = place.run({"resume", "runs/muon"}, {set});
    CHECK(result.code == 2);
    CHECK_MESSAGE(has(result.err, rule), result.err);
  };
  refused("train.ema_decay=0.0", "resume: train.ema_decay must stay 0, or above 0; got 0.0 (was 0.9)");
  refused("optimizer.groups.0.type=lion", "got optimizer.groups[0].type = \"lion\" (was \"muon\")");
  refused("optimizer.groups.0.match=[\"layers.0.attn.*\"]", "optimizer.groups[0].match = ");
  const Finished longer = place.run(
      {"resume", "runs/muon"}, {"train.max_steps=16", "optimizer.groups.0.lr=0.01", "train.ema_decay=0.8"});
  CAPTURE(longer.err);
  CHECK(longer.code == 0);
  CHECK(has(longer.err, "optimizer.groups[0].lr = 0.01 (was 0.02)"));
  CHECK(has(longer.err, "schedule: it ends at step 16 instead of 12; the rate of step 12 becomes"));
}

TEST_CASE("a run that is extended says what happens to its schedule") {
  const GroupPlace place;
  const auto said = [&](const std::string& type, std::int64_t first) {
    const std::vector<std::string> sets{"run.name=" + type, "schedule.type=" + type,
                                        fmt::format("train.max_steps={}", first)};
    CHECK(place.run({"train", "small.toml", "-q"}, sets).code == 0);
    return place.run({"resume", "runs/" + type}, {"train.max_steps=24"}).err;
  };
  CHECK(has(said("wsd", 12),
            "schedule: it ends at step 24 instead of 12; the rate of step 12 becomes 0.01, and was 0"));
  CHECK(has(said("constant", 12),
            "schedule: it goes on as it was; its rates do not depend on the end of the run"));
  CHECK(has(said("cosine-restarts", 12), "schedule: it goes on as it was"));
}

}  // namespace qkv::test
