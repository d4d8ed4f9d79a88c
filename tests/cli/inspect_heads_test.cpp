#include <algorithm>
#include <cmath>
#include <map>

#include "cli/process.h"
#include "inspect/circuits.h"
#include "inspect/look.h"
#include "paths.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

// A run of a shipped config, in a folder of its own.
struct Shipped {
  explicit Shipped(const std::string& config, const std::vector<std::string>& sets = {}) {
    std::vector<std::string> arguments{"train",
                                       source_dir() + "/configs/" + config + ".toml",
                                       "-q",
                                       "--set",
                                       "run.name=run",
                                       "--set",
                                       "inspect.capture=[]"};
    for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
    const Finished result = run_qkv(arguments, {folder.path});
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
  }
  Json json(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"inspect", "runs/run"});
    arguments.emplace_back("--json");
    const Finished result = run_qkv(arguments, {folder.path});
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
    return parse_json(result.out, "inspect");
  }
  std::string text(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"inspect", "runs/run"});
    const Finished result = run_qkv(arguments, {folder.path});
    CHECK(result.code == 0);
    return result.out;
  }
  TemporaryFolder folder;
};

double largest(const Json& heads, const char* score) {
  double most = 0;
  for (const Json& head : heads)
    if (!head.at(score).is_null()) most = std::max(most, head.at(score).get<double>());
  return most;
}

}  // namespace

TEST_CASE("inspect heads finds the induction head of two layers of attention, and none in one layer") {
  const Shipped two("induction-heads"), one("induction-heads", {"model.n_layer=1"});
  const Json heads = two.json({"heads"}).at("heads"), alone = one.json({"heads"}).at("heads");
  CHECK(heads.size() == 8);
  CHECK(largest(heads, "induction") >= 0.8);
  CHECK(largest(heads, "previous") >= 0.4);
  for (const Json& head : heads)
    if (head.at("layer") == "layers.0.attn") CHECK(head.at("induction").get<double>() <= 0.2);
  CHECK(largest(alone, "induction") <= 0.2);
  CHECK(heads[0].at("cue").is_null());
  CHECK(has(two.text({"heads"}), "layers.1.attn 3"));
}

TEST_CASE(
    "inspect faithful: the best method names planted cues, and attention may be believed where it does") {
  const Shipped run("planted-cues");
  const Json verdict = run.json({"faithful"});
  CHECK(verdict.at("cues") == 200);
  double best = 0;
  for (const char* method : {"value zeroing", "ablation", "gradient x input"})
    best = std::max(best, verdict.at("methods").at(method).at("precision_at_1").get<double>());
  CHECK(best >= 0.9);
  CHECK(verdict.at("methods").at("attention").at("precision_at_1").get<double>() >= 0.9);
  CHECK(verdict.at("believed") == true);
  CHECK(verdict.at("methods").at("ablation").at("rank_correlation") == 1.0);
  // The worth of the words is what the verdict is made of.
  int hits = 0;
  for (const Json& text : verdict.at("examples")) {
    const std::vector<double> worth = text.at("worth").at("ablation").get<std::vector<double>>();
    const std::size_t target = text.at("target").get<std::size_t>();
    std::size_t top = target == 0 ? 1 : 0;
    for (std::size_t s = 0; s < worth.size(); s++)
      if (s != target && worth[s] > worth[top]) top = s;
    hits += top == text.at("cue").get<std::size_t>();
  }
  CHECK(verdict.at("methods").at("ablation").at("precision_at_1").get<double>() ==
        doctest::Approx(hits / 200.0));
  CHECK(has(run.text({"faithful"}), "This map can be trusted: attention names the deciding word in"));
  CHECK(largest(run.json({"heads"}).at("heads"), "cue") >= 0.5);

  // Circuits: questions look for cues of their family, and cues speak for their class.
  const Json circuits = run.json({"circuits", "--top", "5"}).at("heads");
  REQUIRE(circuits.size() == 2);
  for (const Json& head : circuits) {
    for (const Json& pair : head.at("ov").at("pairs")) {
      const std::string from = pair.at("from"), to = pair.at("to");
      CHECK(starts_with(from, "cue"));
      CHECK(from.substr(from.size() - 1) == to.substr(to.size() - 1));
    }
    const Json& pair = head.at("qk").at("pairs")[0];
    const std::string from = pair.at("from"), to = pair.at("to");
    CHECK(starts_with(from, "ask"));
    CHECK(starts_with(to, "cue" + from.substr(3) + "."));
    const std::vector<double> singular = head.at("qk").at("singular_values").get<std::vector<double>>();
    CHECK(singular.size() == 32);
    CHECK(std::is_sorted(singular.rbegin(), singular.rend()));
  }
}

TEST_CASE(
    "circuits and explanations of shared layers with value embeddings are those of the parameters in use") {
  SmallData data;
  const std::string config = data.config(
      "[model]\nn_layer = 2\nshare_layers = 2\nd_model = 16\nmax_seq_len = 12\n[model.attention]\n"
      "n_head = 4\nn_kv_head = 2\n[model.ffn]\nd_ff = 16\n");
  const Experiment plain = build_experiment(Section::load(config, {"run.dtype=\"f64\""})),
                   with = build_experiment(
                       Section::load(config, {"run.dtype=\"f64\"", "model.value_embeddings=1"}));
  auto parameter = [&](const char* name) {
    return tensor_named(name, with.parameters->named());
  };
  const Tensor E = parameter("value_embed.0.weight"), W_O = parameter("layers.0.attn.W_O"),
               classes = parameter("head.weight");
  Tensor ab = parameter("value_embed.0.lambdas");
  ab.copy_from(Tensor::from<double>({2}, {0.75, -2.0}));
  CircuitChoice choice;
  choice.pairs = 100'000;
  const auto before = head_circuits(plain, choice), after = head_circuits(with, choice);
  REQUIRE(before.size() == 4);  // heads of one set of parameters
  REQUIRE(after.size() == 4);
  const std::vector<std::string> words = with.task->vocabulary(), labels = with.task->classes();
  auto place = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) - names.begin();
  };
  for (Index h = 0; h < 4; h++) {
    std::map<std::pair<std::string, std::string>, double> old;
    for (const auto& pair : before[std::size_t(h)].ov.pairs) old[{pair.from, pair.to}] = pair.score;
    REQUIRE(after[std::size_t(h)].ov.pairs.size() == old.size());
    for (const auto& pair : after[std::size_t(h)].ov.pairs) {
      const Index from = place(words, pair.from), to = place(labels, pair.to);
      double own = 0;  // E of the key/value head, through the head's columns of W_O, to the class
      for (Index c = 0; c < 16; c++)
        for (Index i = 0; i < 4; i++)
          own += E.at(from * 8 + h / 2 * 4 + i) * W_O.at(c * 16 + h * 4 + i) * classes.at(to * 16 + c);
      CHECK(pair.score == doctest::Approx(0.75 * old.at({pair.from, pair.to}) - 2 * own).epsilon(1e-9));
    }
  }
  const Look look = look_at(with, "they saw the [bank] with cash");
  REQUIRE(look.layers.size() == 2);
  CHECK(look.layers[1].layer == "layers.1.attn");
  for (Index layer : {0, 1}) CHECK(explanation_of(look, 0, layer, 0).learned);
  const Experiment fixed = build_experiment(
      Section::load(config, {"model.attention.qkv=\"identity\"", "model.attention.n_kv_head=0"}));
  CHECK_FALSE(explanation_of(look_at(fixed, "they saw the [bank] with cash"), 0, 1, 0).learned);
}

TEST_CASE("a map of uniform attention must not be believed") {
  const Shipped run("planted-cues", {"train.freeze=[\"*.W_Q\", \"*.b_Q\"]", "model.attention.scale=1e-6"});
  const Json verdict = run.json({"faithful", "--examples", "20"});
  CHECK(verdict.at("believed") == false);
  CHECK(has(run.text({"faithful", "--examples", "20"}), "This map cannot be trusted"));
}

TEST_CASE("inspect heads, circuits and faithful refuse what they cannot show") {
  SmallData data;
  data.config("[model]\ntype = \"static\"\nd_model = 8\n", "static");
  REQUIRE(run_qkv({"train", "static.toml", "-q"}, {data.folder.path}).code == 0);
  data.encoder();
  REQUIRE(run_qkv({"train", "small.toml", "-q"}, {data.folder.path}).code == 0);
  auto refused = [&](const char* run, std::vector<std::string> arguments, const char* part) {
    arguments.insert(arguments.begin(), {"inspect", run});
    check_refused(run_qkv(arguments, {data.folder.path}), 2, part);
  };
  refused("runs/static", {"heads"}, "must have self-attention");
  refused("runs/static", {"faithful"}, "must have self-attention");
  refused("runs/static", {"circuits"}, "must learn W_Q, W_K, W_V");
  refused("runs/small", {"circuits", "--layer", "1"},
          "--layer must count attention layers, from 0 to 0 (layers.0.attn); got 1");
  refused("runs/small", {"circuits", "--head", "2"}, "--head must be in [0, 1]; got 2");
  refused("runs/small", {"faithful", "a bank \xff"}, "must be UTF-8");
  CHECK(run_qkv({"inspect", "runs/small", "circuits"}, {data.folder.path}).code == 0);
  CHECK(run_qkv({"inspect", "runs/small", "faithful"}, {data.folder.path}).code == 0);
}

}  // namespace qkv::test
