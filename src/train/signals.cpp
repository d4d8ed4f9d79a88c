#include <unistd.h>

#include <atomic>
#include <csignal>

#include "qkv/log/console.h"
#include "train/signals.h"

namespace qkv {

static volatile std::sig_atomic_t received = 0;

extern "C" void qkv_on_signal(int signal) {
  if (received && signal != SIGHUP) _exit(128 + signal);  // a terminal that closes may send two SIGHUPs
  if (!received) received = signal;
}

void install_signal_handlers() {
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) {
    struct sigaction action = {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler == SIG_IGN) continue;  // the parent's wish: nohup, or a job in the background
    action = {};
    action.sa_handler = qkv_on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(signal, &action, nullptr);
  }
}

int signal_received() {
  static std::atomic<bool> reported{false};
  if (received && !reported.exchange(true))
    console().info("signal {}: the run stops as soon as it can be saved (a second signal stops it at once)",
                   static_cast<int>(received));
  return received;
}

}  // namespace qkv
