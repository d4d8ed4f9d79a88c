#include "cli/inspect.h"

#include "qkv/cli/verb.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Inspection);

namespace {

struct Inspect : Verb {
  void setup(Options& options) override {
    options.add("run", &subject.path, "run directory, checkpoint or, for words, a file of word2vec");
    for (auto& [name, entry] : Registry<Inspection>::instance().entries()) {
      Options& own = options.add_verb(name, entry.help);
      inspections.push_back(entry.make());
      inspections.back()->setup(own);
      own.add("--checkpoint", &subject.checkpoint, "best, last or step-000100");
      own.add("--set", &subject.sets, "override a key of the config");
      own.add("--json", &subject.json, "print JSON, one object per text where there are texts");
      own.example = inspections.back()->example();
    }
    verbs = &options.verbs;
  }
  int run() override {
    auto inspection = inspections.begin();
    for (const Options& verb : *verbs) {
      if (verb.chosen && subject.path.empty() && (*inspection)->needs_subject())
        fail(Fault::usage, "inspect: a run must be given before '{}'; got none", verb.name);
      if (verb.chosen) return (*inspection)->run(subject);
      ++inspection;
    }
    return 0;
  }
  std::string example() const override { return "qkv inspect runs/word2vec neighbors king"; }

  std::vector<std::unique_ptr<Inspection>> inspections;  // as in *verbs
  const std::list<Options>* verbs = nullptr;
  Subject subject;
};

QKV_REGISTER(Verb, "inspect", Inspect,
             "look inside a trained model: attention, queries, keys, values, vectors of words, neighbours");

}  // namespace
}  // namespace qkv
