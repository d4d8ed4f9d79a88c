// Signals that ask a run to stop.
#pragma once

namespace qkv {

/// Installs handlers for SIGHUP, SIGINT and SIGTERM that ask the running training to stop after its step; a
/// second signal ends the process at once. A signal that the parent has the process ignore stays ignored.
void install_signal_handlers();
/// The signal that came, or 0. The first call that sees it says so on the console; for any thread.
int signal_received();

}  // namespace qkv
