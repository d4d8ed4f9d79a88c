// lens, attribute, patch, probe and rollout on small models with random weights: what holds for any weights.
#include <doctest/doctest.h>

#include <cmath>

#include "inspect/attribute.h"
#include "inspect/inside.h"
#include "inspect/patch.h"
#include "inspect/probe.h"
#include "nn/layer_check.h"
#include "qkv/base/text.h"
#include "tensors.h"
#include "train/small_run.h"

using namespace qkv;
using namespace qkv::test;

namespace {

const std::string kCues =
    "schema = 1\n[run]\ndtype = \"f64\"\n[train]\nmax_steps = 1\n[data]\nn_class = 3\nfamilies = 2\nfillers "
    "= 10\nmin_length = 4\n"
    "max_length = 8\nexamples = 300\neval_examples = 100\n[task]\ntype = \"planted-cues\"\n[model]\n"
    "max_seq_len = 16\nd_model = 8\n";
const std::string kSymbols =
    "schema = 1\n[run]\ndtype = \"f64\"\n[train]\nmax_steps = 1\n[data]\nn_symbols = 8\nlength = "
    "12\nmax_period = 6\n[task]\ntype = \"induction\"\n"
    "[model]\nmax_seq_len = 12\nd_model = 8\n";
const std::string kPairs =
    "schema = 1\n[run]\ndtype = \"f64\"\n[train]\nmax_steps = 1\n[data]\nsource = \"reverse\"\nvocab_size = "
    "12\nmax_length = 6\n"
    "examples = 100\neval_examples = 20\n[task]\ntype = \"translation\"\n[model]\nmax_seq_len = 12\n"
    "d_model = 8\ntype = \"encoder-decoder\"\nn_layer = 2\nattention.n_head = 2\n";
const std::string kTwo = "n_layer = 2\nattention.n_head = 2\nffn.d_ff = 12\n";

struct Case {
  std::string config, text;
  AskOptions options = {};
};
std::vector<Case> cases() {
  return {{kCues + kTwo, "ask1 cue1.2 w3 w4 cue0.1"},
          {kCues + kTwo + "readout = \"target+mean\"\nnorm.type = \"rmsnorm\"\n", "ask1 cue1.2 w3 w4 cue0.1"},
          {kSymbols + "type = \"decoder-lm\"\nposition.type = \"rope\"\n" + kTwo, "s0 s1 s2 s3 s0 s1"},
          {kPairs, "a b c d", {"d c", "", "", ""}}};
}

Experiment made(const std::string& config) {
  Experiment e = build_experiment(Section::parse(config));
  for (NamedTensor& own : e.parameters->named())  // norms and biases, too
    own.tensor.copy_from(normal(own.tensor.shape(), own.tensor.dtype(), 3, 0.5));
  return e;
}

double whole(const std::vector<double>& row) {
  double sum = 0;
  for (double v : row) sum += v;
  return sum;
}

}  // namespace

TEST_CASE("lens: the last point of the residual stream gives the logits of the model") {
  std::vector<Case> all = cases();
  all.push_back({kCues + kTwo + "norm.place = \"post\"\n", "ask1 cue1.2 w3"});
  all.push_back({kCues + "type = \"lstm\"\nn_layer = 2\n", "ask1 cue1.2 w3"});
  all.push_back({kCues + "[[model.layers]]\ntype = \"attention\"\nresidual = true\n", "ask1 cue1.2 w3"});
  for (const Case& c : all) {
    CAPTURE(c.config);
    const Experiment e = made(c.config);
    const Asked asked = ask(e, "inspect lens", c.text, c.options);
    const std::vector<LensPoint> points = lens(e, asked);
    REQUIRE(points.size() >= 2);
    CHECK(distance(points.back().logits, asked.logits) < 1e-12);
    CHECK(distance(points.front().logits, asked.logits) > 1e-4);
  }
}

TEST_CASE("attribute: the parts of every head, sub-layer and bias add up to the logit") {
  for (const Case& c : cases()) {
    CAPTURE(c.config);
    const Experiment e = made(c.config);
    Asked asked = ask(e, "inspect attribute", c.text, c.options);
    for (const Index against : {Index{-1}, Index{1}}) {
      asked.against = against;
      const DirectAttribution direct = direct_attribution(e, asked);
      CHECK(direct.sum() == doctest::Approx(asked.score()).epsilon(1e-9));
      const bool pairs = !c.options.reply.empty();
      CHECK(direct.parts.size() == (pairs ? 1 + 2 * 7 : 1 + 2 * 4));  // two heads and a bias per attention
      const IntegratedGradients worth = integrated_gradients(e, asked, 64);
      CHECK(worth.error() < 0.01);
      CHECK(worth.words.size() == asked.text.words.size());
      CHECK(worth.source.size() == asked.text.source.size());
    }
  }
}

TEST_CASE("patch: a changed word restores all of the other answer at the input, at its position alone") {
  for (const Case& c : cases()) {
    CAPTURE(c.config);
    const Experiment e = made(c.config);
    const bool pairs = !c.options.reply.empty(), cues = has(c.config, "planted");
    const std::string other = cues ? "ask1 cue1.0 w3 w4 cue0.1" : pairs ? "a c c d" : "s0 s3 s2 s3 s0 s1";
    AskOptions options = c.options;
    const Asked own = ask(e, "inspect patch", c.text, options);
    options.answer = own.answers[1], options.against = own.answers[0];
    const PatchEffects p = patch(e, c.text, other, options, options);
    CHECK(p.before != p.after);
    const std::string input = pairs ? "encoder.layers.0.in" : "layers.0.in";
    bool seen = false;
    for (std::size_t i = 0; i < p.points.size(); i++) {
      if (p.points[i] != input) continue;
      seen = true;
      for (std::size_t t = 0; t < p.at_points[i].size(); t++)
        CHECK(p.at_points[i][t] == doctest::Approx(t == 1 ? 1 : 0).epsilon(1e-9));
    }
    CHECK(seen);
    REQUIRE(p.heads.size() == (pairs ? 12 : 4));
    // What a head of the last layer gives has only one way to go.
    const std::vector<PathEffect> paths = path_effects(e, p);
    double most = 0;
    for (std::size_t s = 0; s < p.heads.size(); s++) {
      CHECK(paths[s].receiver.empty());
      const bool last = p.heads[s].layer == p.heads.back().layer;
      if (last) CHECK(paths[s].effect == doctest::Approx(p.heads[s].all).epsilon(1e-9));
      most = std::max(most, std::abs(p.heads[s].all));
    }
    CHECK(most > 1e-6);
    for (const PathEffect& path : paths)
      if (!path.receiver.empty()) CHECK(path.receiver != path.sender);
    CHECK(paths.size() == (pairs ? 12 + 3 * 2 * 2 * 15 : 4 + 3 * 2 * 2));
  }
}

TEST_CASE("patch: words of texts of unequal length stand for each other at the beginning and at the end") {
  const std::vector<std::string> a{"a", "b", "c", "d"}, b{"a", "x", "y", "c", "d"};
  CHECK(aligned(a, b) == Alignment{{0, 0}, {2, 3}, {3, 4}});
  CHECK(aligned(b, a) == Alignment{{0, 0}, {3, 2}, {4, 3}});
  CHECK(aligned({"a", "b"}, {"c", "d"}) == Alignment{{0, 0}, {1, 1}});
  CHECK(aligned({"a", "a"}, {"a", "a", "a"}) == Alignment{{0, 0}, {1, 1}});
  CHECK(aligned({"a"}, {"b", "c"}).empty());
}

TEST_CASE(
    "rollout: rows add up to 1, and one head of one layer holds half of itself and half of its weights") {
  for (const Case& c : cases()) {
    const Experiment e = made(c.config);
    const ProbeText text = ask(e, "inspect rollout", c.text, c.options).text;
    const std::vector<RolloutLayer> layers = rollout(e, text);
    REQUIRE(layers.size() == (text.source.empty() ? 2 : 6));
    for (const RolloutLayer& layer : layers)
      for (Index t = 0; t < layer.held.dim(0); t++)
        CHECK(whole(layer.held.rows(t, 1).to_vector()) == doctest::Approx(1));
    if (!text.source.empty())
      CHECK(layers.back().held.dim(1) == Index(text.source.size() + text.words.size()));
  }
  const Experiment e = made(kCues + "n_layer = 1\nattention.n_head = 1\n");
  const ProbeText text = ask(e, "inspect rollout", "ask1 cue1.2 w3", {}).text;
  const Tensor weights = activations_of(e, text, {"weights"})[0].second, held = rollout(e, text)[0].held;
  for (Index i = 0; i < 9; i++)
    CHECK(held.at(i) == doctest::Approx(0.5 * weights.at(i) + (i % 4 == 0 ? 0.5 : 0)));
}

TEST_CASE("probe: learns what is linear in the vectors, and no more of random classes than of chance") {
  const Index n = 200, d = 6;
  const Tensor x = normal({n, d}, Dtype::f64, 1), test = normal({n, d}, Dtype::f64, 2);
  std::vector<int> y, test_y, random, test_random;
  for (Index i = 0; i < n; i++) {
    y.push_back(x.at(i * d) > 0), test_y.push_back(test.at(i * d) > 0);
    random.push_back(x.at(i * d) * x.at(i * d + 1) > 0),
        test_random.push_back(test.at(i * d) * test.at(i * d + 1) > 0);
  }
  CHECK(probe_score(x, y, test, test_y, 2).accuracy > 0.95);
  CHECK(probe_score(x, random, test, test_random, 2).accuracy < 0.65);
  // More dimensions than words, and no positions: any property of a word is linear.
  Experiment e =
      made(replace_all(kCues, "d_model = 8", "d_model = 24") + kTwo + "position.type = \"none\"\n");
  ProbeOptions options;
  options.rows = 300;
  options.offset = 0;
  const Probe words = probe(e, options);
  REQUIRE(words.points.size() == 5);
  CHECK(words.points[0].task.accuracy > 0.9);  // the input is the word
  options.offset.reset();
  CHECK(probe(e, options).classes == 3);
}

TEST_CASE("what has no meaning for a model is refused by name") {
  auto refused = [](const std::string& config, const std::string& text, auto&& question) {
    const Experiment e = made(config);
    return message([&] { question(e, ask(e, "inspect", text, {})); });
  };
  auto by_lens = [](const Experiment& e, const Asked& asked) {
    lens(e, asked);
  };
  auto by_parts = [](const Experiment& e, const Asked& asked) {
    direct_attribution(e, asked);
  };
  auto by_rollout = [](const Experiment& e, const Asked& asked) {
    rollout(e, asked.text);
  };
  const std::string text = "ask1 cue1.2 w3";
  CHECK(refused(kCues + "type = \"bag-of-words\"\n", text, by_lens) ==
        "inspect lens: the model must have layers; got a 'bag-of-words' without");
  CHECK(refused(kCues + "type = \"lstm\"\n", text, by_rollout) ==
        "inspect rollout: the model must have self-attention; got a 'lstm' without");
  CHECK(has(refused(kCues + "type = \"lstm\"\n", text, by_parts),
            "inspect attribute: the model must have layers with a residual stream; got a 'lstm'"));
  CHECK(has(refused(kCues + kTwo + "norm.place = \"post\"\n", text, by_parts),
            "each layer must add to the residual stream"));
  CHECK(has(refused(kCues + kTwo + "residual_scalars = true\n", text, by_parts), "must"));
  CHECK(has(refused(kCues + kTwo + "pooler = \"tanh\"\n", text, by_parts),
            "the logits must be linear in the vectors below the head"));
  const Experiment e = made(kCues + kTwo);
  CHECK(message([&] { patch(e, text, text, {}, {}); }).find("must have different answers") !=
        std::string::npos);
  CHECK(has(message([&] {
              ask(e, "inspect lens", text, {"", "", "class9", ""});
            }),
            "inspect lens: --answer must be a class of the model; got 'class9'"));
  CHECK(has(message([&] {
              ask(e, "inspect lens", text, {"a", "", "", ""});
            }),
            "--reply must be left out for a model that reads no source"));
  CHECK(has(message([&] { ask(made(kPairs), "inspect lens", "a b", {}); }),
            "inspect: --reply must be the beginning of an answer, as the model reads a source"));
}
