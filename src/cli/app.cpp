#include <fcntl.h>

#include <algorithm>
#include <csignal>
#include <new>

#include "base/communicator.h"
#include "cli/answers.h"
#include "cli/arguments.h"
#include "qkv/base/plugin.h"
#include "qkv/version.h"
#include "tensor/blas.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Verb);

namespace {

std::string version_text() {
  const Blas state = blas();
  return fmt::format("qkv {} ({})\n{}\nBLAS {} (kernels {}, chosen by {}), one thread per worker", kVersion,
                     kRevision, kCompiler, state.library, state.core, state.chosen_by);
}

struct Global {
  bool quiet = false, verbose = false, version = false;
  std::string color = "auto";
  std::vector<std::string> plugins;  // loaded already
};

void configure_console(const Global& global) {
  ConsoleOptions options;
  options.verbosity = global.quiet ? -1 : global.verbose;
  options.color = global.color == "always"  ? ColorChoice::always
                  : global.color == "never" ? ColorChoice::never
                                            : ColorChoice::automatic;
  console().configure(options);
}

// The plug-ins of the command line, before there are verbs: they may bring some.
void load_plugins_of(int argc, char** argv) {
  const std::string option = "--plugin";
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    if (word == "--") return;
    if (word == option && i + 1 < argc) load_plugin_instead(argv[++i]);
    if (starts_with(word, option + "=")) load_plugin_instead(word.substr(option.size() + 1));
  }
}

// ---- processes of mpirun

// An error while others wait for this rank ends all of them. Else they learn of it, and all throw it.
int run_or_agree(const std::function<int()>& work) {
  Communicator& ranks = communicator();
  int code = 1;
  try {
    return work();
  } catch (const AgreedError&) {
    throw;
  } catch (const Error& e) {
    if (!ranks.computing) ranks.agree(&e);
    code = exit_code_of([]() -> int { throw; });
  } catch (...) {
    code = exit_code_of([]() -> int { throw; });
  }
  ranks.abort(code);
  return code;
}

// Runs a verb in each process that mpirun has started, where it has: one reports for all.
int run_in_ranks(const std::string& verb, const std::function<int()>& work) {
  if (started_ranks() == 1) return work();
  int code = 0;
  try {
    if (verb != "train" && verb != "resume")
      fail(Fault::usage, "mpirun: must start one process of a verb other than train and resume; got {} of {}",
           started_ranks(), verb);
    start_communicator();
    communicator().report = [](const std::string& text) {
      console().error("{}", text);
    };
    if (started_rank() > 0) console().configure({-1});
    code = run_or_agree(work);
  } catch (const AgreedError&) {  // told by rank 0; before it has, mpirun must see nothing that failed
    stop_communicator();
    if (started_rank() == 0) throw;
    return 0;
  } catch (const Error& e) {
    stop_communicator();
    if (started_rank() == 0) throw;
    return e.exit_code();
  }
  stop_communicator();
  return code;
}

// ---- the command line

int parse_and_run(int argc, char** argv) {
  load_plugins_of(argc, argv);
  Options program("qkv", "Train transformers from scratch on a CPU, and see what they learn.");
  program.example =
      "qkv train configs/bank.toml\n  qkv help train\n"
      "Exit codes: 0 success, 1 run-time failure, 2 usage or config error,\n"
      "3 bad data or checkpoint, 4 training diverged, 129/130/143 stopped by a signal after saving.";
  Global global;
  const Option& version =
      program.add("--version", &global.version, "Display program version information and exit");
  program.add("-q,--quiet", &global.quiet, "errors only");
  program.add("-v,--verbose", &global.verbose, "every training line, debug messages");
  program.add("--color", &global.color, "auto, always or never").choices = {"auto", "always", "never"};
  program.add("--plugin", &global.plugins,
              "a plug-in to load first; it replaces one of the same name in a config");
  std::vector<std::pair<const Options*, std::unique_ptr<Verb>>> verbs;
  for (auto& [name, entry] : Registry<Verb>::instance().entries()) {
    Options& options = program.add_verb(name, entry.help);
    Verb& verb = *verbs.emplace_back(&options, entry.make()).second;
    verb.command.assign(argv, argv + argc);
    verb.setup(options);
    options.example = verb.example();
  }
  add_unset(program);
  const std::string help = parse_arguments(program, {argv + std::min(1, argc), argv + argc});
  if (!help.empty() || version.given) {
    console().result(help.empty() ? version_text() + "\n" : help);
    return 0;
  }
  configure_console(global);
  for (const auto& one : verbs)
    if (one.first->chosen) return run_in_ranks(one.first->name, [&] { return one.second->run(); });
  return 0;
}

// A program may be started without standard streams. The next file that it opens would become one of them,
// and hold what is printed.
void open_standard_streams() {
  for (int descriptor : {0, 1, 2})
    if (::fcntl(descriptor, F_GETFD) < 0) (void)::open("/dev/null", O_RDWR);  // the lowest that is free
}

}  // namespace

int exit_code_of(const std::function<int()>& work) {
  try {
    return work();
  } catch (const Error& e) {
    console().error("{}", e.what());
    return e.exit_code();
  } catch (const std::bad_alloc&) {
    console().error("out of memory (try a smaller model or batch)");
    return 1;
  } catch (const std::exception& e) {
    console().error("internal error: {}", e.what());
    return 1;
  } catch (...) {  // of a plug-in
    console().error("internal error: something was thrown that is no std::exception");
    return 1;
  }
}

int run(int argc, char** argv) {
  open_standard_streams();
  const NoExit no_exit;
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is an error that a write reports, not a sudden end
  return exit_code_of([&] { return parse_and_run(argc, argv); });
}

}  // namespace qkv
