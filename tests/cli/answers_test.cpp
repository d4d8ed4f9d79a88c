// Texts in, answers out: one for each line, numbers that mean something, and nothing left out without a word.
#include <doctest/doctest.h>

#include <cmath>

#include "cli/process.h"
#include "qkv/base/json.h"
#include "train/checkpoint.h"
#include "train/checksums.h"
#include "train/small_run.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

// Runs of a classifier (small) and of language models (rhyme, and pieces of words), trained once.
const std::string& trained() {
  static const SmallData data;
  static const bool done = [] {
    data.encoder();
    std::string rhyme;
    for (int i = 0; i < 40; i++) rhyme += "one two three four. ";
    write_file_atomic(data.folder / "rhyme.txt", rhyme);
    write_file_atomic(
        data.folder / "rhyme.toml",
        "[data]\ntrain = \"rhyme.txt\"\nbatch_size = 8\n[task]\ntype = \"language-model\"\n[model]\n"
        "type = \"decoder-lm\"\nd_model = 16\nn_layer = 1\nmax_seq_len = 16\nattention.n_head = 2\n"
        "[train]\nmax_steps = 4\n");
    std::string pieces = read_file(data.folder / "rhyme.toml");
    pieces += "[tokenizer]\ntype = \"wordpiece\"\nvocab_size = 24\n";
    write_file_atomic(data.folder / "pieces.toml", pieces);
    for (const char* config : {"small.toml", "rhyme.toml", "pieces.toml"})
      REQUIRE(run_qkv({"train", config}, {data.folder.path}).code == 0);
    return true;
  }();
  (void)done;
  return data.folder.path;
}

Finished qkv(const std::vector<std::string>& arguments, const std::string& input = "") {
  ProcessOptions options{trained()};
  options.input = input;
  return run_qkv(arguments, options);
}

std::vector<Json> objects(const std::string& text) {
  std::vector<Json> result;
  for (const std::string& line : split(text, '\n'))
    if (!line.empty()) result.push_back(parse_json(line, "answer"));
  return result;
}

// A copy of a run whose weights have `value` in them, under right checksums.
std::string with_weight(const std::string& run, float value, TemporaryFolder& folder) {
  const std::string copy = folder / "run";
  fs::remove_all(copy);
  fs::copy(trained() + "/runs/" + run, copy, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  for (auto& [step, checkpoint] : list_checkpoints(copy)) {
    std::vector<NamedTensor> weights = read_safetensors(checkpoint + "/model.safetensors");
    for (NamedTensor& one : weights)
      if (one.name == "head.weight" || one.name == "embed.weight")
        one.tensor.fill(static_cast<double>(value));
    write_safetensors(checkpoint + "/model.safetensors", weights);
    std::vector<std::string> files;
    for (auto& entry : fs::directory_iterator(checkpoint))
      if (entry.path().filename() != "checksums.txt") files.push_back(entry.path().filename().string());
    std::sort(files.begin(), files.end());
    write_checksums(checkpoint, files);
  }
  return copy;
}

}  // namespace

TEST_CASE("each line that is read has one answer or one error with its number, and the others go on") {
  const std::string good = "the [bank] with cash";
  const std::string input = "\xEF\xBB\xBF" + good + "\r\n\nno target\ncaf\xe9 [bank]\n" + good;
  const Finished json = qkv({"predict", "runs/small", "--json"}, input);
  CHECK(json.code == 3);
  const std::vector<Json> answers = objects(json.out);
  REQUIRE(answers.size() == 5);
  const Json alone = objects(qkv({"predict", "runs/small", "--json", good}).out).at(0);
  CHECK(answers[0] == alone);
  CHECK(answers[4] == alone);
  for (std::size_t i : {1, 2, 3}) {
    CHECK(answers[i].at("line") == i + 1);
    CHECK_FALSE(answers[i].at("error").get<std::string>().empty());
  }
  const Finished text = qkv({"predict", "runs/small"}, input);
  CHECK(text.code == 3);
  CHECK(count(text.err, "error: line ") == 3);
  CHECK(count(text.err, "error: line 4: text must be UTF-8; got byte 0xe9 at byte 3 of the line") == 1);
  CHECK(count(text.out, good + "\n") == 2);
  const Finished several = qkv({"predict", "runs/small", "no target", good});
  CHECK(several.code == 3);
  CHECK(count(several.err, "error: argument 1: ") == 1);
  CHECK(count(several.out, good + "\n") == 1);
  check_refused(qkv({"predict", "runs/small", "no target"}), 3, "must hold one target word");
  const std::string packed("\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\xe7\x02", 13);
  check_refused(qkv({"predict", "runs/small"}, packed), 3, "must not be compressed; got a file of gzip");

  const Finished tokens = qkv({"tokenize", "runs/small", "--json"}, "a\n\nbank\r\n");
  CHECK(tokens.code == 0);
  REQUIRE(objects(tokens.out).size() == 3);
  CHECK(objects(tokens.out)[2].at("text") == "bank");
  const Finished lines =
      qkv({"generate", "runs/rhyme", "--interactive", "--json", "--max-tokens", "2"}, "one\n\ntwo");
  CHECK(lines.code == 0);
  CHECK(objects(lines.out).size() == 3);
}

TEST_CASE("what is generated in JSON goes on with the prompt, also in the middle of a word") {
  int inside = 0;
  for (int seed = 0; seed < 20; seed++) {
    const std::vector<std::string> ask{"generate",     "runs/pieces", "--prompt", "one t",
                                       "--max-tokens", "4",           "--seed",   std::to_string(seed)};
    std::vector<std::string> ask_json = ask;
    ask_json.emplace_back("--json");
    const std::string text = objects(qkv(ask_json).out).at(0).at("text").get<std::string>();
    CHECK(text.compare(0, 2, "##") != 0);
    const std::string plain = qkv(ask).out;
    CHECK((plain == "one t" + text + "\n" || plain == "one t " + text + "\n"));
    inside += plain == "one t" + text + "\n" && text[0] != ' ';
  }
  CHECK(inside > 0);
}

TEST_CASE("what the model has no room for is reported in text and in JSON") {
  std::string words = "[bank]";
  for (int i = 0; i < 200; i++) words += " word";
  const Finished json = qkv({"predict", "runs/small", "--json", words});
  CHECK(json.code == 0);
  const int cut = objects(json.out).at(0).at("cut_tokens").get<int>();
  CHECK(cut > 100);
  CHECK(count(json.err, fmt::format("no room for {} tokens", cut)) == 1);
  CHECK(objects(qkv({"predict", "runs/small", "--json", "the [bank]"}).out).at(0).at("cut_tokens") == 0);
  CHECK(count(qkv({"inspect", "runs/small", "attention", words}).err, "no room for") == 1);

  const Finished beam =
      qkv({"generate", "runs/rhyme", "--beam", "3", "--max-tokens", "80", "--prompt", "one ", "--json"});
  CHECK(count(beam.err, "context of 16 tokens leaves 13 of --max-tokens 80: beam search stops there") == 1);
  CHECK(objects(beam.out).at(0).at("beams").at(0).at("tokens") == 13);
  const Finished prompt = qkv({"generate", "runs/rhyme", "--json", "--prompt", std::string(20, 'o')});
  CHECK(count(prompt.err, "no room for 4 tokens") == 1);
  CHECK(objects(prompt.out).at(0).at("cut_tokens") == 4);

  const Finished check = qkv({"check", "small.toml", "--set", "model.max_seq_len=4", "--json"});
  CHECK(count(check.out, "44 of 44 sentences of the train split are longer than model.max_seq_len") == 1);
  const Finished train =
      qkv({"train", "small.toml", "--set", "model.max_seq_len=4", "--set", "run.name=cut"});
  CHECK(train.code == 0);
  CHECK(count(train.err, "warning: data: 44 of 44 sentences of the train split are longer") == 1);
  write_file_atomic(trained() + "/long.tsv", "river\t" + words + "\n");
  const Finished eval = qkv({"eval", "runs/small", "--data", "long.tsv"});
  CHECK(eval.code == 0);
  CHECK(count(eval.err, "warning: data: ") == 1);
  CHECK(count(eval.err, "1 of 1 sentences of the test split are longer than model.max_seq_len") == 1);
}

TEST_CASE("weights that are not finite, or too large to compute with, give errors and no numbers") {
  TemporaryFolder folder;
  for (const float value : {NAN, INFINITY, 3e38f}) {
    CAPTURE(value);
    const std::string part = std::isfinite(value) ? "finite" : "is not finite: ";
    const std::string small = with_weight("small", value, folder);
    const std::string text = "the [bank] with cash";
    for (const std::vector<std::string>& verb : {std::vector<std::string>{"predict", small, text},
                                                 {"predict", small, text, "--json"},
                                                 {"inspect", small, "faithful"},
                                                 {"inspect", small, "attention", text},
                                                 {"inspect", small, "heads"}})
      check_refused(qkv(verb), 3, part);
    const Finished eval = qkv({"eval", small});
    CAPTURE(eval.err);
    CHECK(count(eval.err, std::isfinite(value) ? "loss of test must be finite; got nan" : part) >= 1);
    CHECK(count(eval.out, "-nan") == 0);
    const std::string rhyme = with_weight("rhyme", value, folder);
    for (const char* option : {"--temperature=0", "--temperature=1", "--beam=2"})
      check_refused(qkv({"generate", rhyme, "--prompt", "one", option}), 3, part);
  }
}

TEST_CASE("a run whose evaluations are not finite has diverged, and has no result") {
  std::string pairs;
  for (int i = 0; i < 20; i++) pairs += "one two\tthree four\n";
  write_file_atomic(trained() + "/pairs.tsv", pairs);
  write_file_atomic(
      trained() + "/pairs.toml",
      "task.type = \"translation\"\ndata.train = \"pairs.tsv\"\ndata.val = \"pairs.tsv\"\nmodel.type = "
      "\"encoder-decoder\"\nmodel.n_layer = 1\nmodel.d_model = 16\nmodel.max_seq_len = 12\n"
      "model.attention.n_head = 2\ntrain.max_steps = 4\neval.metric = \"exact_match\"\n");
  for (const std::string name : {"small", "rhyme", "pairs"}) {  // the last two write texts, too
    const Finished run = qkv({"train", name + ".toml", "--set", "optimizer.lr=1e30", "--set",
                              "train.on_nonfinite=skip", "--set", "eval.every=1", "--set", "eval.patience=2",
                              "--set", "log.tensorboard=true", "--set", "run.name=overflow-" + name});
    CAPTURE(run.err);
    CHECK(run.code == 4);
    CHECK(count(run.err, "a validation loss that is not") == 1);
    CHECK(count(run.err, "-nan") == 0);
    CHECK(count(run.err, "* best") == 0);
    CHECK(count(run.err, "stopped early") == 0);
    CHECK_FALSE(exists(trained() + "/runs/overflow-" + name + "/result.json"));
  }
}

TEST_CASE("what generate refuses, it refuses before it prints") {
  for (const std::vector<std::string>& options : {std::vector<std::string>{"--temperature", "-1"},
                                                  {"--top-p", "2"},
                                                  {"--seed", "-1"},
                                                  {"--seed", "99999999999999999999"}}) {
    std::vector<std::string> all{"generate", "runs/rhyme", "--prompt", "one"};
    all.insert(all.end(), options.begin(), options.end());
    const Finished run = qkv(all);
    check_refused(run, 2, options[0].substr(2, 3));
    CHECK(run.out.empty());
  }
}

TEST_CASE("eval lists mistakes, with the surest first, also of the validation part") {
  const Json result = parse_json(qkv({"eval", "runs/small", "--split", "val", "--mistakes", "3", "--json",
                                      "--checkpoint", "step-000004"})
                                     .out,
                                 "eval");
  const Json& mistakes = result.at("mistakes");
  CHECK(mistakes.size() <= 3);
  for (std::size_t i = 0; i < mistakes.size(); i++) {
    CHECK(mistakes[i].at("label") != mistakes[i].at("answer"));
    if (i > 0) CHECK(mistakes[i].at("probability") <= mistakes[i - 1].at("probability"));
  }
  CHECK(count(qkv({"eval", "runs/small", "--mistakes"}).out, "mistakes") +
            count(qkv({"eval", "runs/small", "--mistakes"}).out, "p(gold)") >=
        1);
  CHECK(has(qkv({"eval", "runs/small", "--data", "val.tsv"}).out, "val.tsv"));
  check_refused(qkv({"eval", "runs/rhyme", "--mistakes"}), 2, "--mistakes must be for examples with classes");
}

}  // namespace qkv::test
