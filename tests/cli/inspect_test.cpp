#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "cli/process.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

using Numbers = std::vector<double>;
constexpr const char* kText = "we went to the old bank with fish today";

// A run of a two-layer encoder whose four heads share two keys and values.
struct TrainedModel {
  TrainedModel() {
    data.config(
        "[model]\nn_layer = 2\nd_model = 16\nmax_seq_len = 12\n[model.attention]\nn_head = 4\nn_kv_head = 2\n"
        "[model.ffn]\nd_ff = 16\n");
    REQUIRE(qkv({"train", "small.toml"}).code == 0);
  }
  Finished qkv(std::vector<std::string> arguments) const { return run_qkv(arguments, {data.folder.path}); }
  Json json(std::vector<std::string> arguments) const {
    arguments.emplace_back("--json");
    const Finished run = qkv(arguments);
    INFO(run.err);
    REQUIRE(run.code == 0);
    return parse_json(run.out, "inspect");
  }
  SmallData data;
};

double product(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); i++) sum += a[i] * b[i];
  return sum;
}

// The weights and the new vector of an explanation, made anew from its queries, keys and values.
void check_explanation(const Json& e) {
  const Numbers query = e.at("query");
  const auto keys = e.at("keys").get<std::vector<Numbers>>();
  const auto values = e.at("values").get<std::vector<Numbers>>();
  Numbers exps, vector(values[0].size());
  double sum = 0;
  for (std::size_t s = 0; s < keys.size(); s++) {
    const double score = product(query, keys[s]);
    CHECK(e.at("scores")[s].get<double>() == doctest::Approx(score).epsilon(1e-9));
    const Json& bias = e.at("bias")[s];  // null: not seen
    exps.push_back(bias.is_null() ? 0 : std::exp(e.at("scale").get<double>() * score + bias.get<double>()));
    sum += exps.back();
  }
  for (std::size_t s = 0; s < keys.size(); s++) {
    CHECK(e.at("weights")[s].get<double>() == doctest::Approx(exps[s] / sum).epsilon(1e-9));
    for (std::size_t i = 0; i < vector.size(); i++) vector[i] += exps[s] / sum * values[s][i];
  }
  const Numbers told = e.at("vector");
  REQUIRE(told.size() == vector.size());
  for (std::size_t i = 0; i < vector.size(); i++) CHECK(told[i] == doctest::Approx(vector[i]).epsilon(1e-9));
}

void check_equal(const Numbers& a, const Numbers& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); i++) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-5));
}

}  // namespace

TEST_CASE("inspect: attention, queries, explanations and predictions show the same numbers") {
  const TrainedModel trained;
  const Json maps = trained.json({"inspect", "runs/small", "attention", kText});
  const std::size_t target = maps.at("target"), T = maps.at("words").size();
  CHECK(maps.at("words")[target] == "bank");
  REQUIRE(maps.at("layers").size() == 2);
  for (const Json& layer : maps.at("layers")) {
    REQUIRE(layer.at("heads").size() == 4);
    for (const Json& head : layer.at("heads"))
      for (const Numbers& row : head.at("weights").get<std::vector<Numbers>>()) {
        REQUIRE(row.size() == T);
        double sum = 0;
        for (double weight : row) sum += weight;
        CHECK(sum == doctest::Approx(1).epsilon(1e-5));
      }
  }

  const Json prediction = trained.json({"predict", "runs/small", kText});
  for (std::size_t s = 0; s < T; s++) {
    double mean = 0;
    for (const Json& head : maps.at("layers")[0].at("heads"))
      mean += head.at("weights")[target][s].get<double>() / 4;
    CHECK(prediction.at("attention")[s].at("weight").get<double>() == doctest::Approx(mean).epsilon(1e-6));
  }

  const Json vectors = trained.json({"inspect", "runs/small", "qkv", kText});
  for (const char* head : {"0", "3"}) {
    const auto h = static_cast<std::size_t>(std::stoi(head));
    const Json e = trained.json({"inspect", "runs/small", "explain", kText, "--layer", "1", "--head", head});
    check_explanation(e);
    CHECK(e.at("token") == target);
    check_equal(e.at("weights"), maps.at("layers")[1].at("heads")[h].at("weights")[target]);
    const Json& words = vectors.at("layers")[1].at("heads")[h].at("words");
    check_equal(e.at("query"), words[target].at("query"));
    check_equal(e.at("values")[0], words[0].at("value"));
    check_equal(e.at("keys")[1], words[1].at("key"));
  }
  const Json chosen =
      trained.json({"inspect", "runs/small", "attention", kText, "--layer", "1", "--head", "2"});
  REQUIRE(chosen.at("layers").size() == 1);
  CHECK(chosen.at("layers")[0].at("heads")[0] == maps.at("layers")[1].at("heads")[2]);
  CHECK(trained.json({"inspect", "runs/small", "explain", kText, "--token", "Fish"}).at("token") == 7);
}

TEST_CASE("inspect: what is drawn, in the terminal and as a page") {
  const TrainedModel trained;
  const Finished map = trained.qkv({"inspect", "runs/small", "attention", kText, "bank & <loan>"});
  CHECK(map.code == 0);
  CHECK(count(map.out, "head 3 (max 0.") == 4);  // two layers of two texts
  CHECK(count(map.out, " 5 bank  ") > 0);
  CHECK(count(map.out, "\033") == 0);
  const Finished wide = trained.qkv({"inspect", "runs/small", "attention", "a b c d e f g h i j the bank"});
  CHECK(count(wide.out, "  0   2   4   6   8  10\n") == 4);  // columns do not run together
  const Finished colored = trained.qkv({"--color", "always", "inspect", "runs/small", "attention", kText});
  // One scale for all heads: the brightest colour is for nine tenths of the largest weight of any.
  std::vector<double> weights;
  const Json shown = trained.json({"inspect", "runs/small", "attention", kText});
  for (const Json& layer : shown.at("layers"))
    for (const Json& head : layer.at("heads"))
      for (const Json& row : head.at("weights"))
        for (const Json& weight : row) weights.push_back(weight.get<double>());
  const double most = *std::max_element(weights.begin(), weights.end());
  const auto bright =
      std::count_if(weights.begin(), weights.end(), [&](double w) { return w >= 0.9 * most; });
  CHECK(count(colored.out, "\033[48;5;229m") == bright);
  CHECK(count(colored.out, fmt::format("shades of all heads: 0 to {:.2f}", most)) == 1);

  const Finished written =
      trained.qkv({"inspect", "runs/small", "attention", "bank & <loan>", "--html", "maps.html"});
  CHECK(written.out == "maps.html\n");
  const std::string page = read_file(trained.data.folder / "maps.html");
  CHECK(count(page, ">layers.") == 8);
  CHECK(count(page, "<title>bank &amp; &lt;loan&gt;</title>") == 1);
  for (const char* foreign : {"http://", "<loan>", "src=", "href="})
    CHECK(count(page, foreign) == (std::string(foreign) == "http://" ? 1 : 0));  // the name of SVG itself

  const Finished table = trained.qkv({"inspect", "runs/small", "qkv", kText, "--head", "1"});
  CHECK(count(table.out, "head 1 of 4, d_k = 4") == 1);
  CHECK(count(table.out, "query") == 9);
  const Finished words = trained.qkv({"inspect", "runs/small", "explain", kText});
  for (const char* step : {"1. Query", "2. Key", "3. Score", "4. Scale: score x 0.5", "5. Softmax",
                           "6. Weighted sum", "the new vector of \"bank\""})
    CHECK(count(words.out, step) == 1);
}

TEST_CASE("inspect vectors: cosines and principal components of a word across texts") {
  const TrainedModel trained;
  const Json json = trained.json({"inspect", "runs/small", "vectors", "bank", "the bank with cash",
                                  "near a bank with fish", "she left her Bank in the rain"});
  const Json& all = json.at("occurrences");
  REQUIRE(all.size() == 3);
  CHECK(all[1].at("position") == 2);
  double spread[2] = {0, 0}, total = 0;
  Numbers mean(16);
  for (const Json& one : all)
    for (std::size_t i = 0; i < 16; i++) mean[i] += one.at("vector")[i].get<double>() / 3;
  for (std::size_t i = 0; i < 3; i++) {
    const Numbers a = all[i].at("vector");
    for (std::size_t j = 0; j < 3; j++) {
      const Numbers b = all[j].at("vector");
      const double cosine = product(a, b) / std::sqrt(product(a, a) * product(b, b));
      CHECK(json.at("cosines")[i][j].get<double>() == doctest::Approx(cosine).epsilon(1e-5));
      CHECK(json.at("static_cosines")[i][j].get<double>() == doctest::Approx(1).epsilon(1e-6));
    }
    for (std::size_t k = 0; k < 2; k++) spread[k] += std::pow(all[i].at("pca")[k].get<double>(), 2);
    for (std::size_t k = 0; k < 16; k++) total += std::pow(a[k] - mean[k], 2);
  }
  CHECK(json.at("cosines")[0][1].get<double>() < 0.9999);                // the context tells
  CHECK(spread[0] + spread[1] == doctest::Approx(total).epsilon(1e-4));  // three points lie in a plane
  CHECK(json.at("variance_ratio")[0].get<double>() == doctest::Approx(spread[0] / total).epsilon(1e-4));
  const Finished table =
      trained.qkv({"inspect", "runs/small", "vectors", "bank", "the bank", "a bank today"});
  CHECK(count(table.out, "PC1") == 1);
  const Finished twice =
      trained.qkv({"inspect", "runs/small", "vectors", "bank", "the [bank] and the bank", "--json"});
  CHECK(parse_json(twice.out, "vectors").at("occurrences")[1].at("position") == 4);
  CHECK(count(table.out, " at ") == 1);  // which tells them apart
  CHECK(trained.qkv({"inspect", "runs/small", "vectors", "bank", "the bank"}).code == 0);  // one has no PCA
}

TEST_CASE("inspect explain: stated vectors need no run") {
  const Finished text = run_qkv({"inspect", "explain", "--example"});
  CHECK(text.code == 0);
  for (const char* part : {"0.6 x [1.048, 0, 0]  bank", "+ 0.2 x [0, 1, 0]  grows",
                           "+ 0.2 x [0, 0, 1]  money", "= [0.6289, 0.2, 0.2]  the new vector of \"bank\""})
    CHECK(count(text.out, part) == 1);
  const Json example = parse_json(run_qkv({"inspect", "explain", "--example", "--json"}).out, "explain");
  check_explanation(example);
  const double expected[] = {0.6, 0.2, 0.2};
  for (std::size_t s = 0; s < 3; s++)
    CHECK(example.at("weights")[s].get<double>() == doctest::Approx(expected[s]).epsilon(1e-12));
  CHECK(example.at("vector")[0].get<double>() == doctest::Approx(0.6 * std::sqrt(std::log(3.0))));

  const Finished stated = run_qkv({"inspect", "explain", "--vector", "a=2,0", "--vector", "b=1,-1", "--token",
                                   "b", "--scale", "0.5", "--json"});
  const Json own = parse_json(stated.out, "explain");
  check_explanation(own);
  CHECK(own.at("scores") == Json({2.0, 2.0}));
  CHECK(own.at("vector") == Json({1.5, -0.5}));
  const Finished large =
      run_qkv({"inspect", "explain", "--vector", "a=40,0", "--vector", "b=40,1", "--json"});
  const double e = std::exp(0.0);  // both scores are 1600
  CHECK(parse_json(large.out, "explain").at("weights")[1].get<double>() == doctest::Approx(e / (2 * e)));
}

TEST_CASE("inspect: a language model sees only what came before, and ALiBi counts") {
  TemporaryFolder folder;
  std::string rhyme;
  for (int i = 0; i < 20; i++) rhyme += "one two three four. ";
  write_file_atomic(folder / "rhyme.txt", rhyme);
  write_file_atomic(folder / "rhyme.toml",
                    "[data]\ntrain = \"rhyme.txt\"\n[task]\ntype = \"language-model\"\n[model]\n"
                    "type = \"decoder-lm\"\nd_model = 16\nmax_seq_len = 16\nattention.n_head = 2\n"
                    "ffn.d_ff = 16\nposition.type = \"alibi\"\n[train]\nmax_steps = 3\n");
  auto qkv = [&](const std::vector<std::string>& arguments) {
    return run_qkv(arguments, {folder.path});
  };
  REQUIRE(qkv({"train", "rhyme.toml"}).code == 0);
  auto json = [&](const std::vector<std::string>& arguments) {
    return parse_json(qkv(arguments).out, "inspect");
  };
  const Json maps = json({"inspect", "runs/rhyme", "attention", "one two", "--json"});
  const Json& weights = maps.at("layers")[0].at("heads")[1].at("weights");
  CHECK(maps.at("words").size() == 7);
  for (std::size_t t = 0; t < 7; t++)
    for (std::size_t s = t + 1; s < 7; s++) CHECK(weights[t][s].get<double>() == 0);
  const Json e =
      json({"inspect", "runs/rhyme", "explain", "one two", "--token", "t", "--head", "1", "--json"});
  check_explanation(e);
  CHECK(e.at("token") == 4);
  CHECK(e.at("bias")[6].is_null());
  CHECK(e.at("bias")[0].get<double>() < e.at("bias")[3].get<double>());  // the nearer, the more
  check_equal(e.at("weights"), weights[4]);
  const Finished words = qkv({"inspect", "runs/rhyme", "explain", "one two", "--token", "t"});
  CHECK(count(words.out, "are masked") == 1);
  CHECK(qkv({"inspect", "runs/rhyme", "vectors", "o", "one two"}).code == 0);
}

TEST_CASE("inspect: where a task has no tokenizer, its vocabulary names the tokens") {
  TemporaryFolder folder;
  auto qkv = [&](const std::vector<std::string>& arguments) {
    return run_qkv(arguments, {folder.path});
  };
  for (const std::string task : {"copy-memory", "adding"}) {
    const std::string data = task == "adding" ? "length = 4\n" : "length = 4\ndelay = 4\n";
    write_file_atomic(folder / (task + ".toml"),
                      "[task]\ntype = \"" + task + "\"\n[data]\n" + data +
                          "[model]\ntype = \"decoder-lm\"\nd_model = 16\nattention.n_head = 2\n"
                          "[train]\nmax_steps = 2\n");
    REQUIRE(qkv({"train", task + ".toml"}).code == 0);
  }
  const Finished near = qkv({"inspect", "runs/copy-memory", "neighbors", "1", "-k", "2"});
  INFO(near.err);
  CHECK(near.code == 0);
  CHECK(count(near.out, "\n") == 5);
  check_refused(qkv({"predict", "runs/copy-memory", "1"}), 2, "(override SyntheticTask::question");
  check_refused(qkv({"inspect", "runs/adding", "heads"}), 2, "got 'adding', which shows no examples");
}

TEST_CASE("inspect: what is wrong is reported in one line") {
  const TrainedModel trained;
  struct Case {
    std::vector<std::string> arguments;
    int code;
    const char* words;
  };
  const Case cases[] = {
      {{"inspect"}, 2, "qkv inspect: a verb must be given"},
      {{"inspect", "runs/small", "atention"}, 2, "unknown verb 'atention' (did you mean 'attention'?)"},
      {{"inspect", "runs/none", "attention", kText}, 3, "it does not exist"},
      {{"inspect", "runs/small", "attention", kText, "--layer", "2"}, 2, "--layer must be in [0, 2); got 2"},
      {{"inspect", "runs/small", "qkv", kText, "--head", "9"}, 2, "--head must be in [0, 4); got 9"},
      {{"inspect", "runs/small", "attention", "\xff bank"}, 2, "the text must be UTF-8"},
      {{"inspect", "runs/small", "attention", "no such word"}, 3, "must hold one target word"},
      {{"inspect", "runs/small", "explain", kText, "--token", "bnk"}, 2, "must hold the word 'bnk'"},
      {{"inspect", "runs/small", "explain"}, 2, "got a run without text"},
      {{"inspect", "explain"}, 2, "got none"},
      {{"inspect", "attention", kText}, 2, "a run must be given before 'attention'"},
      {{"inspect", "runs/small", "explain", kText, "--vector", "a=1"}, 2, "got both"},
      {{"inspect", "explain", "--vector", "a=1,x"}, 2, "WORD=NUMBER,NUMBER,...; got 'a=1,x'"},
      {{"inspect", "explain", "--vector", "a=nan"}, 2, "WORD=NUMBER,NUMBER,...; got 'a=nan'"},
      {{"inspect", "explain", "--vector", "=1"}, 2, "got '=1'"},
      {{"inspect", "explain", "--vector", "a=1", "--vector", "b=1,2"}, 2, "the first, 1; got 2 in 'b=1,2'"},
      {{"inspect", "explain", "--vector", "a=1", "--token", "c"}, 2, "--token must be one of the words"},
      {{"inspect", "runs/small", "vectors", "cash", kText}, 2, "must hold the word 'cash'"},
  };
  for (const Case& c : cases) {
    CAPTURE(join(c.arguments, " "));
    check_refused(trained.qkv(c.arguments), c.code, c.words);
  }
  trained.data.config("[model]\ntype = \"static\"\n", "plain");
  REQUIRE(trained.qkv({"train", "plain.toml"}).code == 0);
  check_refused(trained.qkv({"inspect", "runs/plain", "attention", kText}), 2, "must have self-attention");
  check_refused(trained.qkv({"inspect", "runs/plain", "vectors", "bank", kText}), 2, "a vector per word");
}

}  // namespace qkv::test
