#include <unistd.h>
#include <csignal>

#include "qkv/train/trainer.h"

namespace qkv {

static volatile std::sig_atomic_t received = 0;

extern "C" void qkv_on_signal(int signal) {
  if (received) _exit(128 + signal);
  received = signal;
}

void watch_signals() {
  struct sigaction action = {};
  action.sa_handler = qkv_on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int signal_received() {
  return received;
}

}  // namespace qkv
