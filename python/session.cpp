#include "session.h"

#include <chrono>
#include <csignal>
#include <optional>

#include "cli/continuation.h"
#include "cli/training.h"
#include "model/finite.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/json.h"
#include "qkv/base/threads.h"
#include "qkv/log/console.h"
#include "train/checkpoint.h"
#include "values.h"

using namespace qkv;

namespace {

std::mutex preparing;           // held while a model is loaded, or a training until its first record
std::shared_mutex pool_in_use;  // shared by computations; held alone while a training changes the threads

// Computes without Python's lock, so that other threads of the program go on.
template <class F>
auto compute(F f) {
  const py::gil_scoped_release free;
  const std::shared_lock lock(pool_in_use);
  return f();
}

std::mutex matmul_mutex;  // guards
int matmul_users = 0;
Matmul matmul_used = Matmul::f32;

}  // namespace

MatmulUse::MatmulUse(const Section& config) {
  const Matmul own = config.section("run").given<Matmul>("matmul").value_or(Matmul::f32);
  const std::lock_guard lock(matmul_mutex);
  if (matmul_users > 0 && own != matmul_used)
    fail(Fault::usage, "run.matmul: must be the same in all models of a process; got '{}' beside '{}'",
         names_of(own).at(std::size_t(own)), names_of(matmul_used).at(std::size_t(matmul_used)));
  matmul_used = own, matmul_users++;
}

MatmulUse::~MatmulUse() {
  const std::lock_guard lock(matmul_mutex);
  matmul_users--;
}

// ---- training

namespace {

// What the program does with records, and how it stops a training: by an exception, which is kept until the
// run is saved.
class Following {
 public:
  explicit Following(py::object callback) : callback_(std::move(callback)) {
    watcher_.record = [this](const Record& record) {
      if (record.type() == "start") {
        run_ = record.text("run_dir");
        ready_.reset();
      }
      if (!callback_.is_none()) call([&] { callback_(dict_of(record)); });
    };
    watcher_.step = [this] {
      const auto now = std::chrono::steady_clock::now();
      if (now - checked_ < std::chrono::milliseconds(50)) return;
      checked_ = now;
      call([] {
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      });
    };
  }

  // Calls train(watcher); the run directory.
  template <class F>
  std::string follow(const Section& config, F train) {
    static std::mutex running;
    const std::unique_lock alone(running, std::try_to_lock);
    if (!alone) fail(Fault::usage, "train: one training at a time runs in a process; got a second one");
    try {
      const py::gil_scoped_release free;
      const MatmulUse use(config);
      ready_.emplace();
      request_stop(0);
      train(watcher_);
    } catch (...) {
      if (!raised_) raised_ = std::current_exception();
    }
    ready_.reset();
    console().detach_file();
    if (raised_) std::rethrow_exception(raised_);
    return run_;
  }

 private:
  template <class F>
  void call(F f) {
    if (raised_) return;
    const py::gil_scoped_acquire python;
    try {
      f();
    } catch (const py::error_already_set&) {
      raised_ = std::current_exception();
      request_stop(SIGINT);
    }
  }

  struct Ready {
    std::scoped_lock<std::mutex, std::shared_mutex> locks{preparing, pool_in_use};
  };

  Watcher watcher_;
  std::string run_;
  py::object callback_;
  std::optional<Ready> ready_;
  std::exception_ptr raised_;
  std::chrono::steady_clock::time_point checked_;
};

}  // namespace

std::string train_config(const std::string& config, const std::string& text, const Texts& sets,
                         py::object callback, bool resume, bool overwrite, const Texts& command) {
  TrainingRequest request;
  request.config = config, request.text = text, request.sets = sets, request.command = command;
  request.resume = resume, request.overwrite = overwrite;
  return Following(std::move(callback)).follow(request.load(), [&](const Watcher& watcher) {
    request.watcher = &watcher;
    train_run(request);
  });
}

std::string resume_training(const std::string& run, const Texts& sets, py::object callback) {
  const Section config = Section::load(config_of_run(run), sets);
  return Following(std::move(callback)).follow(config, [&](const Watcher& watcher) {
    resume_run(run, sets, &watcher);
  });
}

// ---- trained models

static Experiment load(const std::string& folder, const Texts& sets) {
  const std::lock_guard lock(preparing);
  return load_experiment(folder, "best", sets);
}

LoadedModel::LoadedModel(const std::string& run, const std::string& checkpoint, const Texts& sets)
    : folder_(find_checkpoint(run, checkpoint)),
      use_(Section::load(folder_ + "/config.resolved.toml", sets)),
      e_(load(folder_, sets)),
      config_(e_.config.dump()) {}

Json LoadedModel::predict(const std::string& text) const {
  return compute([&] { return e_.task->predict(*e_.model, text); });
}

std::vector<Json> LoadedModel::predict_all(const Texts& texts) const {
  return compute([&] {
    std::vector<Json> answers(texts.size());
    pool().run(static_cast<int>(texts.size()), [&](int i, int) {
      answers[std::size_t(i)] = e_.task->predict(*e_.model, texts[std::size_t(i)]);
    });
    return answers;
  });
}

Json LoadedModel::generate(const std::string& prompt, const GenerateOptions& options, int beam,
                           bool allow_unk) const {
  return compute([&] {
    const Continuation continuation(e_, options, allow_unk);
    return beam > 0 ? continuation.search(prompt, beam) : continuation.draw(prompt);
  });
}

Json LoadedModel::evaluate(const std::string& split) {
  return compute([&] {
    const std::lock_guard lock(mutex_);
    return qkv::evaluate(*e_.task, *e_.model, split_from(split), 128).json();
  });
}

Look LoadedModel::look(const std::string& text) {
  return compute([&] {
    const std::lock_guard lock(mutex_);
    Look look = look_at(e_, text);
    check_attention(e_, !look.layers.empty());
    return look;
  });
}

std::vector<NamedTensor> LoadedModel::captured(const std::string& text, const Texts& names) {
  return compute([&] {
    const std::lock_guard lock(mutex_);
    const ProbeText probe = texts_or_examples(e_, {text}, 0).front();
    Capture capture(names);
    const Tensor logits = finite_forward(*e_.model, e_.task->probe_batch(&probe, 1));
    std::vector<NamedTensor> found{{"logits", logits}};
    for (auto& [name, tensor] : capture.all()) found.push_back({name, tensor});
    return found;
  });
}
