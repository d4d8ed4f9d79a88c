// Trainings: stopping one that runs, and continuing one in a process of its own.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace qkv {

/// The process that holds the lock of a run directory, as the kernel knows it; 0 where there is none, or it
/// cannot be seen from here.
pid_t trainer_of(const std::string& run);

/// Has a training stop after its step and save, as Ctrl-C does. A usage error where none can be found.
void stop_training(const std::string& run);

/// Trainings that this process starts, each in its own session, so that it outlives this process.
class Continuations {
 public:
  /// `qkv resume RUN --set train.max_steps=N`. `run` is the directory, at `step`. A usage error where it
  /// trains, or has come as far.
  void start(const std::string& name, const std::string& run, std::int64_t step, std::int64_t max_steps);
  /// Trains the config of a run again with [train.attention_loss]: `lines` become its file, beside the new
  /// run RUN-drawn, RUN-drawn-2, ..., whose name is returned. One at a time of each run.
  std::string draw(const std::string& name, const std::string& run, const std::string& lines, double weight,
                   const std::vector<std::string>& heads);
  /// Why those that did not end well did not: the end of what they said, by the names of the runs.
  std::map<std::string, std::string> faults();
  /// How many still run.
  std::size_t running();

 private:
  struct Child {
    pid_t process = 0;
    int output = -1;  ///< a file without a name, with what it printed
    std::string fault = {};
  };
  static void reap(Child& child);
  /// What ran last for that name; a usage error where it still runs.
  Child& idle(const std::string& name);
  /// Runs this program.
  void spawn(const std::string& name, std::vector<std::string> arguments);
  std::map<std::string, Child> children_;
};

}  // namespace qkv
