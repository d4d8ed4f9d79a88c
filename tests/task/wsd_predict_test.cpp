// Predictions of WordSenses: src/task/wsd_predict.cpp.
#include "qkv/autograd/capture.h"
#include "qkv/base/json.h"
#include "task/wsd_files.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// A task with an untrained model, as `qkv predict` has it: from the state alone.
struct Predictor {
  explicit Predictor(const std::string& model, const std::string& data = "")
      : fresh(files.task(data, model)),
        state(fresh.state()),
        task({files.config(data, model), Tokenizer::from_json(fresh.tokenizer()->to_json()), &state}),
        config(files.config(data, model)),
        model(make_model(Scope(store), config.section("model"), task.shape())) {}
  Json operator()(const std::string& text) const { return task.predict(*model, text); }

  Files files;
  WordSenses fresh;
  Json state;
  const WordSenses task;
  Section config;
  ParameterStore store{1};
  std::unique_ptr<Model> model;
};

double total(const Json& rows, const char* key) {
  double sum = 0;
  for (const Json& row : rows) sum += key ? row[key].get<double>() : row.get<double>();
  return sum;
}

}  // namespace

TEST_CASE("wsd: a prediction has the sense, its probability, and what the target attended to") {
  const Predictor predict("model.embedding = \"word+ngrams\"", "data.ngram_buckets = 100");
  const Json p = predict("The river Bank lends unheard words");
  Words keys;
  for (auto& [key, value] : p.items()) keys.push_back(key);
  CHECK(keys == Words{"text", "target", "sense", "probability", "probabilities", "logits", "attention",
                      "cut_tokens"});
  CHECK(p["cut_tokens"] == 0);
  CHECK(p["target"] == "Bank");
  CHECK(p["text"] == "The river Bank lends unheard words");
  CHECK(p["probabilities"].size() == 2);
  CHECK(total(p["probabilities"], nullptr) == doctest::Approx(1).epsilon(1e-6));
  CHECK(p["probability"] == p["probabilities"][p["sense"].get<std::string>()]);
  CHECK(p["probability"].get<double>() >= 0.5);
  REQUIRE(p["attention"].size() == 6);
  CHECK(total(p["attention"], "weight") == doctest::Approx(1).epsilon(1e-6));
  CHECK(p["attention"][2]["word"] == "Bank");
  CHECK(p["attention"][2]["known"] == true);
  CHECK(p["attention"][4]["word"] == "unheard");
  CHECK(p["attention"][4]["known"] == false);
  CHECK(predict("The river Bank lends unheard words") == p);  // predicting leaves nothing behind
  CHECK(predict("The river [Bank] lends unheard words")["attention"] == p["attention"]);
}

TEST_CASE("wsd: the attention of a prediction is the target's row of the first layer, mean over heads") {
  const Predictor predict("model.n_layer = 3");
  const Json attention = predict("the bank lends")["attention"];
  const WordSenses& task = predict.task;
  struct Spy : Model {  // sees the batch of the prediction
    explicit Spy(const Model& model) : model(model) {}
    Var forward(const Batch& batch) const override {
      Capture capture({"weights"});
      const Var y = model.forward(batch);
      weights = *capture.find("layers.0.attn.weights");
      return y;
    }
    const Model& model;
    mutable Tensor weights;  // [1, H, 3, 3]
  } spy(*predict.model);
  (void)task.predict(spy, "the bank lends");
  for (Index s = 0; s < 3; s++)
    CHECK(attention[static_cast<std::size_t>(s)]["weight"].get<double>() ==
          doctest::Approx((spy.weights.at(3 + s) + spy.weights.at(9 + 3 + s)) / 2).epsilon(1e-6));
}

TEST_CASE("wsd: a prediction for a long text shows the words that the model saw") {
  const Predictor predict("model.max_seq_len = 3");
  const Json attention = predict("1 2 3 4 bank 5 6 7")["attention"];
  REQUIRE(attention.size() == 3);
  CHECK(attention[0]["word"] == "4");
  CHECK(attention[1]["word"] == "bank");
  CHECK(attention[2]["word"] == "5");
}

TEST_CASE("wsd: a static model predicts the same for every sentence with a form of the target") {
  const Predictor predict("model.type = \"static\"");
  const Json a = predict("the bank lends"), b = predict("fish near the bank");
  CHECK(a["probabilities"] == b["probabilities"]);
  CHECK(a["attention"] == Json::array());
  CHECK(predict("near the banks")["probabilities"] != a["probabilities"]);
}

TEST_CASE("wsd: the target may be bracketed; none or several targets are errors that say what is expected") {
  const Predictor predict("");
  CHECK(predict("the bank of the [bank] is a bank")["target"] == "bank");
  CHECK(predict("[lends]")["target"] == "lends");
  CHECK(message([&] { predict("no such word"); }) ==
        "text: must hold one target word (bank, banks), or one in [brackets]; got 0 in 'no such "
        "word'");
  CHECK(message([&] { predict("bank and banks"); }).find("got 2 in") != std::string::npos);
  CHECK(message([&] { predict(""); }).find("got 0 in") != std::string::npos);
  CHECK(message([&] { predict("a [bank"); }).find("unmatched bracket") != std::string::npos);
}

TEST_CASE("wsd: what a person reads has the sense, the probability and a bar per word") {
  const Predictor predict("");
  const Json prediction = {{"text", "the bank"},
                           {"target", "bank"},
                           {"sense", "money"},
                           {"probability", 0.75},
                           {"probabilities", {{"money", 0.75}, {"river", 0.25}}},
                           {"attention",
                            {{{"word", "the"}, {"weight", 0.2}, {"known", true}},
                             {{"word", "bank"}, {"weight", 0.8}, {"known", true}}}}};
  CHECK(predict.task.readable(prediction) ==
        "the bank\n  bank = money  (p = 0.750)\n  \"bank\" attends to\n    the   0.200  ########\n"
        "    bank  0.800  ################################\n");
}
