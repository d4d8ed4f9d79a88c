// Trainings that a Python program follows.
#include <pybind11/stl.h>

#include <chrono>
#include <csignal>
#include <optional>

#include "cli/training.h"
#include "qkv/base/threads.h"
#include "qkv/log/console.h"
#include "session.h"
#include "train/checkpoint.h"

using namespace qkv;

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

  // Calls train(watcher); the run directory. What the callback raises, or Python for a signal, is thrown once
  // the run is saved.
  template <class F>
  std::string follow(const Section& config, F train) {
    static std::mutex running;
    const std::unique_lock alone(running, std::try_to_lock);
    if (!alone) fail(Fault::usage, "train: one training at a time runs in a process; got a second one");
    try {
      const py::gil_scoped_release free;
      const auto matmul = use_matmul(config);
      ready_.emplace();
      request_stop(0);
      train(&watcher_);
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

std::string train_config(const Path& config, const std::string& text, const Texts& sets, py::object callback,
                         bool resume, bool overwrite, const Texts& command) {
  TrainingRequest request;
  request.config = config, request.text = text, request.sets = sets, request.command = command;
  request.resume = resume, request.overwrite = overwrite;
  return Following(std::move(callback)).follow(request.load(), [&](const Watcher* watcher) {
    request.watcher = watcher;
    train_run(request);
  });
}

std::string resume_training(const Path& run, const Texts& sets, py::object callback) {
  const Section config = Section::load(config_of_run(run), sets);
  return Following(std::move(callback)).follow(config, [&](const Watcher* watcher) {
    resume_run(run, sets, watcher);
  });
}

}  // namespace

std::shared_ptr<const Matmul> use_matmul(const Section& config) {
  static std::mutex mutex;
  static std::weak_ptr<const Matmul> current;
  const Matmul own = config.section("run").given<Matmul>("matmul").value_or(Matmul::f32);
  const std::lock_guard lock(mutex);
  std::shared_ptr<const Matmul> used = current.lock();
  if (!used) current = used = std::make_shared<const Matmul>(own);
  if (own != *used)
    fail(Fault::usage, "run.matmul: must be the same in all models of a process; got '{}' beside '{}'",
         names_of(own).at(std::size_t(own)), names_of(*used).at(std::size_t(*used)));
  return used;
}

void add_training(py::module_& m) {
  m.def("train", train_config);
  m.def("resume", resume_training);
}
