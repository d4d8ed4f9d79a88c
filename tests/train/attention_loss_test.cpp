// Drawn attention: the file, the divergence, and what training does with it.
#include "train/attention_loss.h"

#include <cmath>

#include "log/read_metrics.h"
#include "qkv/autograd/capture.h"
#include "train/check.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

constexpr const char* kDrawn =
    "{\"text\": \"near a [bank] with reeds today\", \"arrows\": [[\"bank\", \"reeds\", 3], [2, 5], [\"a\", "
    "0]]}\n"
    "{\"text\": \"they saw the [bank] with cash\", \"arrows\": [[\"bank\", \"cash\"]]}\n"
    "{\"text\": \"she left her [bank] with fish\", \"arrows\": [[\"bank\", \"fish\"]]}\n";

struct DrawnData : SmallData {
  explicit DrawnData(const std::string& drawn = kDrawn) {
    file = folder / "drawn.jsonl";
    write_file_atomic(file, drawn);
  }
  std::vector<std::string> sets(const std::string& weight, std::vector<std::string> more = {}) const {
    more.push_back("train.attention_loss.file=\"" + file + "\"");
    more.push_back("train.attention_loss.weight=" + weight);
    return more;
  }
  std::string file;
};

// The mean over rows and heads of sum p log(p / w), from the weights that the fused kernel captures.
double divergence_of(const Experiment& e, const std::vector<DrawnText>& texts, const std::string& layer,
                     Index head) {
  double sum = 0, rows = 0;
  for (const DrawnText& drawn : texts) {
    const Capture capture({"weights"});
    e.model->forward(e.task->probe_batch(&drawn.text, 1));
    const Tensor& w = *capture.find(layer + ".weights");
    const Index T = w.dim(3);
    for (const DrawnText::Arrow& arrow : drawn.arrows)
      sum += arrow.share * std::log(arrow.share / w.at((head * T + arrow.from) * T + arrow.to));
    rows += double(drawn.rows);
  }
  return sum / rows;
}

}  // namespace

TEST_CASE("drawn arrows are words or positions, and their weights become shares") {
  const DrawnData data;
  const Session session(data.encoder());
  const std::vector<DrawnText> texts = read_drawn(*session.experiment.task, data.file);
  REQUIRE(texts.size() == 3);
  REQUIRE(texts[0].arrows.size() == 3);
  CHECK(texts[0].rows == 2);
  const DrawnText::Arrow &reeds = texts[0].arrows[0], &today = texts[0].arrows[1], &near = texts[0].arrows[2];
  CHECK((reeds.from == 2 && reeds.to == 4 && reeds.share == 0.75));
  CHECK((today.from == 2 && today.to == 5 && today.share == 0.25));
  CHECK((near.from == 1 && near.to == 0 && near.share == 1));
}

TEST_CASE("a drawn file that does not fit is refused, with its line") {
  struct Wrong {
    const char *line, *message;
  };
  const Wrong cases[] = {
      {"{\"text\": 3, \"arrows\": []}", "text"},
      {"{\"text\": \"a [bank]\"}", "arrows"},
      {"{\"text\": \"a [bank]\", \"arrows\": []}", "a text must have an arrow; got none"},
      {"{\"text\": \"a [bank]\", \"arrows\": 1}", "arrows"},
      {"{\"text\": \"a [bank]\", \"arrows\": [[0]]}", "an arrow must be [from, to]"},
      {"{\"text\": \"a [bank]\", \"arrows\": [[0, 1, 0]]}", "a weight in (0, 1e6]"},
      {"{\"text\": \"a [bank]\", \"arrows\": [[0, 1, -1]]}", "a weight in (0, 1e6]"},
      {"{\"text\": \"a [bank]\", \"arrows\": [[0, 1, \"x\"]]}", "an arrow must be [from, to]"},
      {"{\"text\": \"a [bank]\", \"arrows\": [[0, 2]]}", "positions in [0, 2); got"},
      {"{\"text\": \"a [bank]\", \"arrows\": [[-1, 1]]}", "positions in [0, 2); got"},
      {"{\"text\": \"a [bank]\", \"arrows\": [[0.5, 1]]}", "positions in [0, 2); got"},
      {"{\"text\": \"a [bank]\", \"arrows\": [[\"bank\", \"river\"]]}",
       "must hold the word 'river' once; got it 0"},
      {"{\"text\": \"a boat, a [bank]\", \"arrows\": [[\"bank\", \"a\"]]}",
       "must hold the word 'a' once; got it 2"},
      {"{\"text\": \"a [bank]\", \"arrows\": [[1, 0], [\"bank\", \"a\"]]}", "each arrow must be drawn once"},
      {"{\"text\": \"a [bank]\", \"arrows\": [[1, 0]], \"heads\": 1}", "heads"},
      {"{\"text\": \"no target\", \"arrows\": [[1, 0]]}", "target"},
      {"[]", ""},
      {"{\"text\"", "JSON"},
      {"", "only empty lines"},
  };
  for (const Wrong& wrong : cases) {
    CAPTURE(std::string(wrong.line));
    const DrawnData data(std::string(wrong.line) + "\n");
    const std::string message = error_of(Fault::data, [&] { Session(data.encoder(), data.sets("1")); });
    CHECK(has(message, "drawn.jsonl"));
    CHECK(has(message, wrong.message));
  }
}

TEST_CASE("what contradicts itself in [train.attention_loss] is reported with its key") {
  const DrawnData data;
  const auto message = [&](const std::vector<std::string>& sets) {
    return error_of(Fault::usage, [&] { Session(data.encoder(), sets); });
  };
  CHECK(has(message({"train.attention_loss.weight=1"}), "train.attention_loss.file"));
  CHECK(has(message(data.sets("0")), "train.attention_loss.weight"));
  CHECK(message(data.sets("-1")) == "--set #2: train.attention_loss.weight must not be negative; got -1");
  CHECK(has(message(data.sets("1", {"train.attention_loss.heads=[\"0.2\", \"1.*\"]"})),
            "must name heads of self-attention as LAYER.HEAD, such as 0.*; got 0.2, which the model lacks"));
  CHECK(has(message(data.sets("1", {"train.attention_loss.heads=[\"0.*\", \"1.*\"]"})), "got 1.*, which"));
  CHECK(has(message(data.sets("1", {"train.attention_loss.heads=[]"})), "must name heads of self-attention"));
  const auto problems = [&](const std::string& heads) {  // without training
    return join(
        check_config(Section::load(data.encoder(), data.sets("1", {"train.attention_loss.heads=" + heads})))
            .problems,
        "");
  };
  CHECK(has(problems("[\"1.*\"]"), "got 1.*, which the model lacks"));
  CHECK(problems("[\"0.*\"]") == "");
  CHECK(has(message(data.sets("1", {"model.type=\"bag-of-words\"", "model.d_model=8"})),
            "must name heads of self-attention"));
}

TEST_CASE("the divergence is that of the weights, and its gradient that of finite differences") {
  const DrawnData data;
  Session session(data.encoder(),
                  data.sets("0.7", {"run.dtype=\"f64\"", "train.attention_loss.heads=[\"0.1\"]"}));
  const Experiment& e = session.experiment;
  const AttentionLoss& attention = *session.training.extras.attention_loss;
  const double by_hand = divergence_of(e, read_drawn(*e.task, data.file), "layers.0.attn", 1);
  const auto value = [&](int shards) {  // of a task whose loss is 0, with 10 examples in each shard
    double drawn = 0, sum = 0;
    for (int s = 0; s < shards; s++)
      sum += attention.add_to({Tensor::scalar(0.0, Dtype::f64), 10}, s, shards, drawn).value().item();
    CHECK(drawn / (10.0 * shards) == doctest::Approx(by_hand).epsilon(1e-6));
    return sum / (10.0 * shards);
  };
  // Without the part that does not depend on the model, 0.7 x sum p log p.
  const double fixed = value(1) - 0.7 * by_hand;
  CHECK(value(2) - 0.7 * by_hand == doctest::Approx(fixed).epsilon(1e-9));
  CHECK(value(8) - 0.7 * by_hand == doctest::Approx(fixed).epsilon(1e-9));

  Tape tape;
  double drawn = 0;
  const Var zero = tape.variable(Tensor::scalar(0.0, Dtype::f64));
  Gradients gradients;
  tape.backward(attention.add_to({zero, 10}, 0, 1, drawn), gradients);
  int checked = 0;
  for (int slot = 0; slot < e.parameters->size(); slot++) {
    if (!gradients.has_slot(slot)) continue;
    const Tensor gradient = gradients.of_slot(slot);
    Tensor values = e.parameters->slot(slot).value;
    for (Index i = 0; i < values.size(); i += 1 + values.size() / 7) {
      double& x = values.data<double>()[i];
      const double before = x, step = 1e-5;
      const auto at = [&](double y) {
        x = y;
        double unused = 0;
        return attention.add_to({Tensor::scalar(0.0, Dtype::f64), 10}, 0, 1, unused).value().item();
      };
      const double slope = (at(before + step) - at(before - step)) / (2 * step);
      x = before;
      CHECK(gradient.at(i) == doctest::Approx(slope).epsilon(1e-5).scale(1e-3));
      checked++;
    }
  }
  CHECK(checked > 20);
}

TEST_CASE("attention goes along the arrows that were drawn, in the chosen head") {
  const DrawnData data;
  const auto shares = [&](const std::vector<std::string>& sets) {
    Session session(data.encoder(), sets);
    while (session.training.state.step < session.training.max_steps()) session.training.step();
    return followed_arrows(session.experiment, read_drawn(*session.experiment.task, data.file));
  };
  const std::vector<std::string> long_run = {"train.max_steps=60"};
  const auto before = shares(long_run),
             after = shares(data.sets("1", {"train.attention_loss.heads=[\"0.0\"]", long_run[0]}));
  REQUIRE(after.size() == 2);
  CHECK(after[0].layer == "layers.0.attn");
  CHECK(after[1].head == 1);
  CHECK(after[0].share > 0.9);
  CHECK(before[0].share < 0.7);
}

TEST_CASE("drawn attention: a resumed run is the uninterrupted one, with any number of threads") {
  const DrawnData data;
  const std::string config = data.encoder(), whole = data.folder / "whole", run = data.folder / "run";
  set_threads(1);
  Session(config, data.sets("0.5")).train(whole);
  set_threads(3);
  train_and_kill(config, data.sets("0.5"), run, 7);
  Session(config, data.sets("0.5")).train(run, true);
  set_threads(0);
  check_equal_runs(whole, run);
  double first = -1, last = -1;
  for (const Record& record : read_metrics(whole + "/metrics.jsonl"))
    if (record.type() == "train") last = record.number("attention_loss"), first = first < 0 ? last : first;
  CHECK(first > 0);
  CHECK(last < first);
}

}  // namespace qkv::test
