// Runs that train low-rank adapters of another run's weights.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "nn/adapters.h"
#include "nn/layer_check.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/model/model.h"
#include "train/base_weights.h"
#include "train/checksums.h"
#include "train/small_run.h"
#include "train/verify.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

using Sets = std::vector<std::string>;

Sets operator+(Sets a, const Sets& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A trained run of the small encoder, and what makes a run with adapters of it.
struct Tuned {
  Tuned() {
    Session first(data.encoder(), {"train.max_steps=4"});
    first.train(base);
  }
  SmallData data;
  std::string base = data.folder / "base";
};

Sets adapters_of(const std::string& base, const Sets& more = {}) {
  return Sets{"train.init_from='" + base + "'", "run.seed=8", "train.lora.rank=2",
              "train.lora.targets=['*.W_*', 'embed.*']"} +
         more;
}

std::set<std::string> names_in(const std::string& file) {
  std::set<std::string> names;
  for (const NamedTensor& one : read_safetensors(file)) names.insert(one.name);
  return names;
}

// Starts a run from its initial values and trains it.
void train_from(const std::string& config, const Sets& sets, const std::string& run,
                const std::function<void(std::int64_t)>& after_step = {}) {
  Session session(config, sets);
  warm_start(session.training);
  session.train(run, false, after_step);
}

}  // namespace

TEST_CASE("lora: only the adapters are trained and stored; the model reads the sum") {
  const Tuned t;
  const std::string run = t.data.folder / "run", config = t.data.encoder();
  Session session(config, adapters_of(t.base));
  CHECK(has(warm_start(session.training), "missing: none; unused: none"));
  const Tensor bias = session.value("head.bias"), W_Q = session.value("layers.0.attn.W_Q"),
               A = session.value("layers.0.attn.W_Q.lora_A");
  session.train(run);
  CHECK(same_bits(bias, session.value("head.bias")));
  CHECK(!same_bits(W_Q, session.value("layers.0.attn.W_Q")));
  CHECK(!same_bits(A, session.value("layers.0.attn.W_Q.lora_A")));

  const std::string folder = run + "/checkpoints/last";
  for (const std::string& name : names_in(folder + "/model.safetensors")) CHECK(has(name, ".lora_"));
  const int adapters = session.training.extras.adapters->count();
  CHECK(adapters == 5);  // W_Q, W_K, W_V, W_O and the words
  CHECK(names_in(folder + "/model.safetensors").size() == 10);
  CHECK(names_in(folder + "/optimizer.safetensors").size() == 20);
  CHECK(session.experiment.parameters->trainable_count() * 2 < session.experiment.parameters->count());
  CHECK(verify(folder).problems.empty());

  // A loaded model is one of ordinary weights, to the bit those that were trained.
  const Experiment loaded = load_experiment(run, "last");
  const std::vector<NamedTensor> values = loaded.parameters->named();
  for (const NamedTensor& one : values)
    CHECK_MESSAGE(same_bits(one.tensor, session.value(one.name)), one.name);
  CHECK(values.size() + 10 == session.experiment.parameters->named().size());
  CHECK(loaded.parameters->trainable_count() == loaded.parameters->count());
}

TEST_CASE("lora: a killed and resumed run is the uninterrupted one, bit for bit") {
  const Tuned t;
  const std::string config = t.data.encoder();
  for (const Sets& more : {Sets{}, Sets{"train.grad_accum_steps=3"}, Sets{"run.matmul='bf16'"},
                           Sets{"train.init_except=['head.*']"}, Sets{"run.dtype='f64'"}}) {
    CAPTURE(join(more, " "));
    const Sets sets = adapters_of(t.base, more);
    const std::string whole = t.data.folder / "whole", run = t.data.folder / "run";
    train_from(config, sets, whole);
    const auto kill = [](std::int64_t step) {
      if (step == 7) throw Killed();
    };
    CHECK_THROWS_AS(train_from(config, sets, run, kill), Killed);
    Session again(config, sets);  // the base comes from the checkpoint
    std::vector<std::int64_t> steps;
    again.train(run, true, [&](std::int64_t step) { steps.push_back(step); });
    CHECK(steps.at(0) == 5);
    check_equal_runs(whole, run);
    set_matmul(Matmul::f32);
    fs::remove_all(whole), fs::remove_all(run);
  }
}

TEST_CASE("lora: the number of threads does not change a bit") {
  const Tuned t;
  const std::string config = t.data.encoder();
  std::vector<std::string> runs;
  for (const int threads : {1, 2, 3}) {
    set_threads(threads);
    runs.push_back(t.data.folder / std::to_string(threads));
    train_from(config, adapters_of(t.base), runs.back());
  }
  set_threads(0);
  for (const std::string& run : runs) check_equal_runs(runs[0], run);
}

TEST_CASE("lora: the base may move with the run or stay, but it must be there as it was") {
  const Tuned t;
  const std::string folder = t.data.folder / "", config = t.data.encoder();
  train_from(config, adapters_of(t.base), folder + "run");
  const auto W_Q = [](const std::string& run) {
    return named(*load_experiment(run, "last").parameters, "layers.0.attn.W_Q");
  };
  const Tensor value = W_Q(folder + "run");
  make_directories(folder + "else/where");
  fs::rename(folder + "run", folder + "else/where/run");
  CHECK(same_bits(value, W_Q(folder + "else/where/run")));
  const std::string run = folder + "else/run";
  fs::rename(folder + "else/where/run", run);
  fs::rename(folder + "base", folder + "else/base");
  CHECK(same_bits(value, W_Q(run)));
  const auto refused = [&](const std::string& rule) {
    Session again(config, adapters_of(t.base, {"train.max_steps=20"}));
    again.training.files.run = run;
    for (const std::string& error : {error_of(Fault::data, [&] { load_experiment(run, "last"); }),
                                     error_of(Fault::data, [&] { resume(again.training); })})
      CHECK(has(error, "model.safetensors " + rule + " (qkv merge makes runs that need no others)"));
    CHECK(verify(run + "/checkpoints/last").problems.size() == 1);
  };
  const std::string weights = fs::canonical(folder + "else/base/checkpoints/best/model.safetensors").string();
  std::string bytes = read_file(weights);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file_atomic(weights, bytes);
  refused("holds others");
  fs::remove_all(folder + "else/base");
  refused("is missing");
}

TEST_CASE("lora: a damaged reference to the base is one error") {
  const Tuned t;
  const std::string run = t.data.folder / "run";
  train_from(t.data.encoder(), adapters_of(t.base), run);
  const Checkpoint c = read_checkpoint(run + "/checkpoints/last");
  const auto refused = [&](const std::function<void(Json&, std::vector<NamedTensor>&)>& damage) {
    Checkpoint own = c;
    Json state = *c.state;
    damage(state, own.weights);
    own.state = std::make_shared<Json>(state);
    return error_of(Fault::data, [&] {
      const Experiment e = build_experiment(Section::load(t.data.encoder()));
      load_whole(own, *e.parameters);
    });
  };
  using Weights = std::vector<NamedTensor>;
  for (const Json& base : {Json(7), Json(nullptr), Json::array(), Json::object()})
    CHECK(has(refused([&](Json& state, Weights&) { state["base"] = base; }), "state.json"));
  for (const char* member : {"path", "relative_path", "checksum", "scale"})
    for (const Json& value : {Json(nullptr), Json(-1), Json("x"), Json::array()})
      if (!has(member, "path") || !value.is_string())  // one of two paths is enough
        refused([&](Json& state, Weights&) { state["base"][member] = value; });
  const auto with_B = [&](const std::string& name, const Tensor& B) {
    return refused([&](Json&, Weights& weights) {
      for (NamedTensor& one : weights)
        if (one.name == "layers.0.attn.W_Q.lora_B") one = {name, B};
    });
  };
  const std::string B = "layers.0.attn.W_Q.lora_B";
  const std::string rule = "the adapters of 'layers.0.attn.W_Q' must be A [r, in] and B [out, r]";
  for (const Shape& shape : {Shape{16, 3}, Shape{15, 2}, Shape{32}})
    CHECK(has(with_B(B, Tensor::zeros(shape)), rule));
  CHECK(has(with_B(B, Tensor::zeros({16, 2}, Dtype::f64)), rule));
  CHECK(has(with_B("elsewhere", Tensor::zeros({16, 2})), rule));
  CHECK(has(with_B(B, Tensor::full({16, 2}, NAN)), "is not finite"));
  const auto other = [](Json&, Weights& weights) {
    weights.push_back({"other.lora_A", Tensor::zeros({2, 16})});
  };
  CHECK(has(refused(other), "'other.lora_A' is not in the model"));

  // A checkpoint that stands on itself.
  const std::string folder = fs::canonical(c.folder).string();
  Json state = *c.state;
  state["base"]["path"] = folder;
  state["base"]["checksum"] = checksum_file(folder + "/model.safetensors");
  write_file_atomic(folder + "/state.json", dump_json(state));
  write_checksums(folder, {"model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.json",
                           "config.resolved.toml"});
  CHECK(has(error_of(Fault::data, [&] { load_experiment(run, "last"); }),
            "adapters must not stand on more than 16 others"));
}

TEST_CASE("lora: adapters on adapters, and weights in a file") {
  const Tuned t;
  const std::string config = t.data.encoder(), first = t.data.folder / "first",
                    second = t.data.folder / "second";
  train_from(config, adapters_of(t.base), first);
  train_from(config, adapters_of(first, {"run.seed=9"}), second);
  const Experiment e = load_experiment(second, "last");
  Session full(config, {"train.init_from='" + second + "'", "train.max_steps=0"});
  warm_start(full.training);
  for (const NamedTensor& one : load_experiment(second).parameters->named())
    CHECK(same_bits(one.tensor, full.value(one.name)));
  CHECK(!same_bits(named(*e.parameters, "layers.0.attn.W_Q"),
                   named(*load_experiment(first, "last").parameters, "layers.0.attn.W_Q")));

  const std::string file = t.data.folder / "weights.safetensors";
  write_safetensors(file, e.parameters->named());
  train_from(config, adapters_of(file), t.data.folder / "third");
  load_experiment(t.data.folder / "third");
}

TEST_CASE("lora: a new head is trained as a whole; nothing else may be missing in the base") {
  const Tuned t;
  const std::string config = t.data.encoder(), run = t.data.folder / "run";
  const std::string boats = "boat\tthe [bank] of\nboat\ta [bank] to\n";
  write_file_atomic(t.data.folder / "train.tsv", sentences(44, 0) + boats);
  const auto start = [&](const Sets& more) {
    Session s(config, adapters_of(t.base, more));
    warm_start(s.training);
  };
  const Sets words{"tokenizer.type='file'",
                   "tokenizer.file='" + t.base + "/checkpoints/last/tokenizer.json'"};
  CHECK(has(error_of(Fault::data, [&] { start(words); }),
            "'head.weight' has shape [2, 16]; model expects [3, 16]"));
  const Sets head = words + Sets{"train.init_except=['head.*']"};
  train_from(config, adapters_of(t.base, head), run);
  CHECK(names_in(run + "/checkpoints/last/model.safetensors").count("head.weight") == 1);
  CHECK(load_experiment(run).task->classes().size() == 3);
  CHECK(has(error_of(Fault::data, [&] { start(head + Sets{"model.n_layer=2"}); }),
            "must hold all that [train.lora] does not train; it lacks"));
  CHECK(has(error_of(Fault::usage, [&] { start({"train.init_except=['haed.*']"}); }),
            "train.init_except: pattern must match a parameter; got 'haed.*'"));
}

TEST_CASE("lora: what its keys must be") {
  const Tuned t;
  const auto refused = [&](const Sets& sets, const std::string& rule) {
    CHECK(has(error_of(Fault::usage, [&] { Session s(t.data.encoder(), sets); }), rule));
  };
  const std::string& base = t.base;
  refused(adapters_of(base, {"train.lora.rank=0"}), "lora.rank must be positive with targets; got 0");
  refused(adapters_of(base, {"train.lora.targets=[]"}), "must name the matrices that get adapters; got none");
  refused(adapters_of(""), "train.init_from must name the weights that [train.lora] adapts; got none");
  refused(adapters_of(base, {"train.lora.targets=['*.W_X']"}),
          "lora.targets: pattern must match a matrix that init_from gives; got '*.W_X'");
  refused(adapters_of(base, {"train.lora.alpha=0"}), "train.lora.alpha must be positive");
  refused({"train.init_except=['head.*']"}, "train.init_except must be empty without init_from");
}

TEST_CASE("lora: all kinds of models") {
  const TemporaryFolder folder;
  const std::string memory = "length = 2\ndelay = 3\n[task]\ntype = 'copy-memory'\n[model]\n",
                    pairs = "source = 'reverse'\nmax_length = 4\n[task]\ntype = 'translation'\n[model]\n",
                    config = folder / "c.toml", base = folder / "base", run = folder / "run";
  for (const std::string& kind :
       {memory + "type = 'decoder-lm'\ntie_embeddings = true\n", memory + "type = 'lstm'\n",
        memory + "type = 'gru'\n", memory + "type = 'rnn'\n", pairs + "type = 'encoder-decoder'\n"}) {
    CAPTURE(kind);
    fs::remove_all(base), fs::remove_all(run);
    write_file_atomic(
        config, "[train]\nmax_steps = 3\n[data]\nbatch_size = 4\nexamples = 8\neval_examples = 4\n" + kind +
                    "d_model = 8\nn_layer = 1\nmax_seq_len = 16\n");
    Session(config).train(base);
    const Sets sets{"train.init_from='" + base + "'", "train.lora.rank=2", "train.lora.targets=['*']"};
    Session session(config, sets);
    warm_start(session.training);
    session.train(run);
    const Experiment loaded = load_experiment(run, "last");
    const int first = 0;
    Batch batch;
    collate(*loaded.task, Split::val, &first, 1, nullptr, batch);
    CHECK(same_bits(loaded.model->forward(batch).value(), session.experiment.model->forward(batch).value()));
    Session before(config);
    CHECK(!same_bits(before.experiment.model->forward(batch).value(), loaded.model->forward(batch).value()));
  }
}

}  // namespace qkv::test
