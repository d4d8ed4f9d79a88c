#include <doctest/doctest.h>

#include "cli/process.h"
#include "qkv/base/json.h"
#include "report/report.h"
#include "train/checksums.h"
#include "train/small_run.h"

namespace qkv::test {

TEST_CASE("log draws a run, overlays runs, and prints the same numbers as JSON and CSV") {
  SmallData data;
  data.encoder();
  const ProcessOptions here{data.folder.path};
  REQUIRE(run_qkv({"train", "small.toml"}, here).code == 0);
  REQUIRE(run_qkv({"train", "small.toml", "--set", "run.name=other", "--set", "run.seed=8"}, here).code == 0);
  const Finished one = run_qkv({"log", "runs/small"}, here);
  CHECK(one.code == 0);
  CHECK(one.err == "");
  CHECK(one.out.find("loss") == 0);
  CHECK(one.out.find("* best") != std::string::npos);
  CHECK(one.out.find("ended: max_steps") != std::string::npos);
  const Finished both = run_qkv({"log", "runs/small", "runs/other", "--metric", "accuracy"}, here);
  CHECK(both.out.find("small val") != std::string::npos);
  CHECK(both.out.find("other val") != std::string::npos);

  const Json json = parse_json(run_qkv({"log", "runs/small", "--json"}, here).out, "log");
  CHECK(json.at("train").size() == 12);
  CHECK(json.at("end").at("reason") == "max_steps");
  const std::string csv = run_qkv({"log", "runs/small", "--csv"}, here).out;
  CHECK(csv.find("run,type,split,step,") == 0);
  CHECK(csv.find("small,train,,1,") != std::string::npos);
  CHECK(csv.find(dump_json(json.at("train")[0].at("loss"))) != std::string::npos);
  CHECK(run_qkv({"log", "-f", "runs/small"}, here).out.find("val") !=
        std::string::npos);  // has ended: returns
}

TEST_CASE("log --circuits dates what the records of a run say of heads, and the film has the same") {
  TemporaryFolder folder;
  const ProcessOptions here{folder.path};
  make_directories(folder / "run/captures");
  std::string text = R"({"type":"start"})"
                     "\n";
  for (int step : {0, 50, 100})
    text += fmt::format(
        R"({{"type":"circuits","step":{0},"loss":1,"ablation/layers.0.attn.0":0.1,"ablation/layers.1.attn.1":0.2,)"
        R"("role/layers.0.attn.0":"previous token","match/layers.0.attn.0":0.5,"role/layers.1.attn.1":"induction",)"
        R"("match/layers.1.attn.1":0.9,"cut/layers.0.attn previous token":{1},"cut/layers.1.attn induction":{2},)"
        R"("patching/layers.0.attn previous token > layers.1.attn induction":0.5,"ablation/x":1,"patching/y":2}})"
        "\n",
        step, step / 100.0, step * step / 5000.0);
  write_file_atomic(folder / "run/metrics.jsonl", text);
  const Finished run = run_qkv({"log", "run", "--circuits", "--svg", "c.svg"}, here);
  CHECK(run.code == 0);
  CHECK(has(run.out, "run  heads scored 3 times, from step 0 to 100"));
  const auto has_row = [&](const std::string& pattern) {
    CAPTURE(run.out);
    return std::regex_search(run.out, std::regex(pattern));
  };
  CHECK(has_row("induction +layers.1.attn +1 +50 +100 +- +2.0000"));
  CHECK(has_row("previous token +layers.0.attn +0 +50 +100 +- +1.0000"));
  CHECK(has_row("previous token > induction +layers.0.attn > layers.1.attn +- +0 +0 +- +0.5000"));
  CHECK(has(read_file(folder / "c.svg"), "induction, layers.1.attn"));
  const Json json = parse_json(run_qkv({"log", "run", "--json"}, here).out, "log");
  CHECK(json.at("circuits").size() == 3);
  CHECK(json.at("circuits")[0].at("gone") == nullptr);
  CHECK(circuits_json(folder / "run").at("dated") == json.at("circuits"));
  write_file_atomic(folder / "run/metrics.jsonl", "{\"type\":\"start\"}\n");
  CHECK(has(run_qkv({"log", "run", "--circuits"}, here).out, "no heads were scored (inspect.circuit_share)"));
  CHECK(circuits_json(folder / "run") == nullptr);
}

TEST_CASE("log says in one line what is wrong") {
  SmallData data;
  data.encoder();
  const ProcessOptions here{data.folder.path};
  REQUIRE(run_qkv({"train", "small.toml"}, here).code == 0);
  struct Case {
    std::vector<std::string> arguments;
    int code;
    const char* words;
  };
  const Case cases[] = {
      {{"log", "runs/none"}, 3, "it does not exist"},
      {{"log", "runs/small", "--metric", "acuracy"}, 2, "did you mean 'accuracy'?"},
      {{"log", "-f", "--json", "runs/small"}, 2, "--follow must not be given with --json, --csv or --svg"},
      {{"log", "-f", "runs/small", "runs/small"}, 2, "--follow needs one run; got 2"},
  };
  for (const Case& c : cases) {
    const Finished run = run_qkv(c.arguments, here);
    CAPTURE(run.err);
    CHECK(run.code == c.code);
    CHECK(run.err.find(c.words) != std::string::npos);
    CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
  }
}

TEST_CASE("after a resume, the time to the end is reported by the speed since") {
  SmallData data;
  data.encoder();
  const ProcessOptions here{data.folder.path};
  REQUIRE(run_qkv({"train", "small.toml", "--set", "train.max_steps=8"}, here).code == 0);
  const std::string last = data.folder / "runs/small/checkpoints/step-000008";
  Json state = read_json(last + "/state.json");
  state["seconds"] = 600;  // over all steps: more than three minutes to go
  write_file_atomic(last + "/state.json", dump_json(state, 2));
  write_checksums(last, {"model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.json",
                         "config.resolved.toml"});
  REQUIRE(run_qkv({"resume", "runs/small", "--set", "train.max_steps=12"}, here).code == 0);
  const std::string log = read_file(data.folder / "runs/small/train.log");
  const std::string resumed = log.substr(log.find("resumed at step 8"));
  CHECK(has(resumed, "eta 00:"));
  for (const char* minutes : {"eta 01:", "eta 02:", "eta 03:"}) CHECK_FALSE(has(resumed, minutes));
}

TEST_CASE("a training ends with what to do next, and one of a name that is taken says that it is another") {
  SmallData data;
  data.encoder();
  const ProcessOptions here{data.folder.path};
  const Finished first = run_qkv({"train", "small.toml"}, here);
  CHECK(has(first.err, "next     qkv predict runs/small, qkv report runs/small"));
  const Finished second = run_qkv({"train", "small.toml"}, here);
  CHECK(has(second.err, "runs/small exists and is kept: this run is called runs/small-2"));
  CHECK(has(second.err, "next     qkv predict runs/small-2"));
  CHECK_FALSE(has(run_qkv({"train", "small.toml", "-q"}, here).err, "next"));
  // The verb is one that takes such a run: neither a recurrent classifier nor a puzzle writes text.
  data.config("[model]\ntype = \"lstm\"\nd_model = 16\nmax_seq_len = 12\n", "lstm");
  CHECK(has(run_qkv({"train", "lstm.toml"}, here).err, "next     qkv predict runs/lstm"));
  write_file_atomic(data.folder / "puzzle.toml",
                    "task.type = \"induction\"\ndata.examples = 64\nmodel.type = \"decoder-lm\"\n"
                    "model.d_model = 16\ntrain.max_steps = 1\n");
  CHECK(has(run_qkv({"train", "puzzle.toml"}, here).err, "next     qkv predict runs/puzzle"));
  write_file_atomic(data.folder / "answers.toml",
                    "task.type = \"prompt-answer\"\ndata.train = \"train.tsv\"\nmodel.type = \"decoder-lm\"\n"
                    "model.d_model = 16\ntrain.max_steps = 1\n");
  CHECK(has(run_qkv({"train", "answers.toml"}, here).err, "next     qkv predict runs/answers"));
}

}  // namespace qkv::test
