#include <doctest/doctest.h>

#include "cli/process.h"
#include "qkv/base/json.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

// A folder with a run of a language model that knows one rhyme.
struct Trained {
  Trained() {
    std::string rhyme;
    for (int i = 0; i < 40; i++) rhyme += "one two three four. ";
    write_file_atomic(folder / "rhyme.txt", rhyme);
    write_file_atomic(
        folder / "rhyme.toml",
        "[data]\ntrain = \"rhyme.txt\"\nbatch_size = 8\n[task]\ntype = \"language-model\"\n[model]\n"
        "type = \"decoder-lm\"\nd_model = 32\nmax_seq_len = 16\nattention.n_head = 2\nffn.d_ff = 64\n"
        "position.type = \"rope\"\n[optimizer]\nlr = 1e-2\n[train]\nmax_steps = 120\n[eval]\nevery = 60\n");
    const Finished run = qkv({"train", "rhyme.toml"});
    INFO(run.err);
    REQUIRE(run.code == 0);
  }
  Finished qkv(const std::vector<std::string>& arguments, const std::string& input = "") const {
    ProcessOptions options{folder.path};
    options.input = input;
    return run_qkv(arguments, options);
  }
  TemporaryFolder folder;
};

}  // namespace

TEST_CASE("generate continues a prompt from the command line, from standard input and line by line") {
  const Trained trained;
  const std::vector<std::string> greedy{"generate", "runs/rhyme", "--temperature", "0", "--max-tokens", "40"};
  auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> all = greedy;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const std::string expected = "one two three four. one two three four. one two three ";
  const Finished argument = trained.qkv(with({"--prompt", "one two three "}));
  CHECK(argument.code == 0);
  CHECK(argument.out == expected + "\n");  // longer than the model's 16 tokens
  CHECK(trained.qkv(greedy, "one two three ").out == expected + "\n");
  const Finished lines = trained.qkv(with({"--interactive"}), "one two three \ntwo three four. \n");
  CHECK(std::count(lines.out.begin(), lines.out.end(), '\n') >= 4);
  const Json json = parse_json(trained.qkv(with({"--json", "--prompt", "one two three "})).out, "generate");
  CHECK(json.at("prompt").get<std::string>() + json.at("text").get<std::string>() == expected);
  CHECK(json.at("tokens") == 40);
}

TEST_CASE("generate --beam writes the likeliest text, and in JSON all hypotheses with their scores") {
  const Trained trained;
  const std::vector<std::string> base{"generate",     "runs/rhyme", "--beam",   "3",
                                      "--max-tokens", "7",          "--prompt", "one two three "};
  CHECK(trained.qkv(base).out == "one two three four. o\n");
  std::vector<std::string> json = base;
  json.push_back("--json");
  const Json result = parse_json(trained.qkv(json).out, "generate");
  const Json& beams = result.at("beams");
  REQUIRE(beams.size() == 3);
  CHECK(beams[0].at("text") == "four. o");
  for (std::size_t i = 0; i < 3; i++) {
    CHECK(beams[i].at("tokens") == 7);
    CHECK(beams[i].at("log_prob").get<double>() < 0);
    if (i > 0) CHECK(beams[i].at("score") <= beams[i - 1].at("score"));
  }
  // A prompt longer than the model's 16 tokens is cut at its front, and leaves room for an answer.
  std::vector<std::string> longer = base;
  longer.back() = "one two three four. one two three four. one two three ";
  CHECK(trained.qkv(longer).out == longer.back() + "four. o\n");
  check_refused(trained.qkv({"generate", "runs/rhyme", "--beam", "2", "--top-k", "3"}), 2, "excludes");
  check_refused(trained.qkv({"generate", "runs/rhyme", "--beam", "0"}), 2, "--beam");
}

TEST_CASE("a misspelt key of --set is an error that names the right one also where nothing is trained") {
  const Trained trained;
  const std::vector<std::pair<const char*, const char*>> misspelt{
      {"trian.max_steps=3", "unknown table 'trian' (did you mean 'train'?)"},
      {"model.attention.n_heads=2", "is called `n_head`"},
      {"optimizer.learning_rate=1", "is called `lr`"},
      {"eval.evry=2", "did you mean 'every'?"}};
  for (auto [set, hint] : misspelt)
    for (const char* verb : {"eval", "predict", "generate"})
      check_refused(trained.qkv({verb, "runs/rhyme", "--set", set}), 2, hint);
  CHECK(trained.qkv({"eval", "runs/rhyme", "--set", "optimizer.lr=0.5"}).code == 0);
  CHECK(trained.qkv({"eval", "--set", "optimizer.lr=0.5", "runs/rhyme"}).code == 0);  // not a second override
}

TEST_CASE("generate: equal seeds give equal texts, and what is wrong is reported in one line") {
  const Trained trained;
  auto text = [&](const std::string& seed) {
    return trained.qkv({"generate", "runs/rhyme", "--temperature", "2.5", "--seed", seed, "--prompt", "one"})
        .out;
  };
  CHECK(text("1") == text("1"));
  CHECK(text("1") != text("2"));
  struct Case {
    std::vector<std::string> arguments;
    int code;
    const char* words;
  };
  const Case cases[] = {
      {{"generate", "runs/none"}, 3, "it does not exist"},
      {{"generate", "runs/rhyme", "--top-p", "0"}, 2, "top_p must be in (0, 1]; got 0"},
      {{"generate", "runs/rhyme", "--temperature", "-1"}, 2, "temperature must be at least 0; got -1"},
      {{"generate", "runs/rhyme", "--prompt", "\xff"}, 2, "the prompt must be UTF-8"},
      {{"generate", "runs/rhyme", "--max-tokens", "0"}, 2, "--max-tokens"},
  };
  for (const Case& c : cases) {
    const Finished run = trained.qkv(c.arguments);
    CAPTURE(run.err);
    CHECK(run.code == c.code);
    CHECK(run.err.find(c.words) != std::string::npos);
    CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
  }
  SmallData data;
  data.encoder();
  REQUIRE(run_qkv({"train", "small.toml"}, {data.folder.path}).code == 0);
  const Finished other = run_qkv({"generate", "runs/small"}, {data.folder.path});
  CHECK(other.code == 2);
  CHECK(other.err.find("must have a model that continues text; got a 'encoder-classifier'") !=
        std::string::npos);
}

}  // namespace qkv::test
