// The live page about the runs of a folder.
#include "serve/serve.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>

#include "base/file.h"
#include "cli/answers.h"
#include "qkv/base/threads.h"

namespace qkv {
namespace {

int stop_event = -1;

void stop_serving(int) {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_event, &one, sizeof one);
}

struct ServeRuns : Verb {
  void setup(Options& verb) override {
    verb.add("dir", &options.folder, "folder of runs").shows_default = true;
    Option& port = verb.add("--port", &options.port, "port to listen at; 0 = any that is free");
    port.range = {0, 65535};
    port.shows_default = true;
    verb.add("--address", &options.address, "address to listen at; others than 127.0.0.1 need --token")
        .shows_default = true;
    verb.add("--token", &options.token, "what every request must know: at least 16 characters");
    verb.add("--json", &json, "print the address as JSON");
  }
  int run() override {
    set_threads(1);  // a training beside it needs the others
    Serve serve(options);
    const Descriptor event(::eventfd(0, EFD_CLOEXEC));
    stop_event = event.get();
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction action = {};
      ::sigaction(signal, nullptr, &action);
      if (action.sa_handler == SIG_IGN) continue;  // the parent's wish
      action = {};
      action.sa_handler = stop_serving;
      action.sa_flags = static_cast<int>(SA_RESETHAND);  // a second one ends the process at once
      ::sigaction(signal, &action, nullptr);
    }
    print_answer(json, {{"url", serve.url()}, {"port", serve.port()}},
                 fmt::format("{}  (the runs of {}; Ctrl-C ends it)\n", serve.url(), options.folder));
    serve.run(stop_event);
    if (const std::size_t n = serve.trainings(); n > 0)
      console().info("{} training{} that {} started from the page go{} on", n, n > 1 ? "s" : "",
                     n > 1 ? "were" : "was", n > 1 ? "" : "es");
    return 0;
  }
  std::string example() const override { return "qkv serve runs --port 8088"; }

  ServeOptions options;
  bool json = false;
};

QKV_REGISTER(Verb, "serve", ServeRuns, "a live page about the runs of a folder, on this machine");

}  // namespace
}  // namespace qkv
