#include "cli/side_by_side.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <map>
#include <thread>

#include "cli/answers.h"
#include "qkv/train/training.h"

namespace qkv {
namespace {

pid_t start(const std::function<int()>& work) {
  const pid_t parent = ::getpid(), child = ::fork();
  if (child < 0) fail(Fault::runtime, "a process cannot be started");
  if (child > 0) return child;
  ::setpgid(0, 0);  // the terminal's Ctrl-C goes to the parent alone, which passes it on once
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  console().configure({-1});
  ::_exit(exit_code_of(work));
}

}  // namespace

int side_by_side(std::size_t n, int at_once, const std::function<int(std::size_t)>& work,
                 const std::function<bool(std::size_t, int)>& ended) {
  if (at_once == 1) {
    for (std::size_t i = 0; i < n; i++)
      if (!ended(i, exit_code_of([&] { return work(i); }))) break;
    return signal_received();
  }
  install_signal_handlers();
  std::map<pid_t, std::size_t> running;
  bool go_on = true, stopped = false;
  for (std::size_t next = 0;;) {
    go_on = go_on && !signal_received();
    while (go_on && next < n && running.size() < static_cast<std::size_t>(at_once)) {
      const std::size_t own = next++;
      running[start([&] { return work(own); })] = own;
    }
    if (running.empty()) return signal_received();
    if (!go_on && !stopped)
      for (auto& [process, number] : running)
        ::kill(process, signal_received() ? signal_received() : SIGTERM);
    stopped = !go_on;
    for (auto one = running.begin(); one != running.end();) {
      int status = 0;
      if (::waitpid(one->first, &status, WNOHANG) == 0) {
        ++one;
        continue;
      }
      if (!WIFEXITED(status)) console().error("a process was ended by signal {}", WTERMSIG(status));
      go_on = ended(one->second, WIFEXITED(status) ? WEXITSTATUS(status) : 1) && go_on;
      one = running.erase(one);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace qkv
