#include "serve/trainings.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/toml.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"
#include "train/run_dir.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr std::size_t kShown = 2000;  // characters of what a process said

// Whether a process has this file open: the lock file of a run, of which only its trainer has the lock.
bool has_open(pid_t process, const std::string& file) {
  std::error_code error;
  const std::string folder = fmt::format("/proc/{}/fd", process);
  for (const std::string& name : entries_of(folder))
    if (fs::read_symlink(folder + "/" + name, error).string() == file && !error) return true;
  return false;
}

}  // namespace

pid_t trainer_of(const std::string& run) {
  if (!is_training(run)) return 0;
  std::error_code error;
  const std::string lock = fs::canonical(run + "/.lock", error).string();
  std::ifstream locks("/proc/locks");  // "3: FLOCK  ADVISORY  WRITE 4711 08:01:5382 0 EOF"
  for (std::string line; std::getline(locks, line);) {
    const std::vector<std::string> words = split_words(line);
    if (words.size() < 5 || words[1] != "FLOCK" || words[3] != "WRITE" || !all_digits(words[4])) continue;
    if (words[4].size() > 9) continue;
    const auto process = static_cast<pid_t>(std::stol(words[4]));
    if (process > 1 && has_open(process, lock)) return process;
  }
  return 0;
}

void stop_training(const std::string& run) {
  const pid_t process = trainer_of(run);
  if (process == 0)
    fail(Fault::usage,
         "{}: must be in training by a process of this machine; got none that can be seen from here",
         fs::path(run).filename().string());
  // The descriptor stands for the process itself, whose number another one may get when it ends.
  const Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
  if (!handle || trainer_of(run) != process ||
      ::syscall(SYS_pidfd_send_signal, handle.get(), SIGINT, nullptr, 0) != 0)
    fail(Fault::runtime, "{}: the process {} that trains it cannot be told to stop; got {}",
         fs::path(run).filename().string(), process, std::strerror(errno));
}

void Continuations::start(const std::string& name, const std::string& run, std::int64_t step,
                          std::int64_t max_steps) {
  if (max_steps <= step || max_steps > 1'000'000'000)
    fail(Fault::usage,
         "{}: the last step must be after {}, which the run has reached, and at most 1000000000; got {}",
         name, step, max_steps);
  if (is_training(run)) fail(Fault::usage, "{}: it is in training", name);
  spawn(name, {"resume", run, "--set", fmt::format("train.max_steps={}", max_steps)});
}

std::string Continuations::draw(const std::string& name, const std::string& run, const std::string& lines,
                                double weight, const std::vector<std::string>& heads) {
  idle(name);
  std::string drawn = run + "-drawn";
  for (int k = 2; exists(drawn); k++) drawn = fmt::format("{}-drawn-{}", run, k);
  std::vector<std::string> patterns;
  for (const std::string& head : heads) patterns.push_back(toml_string(head));
  const fs::path place(drawn);
  const std::string file = drawn + ".jsonl";
  write_file_atomic(file, lines);
  spawn(name, {"train", run + "/config.resolved.toml", "--set",
               "run.name=" + toml_string(place.filename().string()), "--set",
               "run.out_dir=" + toml_string(place.parent_path().string()), "--set",
               "train.attention_loss.file=" + toml_string(fs::absolute(file).string()), "--set",
               fmt::format("train.attention_loss.weight={}", weight), "--set",
               "train.attention_loss.heads=[" + join(patterns, ", ") + "]"});
  return place.filename().string();
}

Continuations::Child& Continuations::idle(const std::string& name) {
  Child& child = children_[name];
  reap(child);
  if (child.process > 0) fail(Fault::usage, "{}: it is in training", name);
  return child;
}

void Continuations::spawn(const std::string& name, std::vector<std::string> arguments) {
  Child& child = idle(name);
  if (child.output >= 0) ::close(child.output);
  child = Child{};
  child.output = ::memfd_create("qkv", MFD_CLOEXEC);
  std::error_code error;
  const std::string program = fs::read_symlink("/proc/self/exe", error).string();
  arguments.insert(arguments.begin(), {program, "-q"});
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  for (const int stream : {1, 2}) ::posix_spawn_file_actions_adddup2(&files, child.output, stream);
  ::posix_spawnattr_init(&attributes);
  sigset_t none, usual;
  ::sigemptyset(&none), ::sigemptyset(&usual);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::sigaddset(&usual, signal);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &usual);
  ::posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int fault =
      ::posix_spawn(&child.process, program.c_str(), &files, &attributes, pointers.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (fault != 0)
    child.process = 0,
    fail(Fault::runtime, "{}: no process could be started; got {}", name, std::strerror(fault));
}

void Continuations::reap(Child& child) {
  int status = 0;
  if (child.process == 0 || ::waitpid(child.process, &status, WNOHANG) == 0) return;
  child.process = 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  const off_t size = ::lseek(child.output, 0, SEEK_END);
  std::string said(kShown, '\0');
  const ssize_t got =
      ::pread(child.output, said.data(), said.size(), std::max<off_t>(0, size - static_cast<off_t>(kShown)));
  said.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  child.fault =
      WIFEXITED(status) ? std::string(trim(said)) : fmt::format("ended by signal {}", WTERMSIG(status));
}

std::map<std::string, std::string> Continuations::faults() {
  std::map<std::string, std::string> result;
  for (auto& [name, child] : children_) {
    reap(child);
    if (!child.fault.empty()) result[name] = child.fault;
  }
  return result;
}

std::size_t Continuations::running() {
  std::size_t n = 0;
  for (auto& [run, child] : children_) reap(child), n += child.process > 0;
  return n;
}

}  // namespace qkv
