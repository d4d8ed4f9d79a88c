// `qkv why RUN`: causes, their order and evidence; what it leaves alone. (planted_faults.sh tries all rules.)
#include <doctest/doctest.h>

#include "cli/process.h"
#include "diagnosis/cause.h"
#include "qkv/base/json.h"
#include "qkv/nn/attention.h"
#include "qkv/ops/arithmetic.h"
#include "train/small_run.h"

namespace qkv {
namespace {

using namespace test;

// Attention without the mask of later tokens.
struct Peeking : MultiHeadAttention {
  using MultiHeadAttention::MultiHeadAttention;
  Var forward(const Var& x, const Context& context) const override {
    Context open = context;
    open.mask.causal = false;
    return x + MultiHeadAttention::forward(x, open);
  }
};
QKV_REGISTER(Layer, "peeking", Peeking, "attention that sees later tokens");

std::vector<std::string> names(const std::vector<Suspicion>& found) {
  std::vector<std::string> result;
  for (const Suspicion& one : found) result.push_back(one.name);
  return result;
}

// A language model with one layer of this kind, untrained.
Experiment reader_of_text(const TemporaryFolder& folder, const std::string& layer) {
  std::string text;
  for (int i = 0; i < 400; i++) text += fmt::format("{} {} ", i * 7 % 31, i * i % 17);
  write_file_atomic(folder / "text.txt", text);
  return build_experiment(Section::parse(
      "schema = 1\n[data]\ntrain = \"" + folder / "text.txt" +
      "\"\nbatch_size = 4\n[task]\ntype = \"language-model\"\n[model]\ntype = \"decoder-lm\"\nd_model = 16\n"
      "max_seq_len = 16\n[[model.layers]]\ntype = \"" +
      layer + "\"\n[train]\nmax_steps = 1\n"));
}

TEST_CASE("a layer that sees later tokens is found, one that does not is not") {
  const TemporaryFolder folder;
  for (const bool peeks : {true, false}) {
    Experiment e = reader_of_text(folder, peeks ? "peeking" : "attention");
    const RunLog log;
    RunCase c(e, log);
    look_at_data(c, 100);
    try_model(c);
    CAPTURE(c.future);
    CHECK((c.future > 1e-2) == peeks);
    CHECK((c.future < 1e-6) == !peeks);
    const std::vector<std::string> found = names(suspicions(c));
    CHECK((!found.empty() && found[0] == "leak-from-the-future") == peeks);
  }
}

TEST_CASE("a diagnosis leaves the run directory as it is, and does not depend on the number of threads") {
  SmallData data;
  data.encoder();
  const ProcessOptions here{data.folder.path};
  std::vector<Json> causes;
  for (const char* threads : {"1", "3"}) {
    const std::string name = std::string("with-") + threads;
    REQUIRE(run_qkv({"train", "small.toml", "--set", "train.max_steps=40", "--set", "optimizer.lr=3", "--set",
                     "run.name=\"" + name + "\"", "--set", std::string("run.threads=") + threads},
                    here)
                .code == 0);
    const std::string before = snapshot(data.folder / "runs");
    const Finished why = run_qkv({"why", "runs/" + name, "--json"}, here);
    CAPTURE(why.err);
    REQUIRE(why.code == 0);
    CHECK(snapshot(data.folder / "runs") == before);
    causes.push_back(parse_json(why.out, "why").at("causes"));
  }
  CHECK(causes[0] == causes[1]);
  double last = 1;
  bool found = false;
  for (const Json& one : causes[0]) {
    for (const char* text : {"name", "cause", "evidence", "try"})
      CHECK(!one.at(text).get<std::string>().empty());
    CHECK(one.at("score").get<double>() <= last);
    last = one.at("score").get<double>();
    found = found || one.at("name") == "rate-too-high";
  }
  CHECK(found);
  const Finished text = run_qkv({"why", "runs/with-1"}, here);
  CHECK(has(text.out, "the learning rate is too high (rate-too-high)"));
  for (const std::string& line : split(text.out, '\n')) CHECK(line.size() <= 80);
}

TEST_CASE("the end of a training names the first cause, and nothing for a short run") {
  SmallData data;
  data.encoder();
  const ProcessOptions here{data.folder.path};
  const Finished lost = run_qkv({"train", "small.toml", "--set", "train.max_steps=200", "--set",
                                 "optimizer.lr=3", "--set", "data.val=\"train.tsv\""},
                                here);
  CHECK(has(lost.err + lost.out, "qkv why runs/small shows more"));
  const Finished brief = run_qkv({"train", "small.toml", "--set", "run.name=\"brief\""}, here);
  CHECK(!has(brief.err + brief.out, "shows more"));
}

TEST_CASE("the page 'Why does it not learn?' has a section for every rule") {
  const std::string page = read_file(source_dir() + "/docs/why-does-it-not-learn.md");
  for (const auto& [name, entry] : Registry<Cause>::instance().entries()) {
    CAPTURE(name);
    CHECK(has(page, "`" + name + "`"));
  }
}

}  // namespace
}  // namespace qkv
