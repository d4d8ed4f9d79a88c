#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>

#include "qkv/base/plugin.h"
#include "qkv/base/text.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/tensor/gemm.h"
#include "qkv/version.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Verb);

namespace {

std::string version_text() {
  return fmt::format("qkv {} ({})\n{}\nBLAS {} ({}), one thread per worker", kVersion, kRevision, kCompiler,
                     trim(blas_config()), blas_core());
}

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

// CLI11 says "A subcommand is required" for a misspelt verb; say which one was meant. Also for the words that
// some verbs go on with.
void check_verbs(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  std::size_t places = 0;  // of arguments that stand before the next verb
  std::string said = "qkv";
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    if (word == "-h" || word == "--help" || word == "--version") return;
    if (word == "--color" || word == "--plugin") i++;
    if (word.empty() || word[0] == '-') continue;
    std::vector<std::string> names;
    const CLI::App* next = nullptr;
    for (const CLI::App* verb : at->get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(verb->get_name());
      if (names.back() == word) next = verb;
    }
    if (names.empty()) return;
    if (!next && places > 0) {
      places--;
      continue;
    }
    if (!next) fail(Fault::usage, "{}: unknown verb '{}'{}", said, word, suggest(word, names));
    at = next;
    places = at->get_options([](const CLI::Option* o) { return o->get_positional(); }).size();
    said += " " + word;
  }
  if (!at->get_subcommands([](const CLI::App*) { return true; }).empty())
    fail(Fault::usage, "{0}: a verb must be given; see {0} --help", said);
}

// `--set key=value` takes one word each time it is given, and never the positional that follows.
void take_one_word(CLI::App& app) {
  for (CLI::Option* option : app.get_options())
    if (option->check_lname("set")) option->allow_extra_args(false);
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) take_one_word(*verb);
}

// The plug-ins of the command line, before there are verbs: they may bring some.
void load_plugins_of(int argc, char** argv) {
  const std::string option = "--plugin";
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    if (word == option && i + 1 < argc) load_plugin_instead(argv[++i]);
    if (starts_with(word, option + "=")) load_plugin_instead(word.substr(option.size() + 1));
  }
}

int parse_and_run(int argc, char** argv) {
  load_plugins_of(argc, argv);
  CLI::App app("Train transformers from scratch on a CPU, and see what they learn.", "qkv");
  app.set_version_flag("--version", version_text());
  app.fallthrough();
  app.get_formatter()->column_width(34);
  Global global;
  app.add_flag("-q,--quiet", global.quiet, "errors only");
  app.add_flag("-v,--verbose", global.verbose, "every training line, debug messages");
  app.add_option("--color", global.color, "auto, always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}));
  app.add_option("--plugin", global.plugins,
                 "a plug-in to load first; it takes the place of one of that name in a config")
      ->take_all()
      ->expected(1);
  std::vector<std::pair<CLI::App*, std::unique_ptr<Verb>>> verbs;
  for (auto& [name, entry] : Registry<Verb>::instance().entries()) {
    std::unique_ptr<Verb> verb = entry.make();
    CLI::App* sub = app.add_subcommand(name, entry.help);
    verb->command.assign(argv, argv + argc);
    verb->setup(*sub);
    take_one_word(*sub);
    sub->footer("Example:\n  " + verb->example());
    verbs.emplace_back(sub, std::move(verb));
  }
  app.require_subcommand(1);
  app.footer(
      "Example:\n  qkv train configs/bank.toml\nExit codes: 0 success, 1 run-time failure, 2 usage or config "
      "error, 3 bad data or checkpoint,\n4 training diverged, 130/143 stopped by a signal after saving.");
  check_verbs(app, argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    fail(Fault::usage, "qkv: {}", e.what());
  }
  configure_console(global);
  for (auto& [sub, verb] : verbs)
    if (sub->parsed()) return verb->run();
  return 0;
}

}  // namespace

int run(int argc, char** argv) {
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
  }
}

}  // namespace qkv
