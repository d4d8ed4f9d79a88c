// Every value of every verb arrives as it was typed.
#include "../../src/cli/arguments.h"

#include <doctest/doctest.h>

#include <CLI/CLI.hpp>

#include "qkv/base/error.h"
#include "qkv/cli/verb.h"

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

std::vector<CLI::App*> verbs_of(CLI::App& app) {
  return app.get_subcommands([](CLI::App*) { return true; });
}

void parse(CLI::App& app, const Words& words) {
  Words marked = marked_words(app, words);
  std::reverse(marked.begin(), marked.end());
  app.parse(marked);
}

// The program with its verbs, of which no argument must be given.
struct Program {
  Program() {
    app.fallthrough();
    for (auto& [name, entry] : Registry<Verb>::instance().entries()) {
      made.push_back(entry.make());
      made.back()->setup(*app.add_subcommand(name, entry.help));
    }
    app.require_subcommand(1);
    take_marked_values(app);
    free(app);
  }
  static void free(CLI::App& app) {
    for (CLI::Option* option : app.get_options()) option->required(false);
    for (CLI::App* verb : verbs_of(app)) free(*verb);
  }
  CLI::App app{"", "qkv"};
  std::vector<std::unique_ptr<Verb>> made;
};

// All options that take text, as words before a value, and whether that may be many.
struct Place {
  Words before;
  bool positional, many;
};

void collect(CLI::App& app, const Words& verbs, std::vector<Place>& places) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_items_expected_max() == 0 || option->get_type_name() != "TEXT") continue;
    Words before = verbs;
    if (!option->get_positional()) before.push_back(option->get_name());
    places.push_back({before, option->get_positional(), option->get_items_expected_max() > 1});
  }
  for (CLI::App* verb : verbs_of(app)) {
    Words before = verbs;
    before.push_back(verb->get_name());
    collect(*verb, before, places);
  }
}

Words results_at(CLI::App& app, const Place& place) {
  CLI::App* at = &app;
  const std::size_t verbs = place.before.size() - (place.positional ? 0 : 1);
  for (std::size_t i = 0; i < verbs; i++) at = at->get_subcommand(place.before[i]);
  if (!place.positional) return at->get_option(place.before.back())->results();
  Words all;
  for (CLI::Option* option : at->get_options())
    if (option->get_positional()) all.insert(all.end(), option->results().begin(), option->results().end());
  return all;
}

std::string message(const Words& words) {
  Program program;
  try {
    parse(program.app, words);
  } catch (const Error& e) {
    CHECK(e.exit_code() == 2);
    return e.what();
  } catch (const CLI::ParseError& e) {
    return error_text(e.what());
  }
  return "";
}

}  // namespace

TEST_CASE("arguments reach every verb as they were typed") {
  Program all;
  std::vector<Place> places;
  collect(all.app, {}, places);
  int positionals = 0, options = 0, lists = 0;
  for (const Place& place : places) {
    if (place.before[0] == "inspect" && place.before.size() == 1) continue;  // its run, before the next verb
    place.positional ? positionals++ : options++;
    lists += place.many;
    for (const std::string& typed : kTyped) {
      if (typed.empty() && !place.positional && place.before.back() != "--prompt") continue;
      CAPTURE(place.before);
      CAPTURE(typed);
      Program program;
      Words words = place.before;
      if (place.positional) words.emplace_back("--");
      words.push_back(typed);
      parse(program.app, words);
      CHECK(results_at(program.app, place) == Words{typed});
      if (place.positional) continue;
      Program again;
      words = place.before;
      words.back() += "=" + typed;
      if (words.back()[1] == '-') parse(again.app, words);
      if (words.back()[1] == '-') CHECK(results_at(again.app, place) == Words{typed});
    }
  }
  CHECK(positionals > 15);
  CHECK(options > 30);
  CHECK(lists > 5);
}

TEST_CASE("arguments: lists of texts, with and without --") {
  Program program;
  parse(program.app,
        {"predict", "run", "[bank] fish [sic]", "-3 degrees", "train", "--json", "++", "--", "-q", "--"});
  CHECK(results_at(program.app, {{"predict"}, true, true}) ==
        Words{"run", "[bank] fish [sic]", "-3 degrees", "train", "++", "-q", "--"});
  Program each;
  parse(each.app,
        {"train", "--each", "optimizer.betas", "[0.9, 0.999]", "[0.8, 0.95]", "--set", "a=[1, 2]", "c.toml"});
  CHECK(results_at(each.app, {{"train", "--each"}, false, true}) ==
        Words{"optimizer.betas", "[0.9, 0.999]", "[0.8, 0.95]", ""});  // an empty word ends a list
  CHECK(results_at(each.app, {{"train", "--set"}, false, true}) == Words{"a=[1, 2]"});
  CHECK(results_at(each.app, {{"train"}, true, true}) == Words{"c.toml"});
  Program grid;
  parse(grid.app, {"train", "--each", "a", "", "%%", "--each", "b", "-1", "[2]", "--", "c.toml"});
  CHECK(results_at(grid.app, {{"train", "--each"}, false, true}) ==
        Words{"a", "\"\"", "\"%%\"", "", "b", "-1", "[2]", ""});
  Program log;  // an option that may be given again takes one value
  parse(log.app, {"log", "--metric", "loss", "--metric", "[accuracy]", "a", "b"});
  CHECK(results_at(log.app, {{"log", "--metric"}, false, true}) == Words{"loss", "[accuracy]"});
  CHECK(results_at(log.app, {{"log"}, true, true}) == Words{"a", "b"});
  Program unset;
  parse(unset.app, {"check", "c.toml", "--set", "a=1", "--unset", "b.\"c\""});
  CHECK(results_at(unset.app, {{"check", "--set"}, false, true}) == Words{"a=1", "unset=[\"b.\\\"c\\\"\"]"});
}

TEST_CASE("arguments: a value that may follow its option") {
  for (const Words& words :
       {Words{"v", "a", "--n"}, {"v", "a", "--n", "7"}, {"v", "--n=7", "a"}, {"v", "--n", "--f", "a"}}) {
    CLI::App app;
    CLI::App* verb = app.add_subcommand("v");
    std::string place;
    int n = 0;
    bool flag = false;
    verb->add_option("place", place)->required();
    verb->add_option("--n", n)->expected(0, 1)->default_str("20");
    verb->add_flag("--f", flag);
    take_marked_values(app);
    parse(app, words);
    CHECK(place == "a");
    CHECK(n == (std::count(words.begin(), words.end(), "7") || words[1] == "--n=7" ? 7 : 20));
  }
}

TEST_CASE("arguments: numbers are decimal, whole, finite and within 64 bits") {
  auto seed = [](const std::string& value) {
    return message({"claims", "--seed", value});
  };
  CHECK(message({"generate", "run", "--seed", "-1"}) == "--seed: must be at least 0; got -1");
  CHECK(seed("18446744073709551615") == "");
  CHECK(seed("18446744073709551616") ==
        "--seed: must be between 0 and 18446744073709551615; got '18446744073709551616'");
  CHECK(seed("-1") == "--seed: must be between 0 and 18446744073709551615; got '-1'");
  for (const char* wrong : {"", "0x10", "1e3", "1.0", "many", "[1]", " 1"})
    CHECK(seed(wrong) == fmt::format("--seed: must be an integer; got '{}'", wrong));
  CHECK(message({"generate", "run", "--temperature", "nan"}) ==
        "--temperature: must be a finite number; got 'nan'");
  CHECK(message({"generate", "run", "--temperature", "1e999"}) ==
        "--temperature: must be a finite number; got '1e999'");
  CHECK(message({"generate", "run", "--temperature", "-.5"}) == "");
  CHECK(message({"log", "run", "--rows", "-1"}) == "--rows: must be at least 0; got -1");
  CHECK(message({"bench", "c.toml", "--seconds", "-1"}) == "--seconds: must be at least 0; got -1");
  CHECK(message({"train", "c.toml", "--seeds", "0"}) == "--seeds: must be between 1 and 1000; got 0");
  Program program;
  parse(program.app, {"log", "run", "--height", "010"});
  CHECK(results_at(program.app, {{"log", "--height"}, false, false}) == Words{"10"});
}

TEST_CASE("arguments: what there is not is an error with the nearest name") {
  CHECK(message({}) == "qkv: a verb must be given; see qkv --help");
  CHECK(message({"trian"}) == "qkv: unknown verb 'trian' (did you mean 'train'?)");
  CHECK(message({"config", "shwo"}) == "qkv config: unknown verb 'shwo' (did you mean 'show'?)");
  CHECK(message({"train", "c.toml", "--seed", "1"}) ==
        "qkv train: unknown option '--seed' (did you mean '--seeds'?)");
  CHECK(message({"predict", "run", "-x marks it"}) ==
        "qkv predict: unknown option '-x marks it' (what begins with '-' and is no option goes behind --)");
  CHECK(message({"train", "--set"}) == "qkv train: --set must have a value; got none");
  CHECK(message({"train", "--each", "a", "--set", "b=1"}) == "qkv train: --each must have 2 values; got 1");
  CHECK(message({"completion", "fi sh"}) == "shell: must be one of bash, zsh; got 'fi sh'");
  CHECK(message({"eval", "run", "--data", ""}) == "--data: must not be empty");
  CHECK(message({"eval", "run", "--data="}) == "--data: must not be empty");
  CHECK(message({"generate", "run", "--prompt", ""}) == "");
  CHECK(message({"train", "a.toml", "[b, c]"}) == "there must be no more arguments; got [b, c]");
  CHECK(message({"help", "nonsense"}) == "qkv: unknown verb 'nonsense'");
  CHECK(message({"help", "config", "show"}).find("Run with --help") == std::string::npos);
}
