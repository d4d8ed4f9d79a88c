#include <doctest/doctest.h>

#include <cstring>

#include "log/read_metrics.h"
#include "train/checkpoint.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

struct Case {
  const char* name;
  std::vector<std::string> sets;
  std::int64_t killed_at, resumed_at;
};

// Six batches of 8 (the last of 4) make an epoch.
const Case kCases[] = {
    {"in the middle of an epoch", {}, 7, 4},
    {"before the first checkpoint", {}, 2, 0},
    {"at every step saved", {"checkpoint.every=1"}, 11, 10},
    {"between training lines", {"checkpoint.every=3", "log.every=5", "eval.every=100"}, 5, 3},
    {"with accumulation, in the middle of an epoch", {"train.grad_accum_steps=3", "eval.every=3"}, 5, 3},
    {"with momentum", {"optimizer.type=\"sgd\"", "optimizer.momentum=0.9"}, 6, 4},
    {"with muon for the matrices of layers and an average of the weights",
     {"optimizer.groups=[{match=[\"layers.*\"], ndim=2, type=\"muon\", lr=0.02}]", "train.ema_decay=0.9"},
     7,
     4},
    {"with lion", {"optimizer.type=\"lion\""}, 7, 4},
    {"with shared layers, value embeddings, residual scalars, soft-capped logits and Z-loss",
     {"model.n_layer=4", "model.share_layers=2", "model.value_embeddings=2", "model.residual_scalars=true",
      "model.logit_softcap=5", "model.ffn.activation=\"relu2\"", "train.z_loss=0.01"},
     7,
     4},
    {"with products of bf16", {"run.matmul=\"bf16\""}, 7, 4},
    {"in f64, without buckets", {"run.dtype=\"f64\"", "data.buckets=false"}, 9, 8},
};

void damage_bit(const std::string& file) {
  std::string bytes = read_file(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file_atomic(file, bytes);
}

}  // namespace

TEST_CASE("a killed and resumed run is the uninterrupted one, bit for bit") {
  for (const Case& c : kCases) {
    SUBCASE(c.name) {
      SmallData data;
      const std::string config = data.encoder(), whole = data.folder / "whole", run = data.folder / "run";
      Session(config, c.sets).train(whole);
      train_and_kill(config, c.sets, run, c.killed_at);
      Session again(config, c.sets);
      std::int64_t first = -1;
      again.train(run, true, [&](std::int64_t step) {
        if (first < 0) first = step;
      });
      CHECK(first == c.resumed_at + 1);
      check_equal_runs(whole, run);
      set_matmul(Matmul::f32);
    }
  }
}

TEST_CASE("speed is that of the time since the last line, also after a resume") {
  SmallData data;
  const std::string config = data.encoder(), run = data.folder / "run";
  const std::vector<std::string> sets = {"log.every=3", "checkpoint.every=4"};
  train_and_kill(config, sets, run, 8);
  Session again(config, sets);
  std::int64_t from = 0;
  again.train(run, true, [&](std::int64_t step) { from = from ? from : step - 1; });
  const auto records = read_metrics(run + "/metrics.jsonl");
  double step = 0, tokens = 0, seconds = 0;
  int lines = 0;
  for (const Record& r : records) {
    if (r.type() != "train") continue;
    const double steps = r.number("step") - step, passed = r.number("time_s") - seconds;
    if (r.step() - 3 >= from || r.step() <= from) {  // the window lies in one process
      CHECK(r.number("step_ms") * steps == doctest::Approx(1e3 * passed).epsilon(0.01));
      CHECK(r.number("tokens_per_s") * passed == doctest::Approx(r.number("tokens") - tokens).epsilon(0.02));
      lines++;
    }
    step = r.number("step"), tokens = r.number("tokens"), seconds = r.number("time_s");
  }
  CHECK(lines == 4);
}

TEST_CASE("early stopping goes on counting after a resume") {
  SmallData data;
  // Accuracy cannot change at this learning rate: the first evaluation is the best.
  const std::vector<std::string> sets = {"optimizer.lr=1e-12", "eval.metric=\"accuracy\"", "eval.every=1",
                                         "eval.patience=4"};
  const std::string config = data.encoder(), whole = data.folder / "whole", run = data.folder / "run";
  const TrainResult result = Session(config, sets).train(whole);
  CHECK(result.reason == StopReason::early_stop);
  CHECK(result.step == 5);
  CHECK(result.best_step == 1);
  train_and_kill(config, sets, run, 4);
  CHECK(Session(config, sets).train(run, true).reason == StopReason::early_stop);
  check_equal_runs(whole, run);
  // Killed after the last checkpoint: nothing is left to train.
  Session stopped(config, sets);
  const TrainResult again = stopped.train(run, true, [](std::int64_t) { FAIL("trained on"); });
  CHECK(again.reason == StopReason::early_stop);
  CHECK(again.best_step == 1);
  check_equal_runs(whole, run);
}

TEST_CASE("links that a crash left behind follow the state of the checkpoint") {
  SmallData data;
  const std::string config = data.encoder(), run = data.folder / "run", links = run + "/checkpoints/";
  train_and_kill(config, {}, run, 9);
  const std::string best = std::filesystem::read_symlink(links + "best").string();
  for (const char* link : {"last", "best"}) {
    std::filesystem::remove(links + link);
    std::filesystem::create_symlink(best == "step-000004" ? "step-000008" : "step-000004", links + link);
  }
  Session again(config);
  again.training.files.run = run;
  CHECK(resume(again.training));
  CHECK(std::filesystem::read_symlink(links + "last") == "step-000008");
  CHECK(std::filesystem::read_symlink(links + "best") == best);
}

TEST_CASE("a best value of another metric, mode or validation data does not count after a resume") {
  const std::vector<std::string> changes[] = {
      {"eval.metric=\"accuracy\""}, {"eval.mode=\"max\""}, {"data.val_fraction=0.2", "data.val=\"\""}};
  for (const std::vector<std::string>& sets : changes) {
    CAPTURE(sets[0]);
    SmallData data;
    const std::string config = data.encoder(), run = data.folder / "run";
    Session(config).train(run);
    std::vector<std::string> longer = sets;
    longer.push_back("train.max_steps=16");
    Session again(config, longer);
    if (sets.size() > 1) {  // other training data is refused anyway
      CHECK(has(error_of(Fault::usage, [&] { again.train(run, true); }), "training data must be that of"));
      continue;
    }
    CHECK(again.train(run, true).best_step == 16);
    CHECK(std::filesystem::read_symlink(run + "/checkpoints/best") == "step-000016");
  }
}

TEST_CASE("a best value of texts of another length does not count after a resume") {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 200; i++) text += i % 3 ? "one two three. " : "two one.\n";
  write_file_atomic(folder / "text.txt", text);
  const std::string config = folder / "letters.toml";
  write_file_atomic(config, R"(task.type = "language-model"
data = {train = "text.txt", val_fraction = 0.2, batch_size = 8}
tokenizer.type = "char"
model = {type = "decoder-lm", d_model = 16, max_seq_len = 8}
optimizer.lr = 1e-2
train.max_steps = 12
eval.every = 4
)");
  const auto best_step = [&](const std::string& run, const std::vector<std::string>& changes) {
    CHECK(Session(config).train(run).best_step == 12);
    std::vector<std::string> worse{"train.max_steps=16", "optimizer.lr=3"};
    worse.insert(worse.end(), changes.begin(), changes.end());
    return Session(config, worse).train(run, true).best_step;
  };
  CHECK(best_step(folder / "same", {}) == 12);
  CHECK(best_step(folder / "shorter", {"data.length=6"}) == 16);
}

TEST_CASE("a best checkpoint that is gone is reported at the resume, and best starts anew") {
  SmallData data;
  const std::string config = data.encoder(), run = data.folder / "run";
  const TrainResult before = Session(config).train(run);
  std::filesystem::remove_all(run + "/checkpoints/" + step_name(before.best_step));
  if (before.best_step == 12) return;  // then the run goes on from the one before
  const TrainResult after = Session(config, {"train.max_steps=16"}).train(run, true);
  CHECK(after.best_step == 16);
}

TEST_CASE("a run is not resumed to an end before the step it has reached") {
  SmallData data;
  const std::string config = data.encoder(), run = data.folder / "run";
  Session(config).train(run);
  Session again(config, {"train.max_steps=8"});
  CHECK(has(error_of(Fault::usage, [&] { again.train(run, true); }),
            "resume: the run must end at or after step 12, which it has reached"));
}

TEST_CASE("a damaged checkpoint is passed over for the one before, and replaced on the way") {
  SmallData data;
  const std::vector<std::string> sets = {"checkpoint.every=2", "checkpoint.keep_last=2"};
  const std::string config = data.encoder(), whole = data.folder / "whole", run = data.folder / "run";
  Session(config, sets).train(whole);
  train_and_kill(config, sets, run, 9);
  damage_bit(run + "/checkpoints/step-000008/optimizer.safetensors");
  Session again(config, sets);
  std::int64_t first = -1;
  again.train(run, true, [&](std::int64_t step) {
    if (first < 0) first = step;
  });
  CHECK(first == 7);
  check_equal_runs(whole, run);
}

TEST_CASE("saving never leaves only a damaged checkpoint") {
  SmallData data;
  const std::vector<std::string> sets = {"checkpoint.every=1", "checkpoint.keep_last=1",
                                         "checkpoint.keep_best=false"};
  const std::string config = data.encoder(), run = data.folder / "run";
  train_and_kill(config, {"checkpoint.every=1"}, run, 9);
  damage_bit(run + "/checkpoints/step-000008/model.safetensors");
  damage_bit(run + "/checkpoints/step-000007/model.safetensors");
  Session again(config, sets);
  CHECK_THROWS_AS(again.train(run, true,
                              [](std::int64_t step) {
                                if (step == 8) throw Killed();
                              }),
                  Killed);
  const auto kept = list_checkpoints(run);
  REQUIRE(kept.size() == 1);
  CHECK(kept[0].first == 7);
  CHECK(checkpoint_problems(kept[0].second).empty());
}

TEST_CASE("a run whose checkpoints are all damaged is not started again") {
  SmallData data;
  const std::string config = data.encoder(), run = data.folder / "run";
  train_and_kill(config, {}, run, 5);
  damage_bit(run + "/checkpoints/step-000004/state.json");
  Session again(config);
  const std::string text = error_of(Fault::data, [&] { again.train(run, true); });
  CHECK(has(text, "must hold a whole checkpoint to resume from; got only damaged ones; "));
  CHECK(has(text, "step-000004/state.json: checksum must be"));
}

TEST_CASE("a run is not resumed on other data") {
  SmallData data;
  const std::string config = data.encoder(), run = data.folder / "run";
  train_and_kill(config, {}, run, 5);
  write_file_atomic(data.folder / "train.tsv", sentences(42, 0) + "money\ta quite different [bank]\n");
  Session again(config);
  CHECK(has(error_of(Fault::usage, [&] { again.train(run, true); }),
            "resume: the training data must be that of"));
}

}  // namespace qkv::test
