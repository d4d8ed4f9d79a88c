#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <new>
#include <sstream>

#include "arguments.h"
#include "log/terminal_text.h"
#include "qkv/base/plugin.h"
#include "qkv/base/text.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/tensor/blas.h"
#include "qkv/version.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Verb);

namespace {

std::string version_text() {
  const Blas state = blas();
  return fmt::format("qkv {} ({})\n{}\nBLAS {} (kernels {}, chosen by {}), one thread per worker", kVersion,
                     kRevision, kCompiler, state.library, state.core, state.chosen_by);
}

constexpr std::size_t kHelpColumn = 34;

struct Global {
  bool quiet = false;
  int verbose = 0;
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

// CLI11 writes a description in one line, behind the column of the options.
std::string wrapped_help(const std::string& text, int width) {
  std::string result;
  for (const std::string& line : split(text, '\n')) {
    if (visible_width(line) <= width || !starts_with(line, "  ") || line.size() <= kHelpColumn) {
      result += line + "\n";
      continue;
    }
    std::string head = line.substr(0, kHelpColumn);
    for (const std::string& part : wrapped(line.substr(kHelpColumn), width - static_cast<int>(kHelpColumn))) {
      result += head + part + "\n";
      head = std::string(kHelpColumn, ' ');
    }
  }
  result.pop_back();
  return result;
}

int parse_and_run(int argc, char** argv) {
  load_plugins_of(argc, argv);
  CLI::App app("Train transformers from scratch on a CPU, and see what they learn.", "qkv");
  app.set_version_flag("--version", version_text);  // asked for only where it is shown
  app.fallthrough();
  app.get_formatter()->column_width(kHelpColumn);
  Global global;
  app.add_flag("-q,--quiet", global.quiet, "errors only");
  app.add_flag("-v,--verbose", global.verbose, "every training line, debug messages");
  app.add_option("--color", global.color, "auto, always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}));
  app.add_option("--plugin", global.plugins,
                 "a plug-in to load first; it takes the place of one of that name in a config");
  std::vector<std::pair<CLI::App*, std::unique_ptr<Verb>>> verbs;
  for (auto& [name, entry] : Registry<Verb>::instance().entries()) {
    std::unique_ptr<Verb> verb = entry.make();
    CLI::App* sub = app.add_subcommand(name, entry.help);
    verb->command.assign(argv, argv + argc);
    verb->setup(*sub);
    sub->footer("Example:\n  " + verb->example());
    verbs.emplace_back(sub, std::move(verb));
  }
  app.require_subcommand(1);
  app.footer(
      "Example:\n  qkv train configs/bank.toml\n  qkv help train\n"
      "Exit codes: 0 success, 1 run-time failure, 2 usage or config error,\n"
      "3 bad data or checkpoint, 4 training diverged, 129/130/143 stopped by a signal after saving.");
  take_marked_values(app);
  std::vector<std::string> words = marked_words(app, {argv + std::min(1, argc), argv + argc});
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    app.parse(words);
  } catch (const CLI::Success& e) {  // --help, --version
    std::ostringstream text;
    app.exit(e, text);
    console().result(wrapped_help(text.str(), std::max(60, console().out_width())));
    return 0;
  } catch (const CLI::ParseError& e) {
    fail(Fault::usage, "qkv: {}", error_text(e.what()));
  }
  configure_console(global);
  for (auto& [sub, verb] : verbs)
    if (sub->parsed()) return verb->run();
  return 0;
}

// A program may be started without standard streams. The next file that it opens would become one of them,
// and hold what is printed.
void open_standard_streams() {
  for (int descriptor : {0, 1, 2})
    if (::fcntl(descriptor, F_GETFD) < 0) (void)::open("/dev/null", O_RDWR);  // the lowest that is free
}

}  // namespace

int run(int argc, char** argv) {
  open_standard_streams();
  const NoExit no_exit;
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is an error that a write reports, not a sudden end
  try {
    return parse_and_run(argc, argv);
  } catch (const Error& e) {
    console().error("{}", e.what());
    return e.exit_code();
  } catch (const std::bad_alloc&) {
    console().error("memory: the system has no more of it (a smaller model or batch needs less)");
    return 1;
  } catch (const std::exception& e) {
    console().error("internal error: {}", e.what());
    return 1;
  } catch (...) {  // of a plug-in
    console().error("internal error: something was thrown that is no std::exception");
    return 1;
  }
}

}  // namespace qkv
