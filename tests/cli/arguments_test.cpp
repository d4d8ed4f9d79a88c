// Every value of every verb arrives as it was typed.
#include "cli/arguments.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "qkv/base/error.h"
#include "qkv/base/text.h"

using namespace qkv;

namespace {

using Words = std::vector<std::string>;

const Words kTyped{"[a, b]", "[]",         "[MAX 2 [MIN 4 7 ] 0 ]",
                   "",       " ",          "-x",
                   "--json", "--set=a",    "--",
                   "-",      "++",         "%%",
                   "{}",     "\"quoted\"", "'",
                   "a=b",    "=",          "/o",
                   "a\\nb",  "a\nb",       "train",
                   "-1",     "-.5",        "\x01",
                   "#",      "@file",      "[",
                   "]",      "a,b",        "\xff"};

// The program with its verbs, of which no argument must be given.
struct Program {
  Program() {
    for (auto& [name, entry] : Registry<Verb>::instance().entries()) {
      made.push_back(entry.make());
      made.back()->setup(root.add_verb(name, entry.help));
    }
    add_unset(root);
    free(root);
  }
  static void free(Options& options) {
    for (Option& option : options.options) option.required = false;
    for (Options& verb : options.verbs) free(verb);
  }
  Options root{"qkv", ""};
  std::vector<std::unique_ptr<Verb>> made;
};

bool takes_texts(const Option& option) {
  return std::holds_alternative<std::vector<std::string>*>(option.target);
}

// All options that take text, as words before a value, and whether that may be many.
struct Place {
  Words before;
  bool positional, many;
};

void collect(const Options& options, const Words& verbs, std::vector<Place>& places) {
  for (const Option& option : options.options) {
    if (label_of(option) != "TEXT") continue;
    const bool positional = option.names[0] != '-';
    Words before = verbs;
    if (!positional) before.push_back(flags_of(option).back());
    places.push_back({before, positional, positional && takes_texts(option)});
  }
  for (const Options& verb : options.verbs) {
    Words before = verbs;
    before.push_back(verb.name);
    collect(verb, before, places);
  }
}

// What the options of a name, or all arguments, hold.
Words results_at(const Options& root, const Place& place) {
  const Options* at = &root;
  const std::size_t verbs = place.before.size() - (place.positional ? 0 : 1);
  for (std::size_t i = 0; i < verbs; i++)
    for (const Options& verb : at->verbs)
      if (verb.name == place.before[i] && (at = &verb)) break;
  Words all;
  for (const Option& option : at->options) {
    const Words flags = flags_of(option);
    if (!option.given) continue;
    if (place.positional ? option.names[0] == '-'
                         : !std::count(flags.begin(), flags.end(), place.before.back()))
      continue;
    std::visit(
        [&](auto* target) {
          using T = std::remove_pointer_t<decltype(target)>;
          if constexpr (std::is_arithmetic_v<T>)
            all.push_back(fmt::format("{}", *target));
          else if constexpr (std::is_same_v<T, std::string>)
            all.push_back(*target);
          else if constexpr (std::is_same_v<T, Words>)
            all.insert(all.end(), target->begin(), target->end());
          else
            for (const Words& list : *target) all.insert(all.end(), list.begin(), list.end());
        },
        option.target);
  }
  return all;
}

std::string message(const Words& words) {
  Program program;
  try {
    parse_arguments(program.root, words);
  } catch (const Error& e) {
    CHECK(e.exit_code() == 2);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("arguments reach every verb as they were typed") {
  Program all;
  std::vector<Place> places;
  collect(all.root, {}, places);
  int positionals = 0, options = 0, lists = 0;
  for (const Place& place : places) {
    if (place.before[0] == "inspect" && place.before.size() == 1) continue;  // its run, before the next verb
    place.positional ? positionals++ : options++;
    lists += place.many;
    for (const std::string& typed : kTyped) {
      if (typed.empty() && !place.positional && place.before.back() != "--prompt") continue;
      CAPTURE(join(place.before, " "));
      CAPTURE(typed);
      Program program;
      Words words = place.before;
      if (place.positional) words.emplace_back("--");
      words.push_back(typed);
      parse_arguments(program.root, words);
      CHECK(join(results_at(program.root, place), "|") == typed);
      if (place.positional) continue;
      Program again;
      words = place.before;
      words.back() += "=" + typed;
      if (words.back()[1] == '-') parse_arguments(again.root, words);
      if (words.back()[1] == '-') CHECK(results_at(again.root, place) == Words{typed});
    }
  }
  CHECK(positionals > 15);
  CHECK(options > 30);
  CHECK(lists > 5);
}

TEST_CASE("arguments: lists of texts, with and without --") {
  Program program;
  parse_arguments(program.root, {"predict", "run", "[bank] fish [sic]", "-3 degrees", "train", "--json", "++",
                                 "--", "-q", "--"});
  CHECK(results_at(program.root, {{"predict"}, true, true}) ==
        Words{"run", "[bank] fish [sic]", "-3 degrees", "train", "++", "-q", "--"});
  Program each;
  parse_arguments(each.root, {"train", "--each", "optimizer.betas", "[0.9, 0.999]", "[0.8, 0.95]", "--set",
                              "a=[1, 2]", "c.toml"});
  CHECK(results_at(each.root, {{"train", "--each"}, false, true}) ==
        Words{"optimizer.betas", "[0.9, 0.999]", "[0.8, 0.95]"});
  CHECK(results_at(each.root, {{"train", "--set"}, false, true}) == Words{"a=[1, 2]"});
  CHECK(results_at(each.root, {{"train"}, true, true}) == Words{"c.toml"});
  Program grid;
  parse_arguments(grid.root, {"train", "--each", "a", "", "%%", "--each", "b", "-1", "[2]", "--", "c.toml"});
  CHECK(results_at(grid.root, {{"train", "--each"}, false, true}) ==
        Words{"a", "\"\"", "\"%%\"", "b", "-1", "[2]"});
  Program log;  // an option that may be given again takes one value
  parse_arguments(log.root, {"log", "--metric", "loss", "--metric", "[accuracy]", "a", "b"});
  CHECK(results_at(log.root, {{"log", "--metric"}, false, true}) == Words{"loss", "[accuracy]"});
  CHECK(results_at(log.root, {{"log"}, true, true}) == Words{"a", "b"});
  Program unset;
  parse_arguments(unset.root, {"check", "c.toml", "--set", "a=1", "--unset", "b.\"c\""});
  CHECK(results_at(unset.root, {{"check", "--set"}, false, true}) == Words{"a=1", "unset=[\"b.\\\"c\\\"\"]"});
}

TEST_CASE(
    "arguments: a list leaves the words that must follow it, and an argument may stand behind the next "
    "verb") {
  Program train;
  for (Options& verb : train.root.verbs)
    for (Option& option : verb.options) option.required = verb.name == "train" && option.names == "config";
  parse_arguments(train.root, {"train", "--each", "model.n_layer", "1", "2", "c.toml"});
  CHECK(results_at(train.root, {{"train"}, true, true}) == Words{"c.toml"});
  CHECK(results_at(train.root, {{"train", "--each"}, false, true}) == Words{"model.n_layer", "1", "2"});
  Program inspect;
  parse_arguments(inspect.root, {"inspect", "circuits", "runs/a"});
  CHECK(results_at(inspect.root, {{"inspect"}, true, true}) == Words{"runs/a"});
}

TEST_CASE("arguments: a value that may follow its option") {
  for (const Words& words :
       {Words{"v", "a", "--n"}, {"v", "a", "--n", "7"}, {"v", "--n=7", "a"}, {"v", "--n", "--f", "a"}}) {
    Options program("p", "");
    Options& verb = program.add_verb("v", "");
    std::string place;
    int n = 0;
    bool flag = false;
    verb.add("place", &place, "").required = true;
    verb.add("--n", &n, "").alone = "20";
    verb.add("--f", &flag, "");
    parse_arguments(program, words);
    CHECK(place == "a");
    CHECK(n == (std::count(words.begin(), words.end(), "7") || words[1] == "--n=7" ? 7 : 20));
  }
}

TEST_CASE("arguments: numbers are decimal, whole, finite and within their type") {
  auto seed = [](const std::string& value) {
    return message({"claims", "--seed", value});
  };
  CHECK(message({"generate", "run", "--seed", "-1"}) == "qkv: --seed: must be at least 0; got -1");
  CHECK(seed("18446744073709551615") == "");
  CHECK(seed("18446744073709551616") ==
        "qkv: --seed: must be between 0 and 18446744073709551615; got '18446744073709551616'");
  CHECK(seed("-1") == "qkv: --seed: must be between 0 and 18446744073709551615; got '-1'");
  for (const char* wrong : {"", "0x10", "1e3", "1.0", "many", "[1]", " 1"})
    CHECK(seed(wrong) == fmt::format("qkv: --seed: must be an integer; got '{}'", wrong));
  CHECK(message({"generate", "run", "--temperature", "nan"}) ==
        "qkv: --temperature: must be a finite number; got 'nan'");
  CHECK(message({"generate", "run", "--temperature", "1e999"}) ==
        "qkv: --temperature: must be a finite number; got '1e999'");
  CHECK(message({"generate", "run", "--temperature", "-.5"}) == "");
  CHECK(message({"inspect", "run", "circuits", "--head", "3000000000"}) ==
        "qkv: --head: must be between -2147483648 and 2147483647; got '3000000000'");
  CHECK(message({"log", "run", "--rows", "-1"}) == "qkv: --rows: must be at least 0; got -1");
  CHECK(message({"bench", "c.toml", "--seconds", "-1"}) == "qkv: --seconds: must be at least 0; got -1");
  CHECK(message({"train", "c.toml", "--seeds", "0"}) == "qkv: --seeds: must be between 1 and 1000; got 0");
  Program program;
  parse_arguments(program.root, {"log", "run", "--height", "010"});
  CHECK(results_at(program.root, {{"log", "--height"}, false, false}) == Words{"10"});
}

TEST_CASE("arguments: an option that takes one value must be given once") {
  CHECK(message({"claims", "--seed", "1", "--seed", "2"}) ==
        "qkv claims: --seed must be given once; got it twice");
  CHECK(message({"report", "run", "-o", "a.html", "--output=b.html"}) ==
        "qkv report: --output must be given once; got it twice");
  CHECK(message({"check", "c.toml", "--json", "--json", "--set", "a=1", "--set", "b=1"}) == "");
}

TEST_CASE("arguments: what there is not is an error with the nearest name") {
  CHECK(message({}) == "qkv: a verb must be given; see qkv --help");
  CHECK(message({"trian"}) == "qkv: unknown verb 'trian' (did you mean 'train'?)");
  CHECK(message({"config", "shwo"}) == "qkv config: unknown verb 'shwo' (did you mean 'show'?)");
  CHECK(message({"train", "c.toml", "--seed", "1"}) ==
        "qkv train: unknown option '--seed' (did you mean '--seeds'?)");
  CHECK(message({"predict", "run", "-x marks it"}) ==
        "qkv predict: unknown option '-x marks it' (put arguments that begin with '-' after --)");
  CHECK(message({"train", "--set"}) == "qkv train: --set must have a value; got none");
  CHECK(message({"train", "--each", "a", "--set", "b=1"}) == "qkv train: --each must have 2 values; got 1");
  CHECK(message({"completion", "fi sh"}) == "qkv: shell: must be one of bash, zsh; got 'fi sh'");
  CHECK(message({"eval", "run", "--data", ""}) == "qkv: --data: must not be empty");
  CHECK(message({"eval", "run", "--data="}) == "qkv: --data: must not be empty");
  CHECK(message({"generate", "run", "--prompt", ""}) == "");
  CHECK(message({"train", "a.toml", "[b, c]"}) == "qkv: there must be no more arguments; got [b, c]");
  CHECK(message({"help", "nonsense"}) == "qkv: unknown verb 'nonsense'");
  CHECK(message({"help", "config", "show"}).find("Run with --help") == std::string::npos);
}
