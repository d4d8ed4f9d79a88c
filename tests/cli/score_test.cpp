// Scores of texts: equal to those of sacreBLEU 2.6.0 and rouge_score 0.1.2, whose values stand here.
#include <doctest/doctest.h>

#include "cli/process.h"
#include "qkv/base/json.h"

namespace qkv::test {
namespace {

const char* const kHypotheses =
    "ran and red dog on and .\nthe cat's mat, it cost 3.50 or 4,000 euros\nder große hund &amp; die katze\n"
    "ΟΔΟΣ ΣΑΣ. istanbul\n\na b\n";
const char* const kReferences =
    "Ran And Red Dog On And .\r\nThe cat's mat; it cost 3.50 or 4,000 Euros!\r\nDer Große Hund & die "
    "Katze\r\n"
    "οδος σας. İstanbul\r\nnothing here\r\nA  B C\r\n";

struct Files {
  Files() {
    write_file_atomic(folder / "hyp.txt", kHypotheses);
    write_file_atomic(folder / "ref.txt", kReferences);
  }
  Finished score(std::vector<std::string> more) const {
    std::vector<std::string> all{"score", "--hyp", "hyp.txt", "--ref", "ref.txt"};
    all.insert(all.end(), more.begin(), more.end());
    return run_qkv(all, {folder.path});
  }
  Json json(std::vector<std::string> more) const {
    more.push_back("--json");
    const Finished run = score(more);
    INFO(run.err);
    REQUIRE(run.code == 0);
    return parse_json(run.out, "score");
  }
  TemporaryFolder folder;
};

}  // namespace

TEST_CASE("score gives what sacreBLEU and rouge_score give, with the signatures") {
  const Files files;
  const Json mixed = files.json({});
  CHECK(mixed.at("lines") == 6);
  CHECK(mixed.at("bleu").get<double>() == doctest::Approx(18.41440049601205).epsilon(1e-12));
  CHECK(mixed.at("chrf").get<double>() == doctest::Approx(41.5300674078247).epsilon(1e-12));
  CHECK(mixed.at("rouge1").get<double>() == doctest::Approx(0.6205128205128205).epsilon(1e-12));
  CHECK(mixed.at("rouge2").get<double>() == doctest::Approx(0.5656565656565656).epsilon(1e-12));
  CHECK(mixed.at("rougeL").get<double>() == doctest::Approx(0.6205128205128205).epsilon(1e-12));
  CHECK(mixed.at("bleu_signature") == "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0");
  CHECK(mixed.at("chrf_signature") == "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0");
  const Json lower = files.json({"--lowercase"});
  CHECK(lower.at("bleu").get<double>() == doctest::Approx(70.49403461235643).epsilon(1e-12));
  CHECK(lower.at("chrf").get<double>() == doctest::Approx(79.07355492333905).epsilon(1e-12));
  CHECK(lower.at("bleu_signature") == "nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:2.6.0");
  const Json apart = files.json({"--metric", "bleu,exact_match", "--tokenize", "none"});
  CHECK(apart.at("bleu").get<double>() == doctest::Approx(17.499501812442567).epsilon(1e-12));
  CHECK(apart.at("exact_match") == 0);
  CHECK_FALSE(apart.contains("chrf"));
  const Finished table = files.score({"--metric", "bleu"});
  CHECK(table.out ==
        "bleu          18.4144  nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0\n6 lines\n");
}

TEST_CASE("score reads one of its files from standard input or a pipe, and names what is compressed") {
  const Files files;
  ProcessOptions options{files.folder.path};
  options.input = kHypotheses;
  const Finished piped = run_qkv({"score", "--hyp", "-", "--ref", "ref.txt", "--metric", "bleu"}, options);
  CHECK(piped.code == 0);
  CHECK(piped.out == files.score({"--metric", "bleu"}).out);
  check_refused(run_qkv({"score", "--hyp", "-", "--ref", "-"}, options), 2, "one of --hyp and --ref");
  options.input = std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\xe7\x02", 13);
  check_refused(run_qkv({"score", "--hyp", "-", "--ref", "ref.txt"}, options), 3,
                "standard input: must not be compressed; got a file of gzip");
}

TEST_CASE("score refuses files that do not fit, and metrics that there are not") {
  const Files files;
  write_file_atomic(files.folder / "short.txt", "one\n");
  check_refused(run_qkv({"score", "--hyp", "short.txt", "--ref", "ref.txt"}, {files.folder.path}), 3,
                "short.txt and ref.txt must have as many lines; got 1 and 6");
  check_refused(run_qkv({"score", "--hyp", "none.txt", "--ref", "ref.txt"}, {files.folder.path}), 3,
                "none.txt");
  check_refused(files.score({"--metric", "bleu,chrff"}), 2, "got 'chrff' (did you mean 'chrf'?)");
  check_refused(run_qkv({"score", "--hyp", "hyp.txt"}, {files.folder.path}), 2, "--ref");
}

TEST_CASE("an evaluation scores against the reference as it was read, and says what was done to both") {
  TemporaryFolder folder;
  std::string pairs, references, sources;
  for (int i = 0; i < 60; i++) {
    pairs += fmt::format("s{}\tRan And Red Dog On And .\n", i % 4);
    if (i < 12) sources += fmt::format("s{}\n", i % 4), references += "Ran And Red Dog On And .\n";
  }
  write_file_atomic(folder / "p.tsv", pairs);
  write_file_atomic(folder / "ref.txt", references);
  write_file_atomic(
      folder / "t.toml",
      "task.type = \"translation\"\ndata.train = \"p.tsv\"\ndata.val = \"p.tsv\"\nmodel.type = "
      "\"encoder-decoder\"\nmodel.n_layer = 1\nmodel.d_model = 16\nmodel.max_seq_len = 12\n"
      "model.attention.n_head = 2\noptimizer.lr = 0.01\ntrain.max_steps = 60\neval.every = 60\n");
  for (const std::string lower : {"true", "false"}) {
    const std::string name = "r" + lower;
    REQUIRE(run_qkv({"train", "t.toml", "--set", "tokenizer.lowercase=" + lower, "--set", "run.name=" + name},
                    {folder.path})
                .code == 0);
    const Json own = parse_json(run_qkv({"eval", "runs/" + name, "--json"}, {folder.path}).out, "eval");
    CHECK(own.at("bleu").get<double>() == doctest::Approx(100));
    CHECK(own.at("exact_match") == 1);
    const std::string letters = lower == "true" ? "lc" : "mixed";
    CHECK(own.at("bleu_signature").get<std::string>().find("|case:" + letters + "|") != std::string::npos);
    CHECK(own.at("exact_match_signature") == "nrefs:1|case:" + letters + "|tok:13a");
    // What is printed, scored from files by the same rules, gives the same.
    ProcessOptions options{folder.path};
    options.input = sources;
    write_file_atomic(folder / "hyp.txt", run_qkv({"predict", "runs/" + name}, options).out);
    std::vector<std::string> score{"score", "--hyp", "hyp.txt", "--ref", "ref.txt", "--json"};
    const Json strict = parse_json(run_qkv(score, {folder.path}).out, "score");
    CHECK((strict.at("bleu").get<double>() > 99) == (lower == "false"));
    score.push_back("--lowercase");
    CHECK(parse_json(run_qkv(score, {folder.path}).out, "score").at("bleu").get<double>() ==
          doctest::Approx(100));
  }
}

}  // namespace qkv::test
