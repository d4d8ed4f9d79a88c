#include "cli/inspect.h"

#include <CLI/CLI.hpp>

#include "qkv/cli/verb.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Inspection);

namespace {

struct Inspect : Verb {
  void setup(CLI::App& app) override {
    app.add_option("run", subject.path, "run directory, checkpoint or, for words, a file of word2vec");
    app.require_subcommand(1);
    for (auto& [name, entry] : Registry<Inspection>::instance().entries()) {
      Kind kind{app.add_subcommand(name, entry.help), entry.make()};
      kind.inspection->setup(*kind.app);
      kind.app->add_option("--checkpoint", subject.checkpoint, "best, last or step-000100");
      kind.app->add_option("--set", subject.sets, "override a key of the config");
      kind.app->add_flag("--json", subject.json, "print JSON, one object per text where there are texts");
      kind.app->footer("Example:\n  " + kind.inspection->example());
      kinds.push_back(std::move(kind));
    }
  }
  int run() override {
    for (Kind& kind : kinds) {
      if (!kind.app->parsed()) continue;
      if (subject.path.empty() && kind.inspection->needs_subject())
        fail(Fault::usage, "inspect: a run must be given before '{}'; got none", kind.app->get_name());
      return kind.inspection->run(subject);
    }
    return 0;
  }
  std::string example() const override { return "qkv inspect runs/word2vec neighbors king"; }

  struct Kind {
    CLI::App* app;
    std::unique_ptr<Inspection> inspection;
  };
  std::vector<Kind> kinds;
  Subject subject;
};

QKV_REGISTER(Verb, "inspect", Inspect,
             "look inside a trained model: attention, queries, keys, values, vectors of words, neighbours");

}  // namespace
}  // namespace qkv
