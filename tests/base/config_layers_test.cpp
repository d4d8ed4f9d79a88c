// Layers of a config: base files, the file, the command line. What a later one does to an earlier.
#include <doctest/doctest.h>

#include "base/file.h"
#include "qkv/base/config.h"
#include "temporary_folder.h"

using namespace qkv;

namespace {

// Reads like the tables of qkv do: a type with keys of its own, two limits of which one counts.
struct Read {
  explicit Read(const Section& root) {
    const Section train = root.section("train");
    train.exclusive({"steps"}, {"epochs", "passes"});
    steps = train.get("steps", 0);
    epochs = train.get("epochs", 0);
    passes = train.get("passes", 0);
    const Section optimizer = root.section("optimizer");
    type = optimizer.type("adam", {"adam", "sgd"});
    optimizer.drop_inherited("split");
    split = optimizer.get("split", std::string());
    if (type == "adam") betas = optimizer.get("betas", betas);
    if (type == "sgd") momentum = optimizer.section("heavy").get("momentum", 0.9);
    root.get("lr", 0.0);
    root.finish();
    notes = root.notes();
  }
  std::string type, split;
  int steps, epochs, passes;
  double momentum = 0;
  std::vector<double> betas{0.9, 0.999};
  std::vector<std::string> notes;
};

Read parse(const std::string& text, const std::vector<std::string>& sets = {}) {
  return Read(Section::parse(text, "a.toml", sets));
}

std::string problems(const std::string& text, const std::vector<std::string>& sets = {}) {
  try {
    parse(text, sets);
  } catch (const Error& e) {
    CHECK(e.exit_code() == 2);
    return e.what();
  }
  return "";
}

using Notes = std::vector<std::string>;

}  // namespace

TEST_CASE("layers: of keys that exclude each other those of the later layer count") {
  Read read = parse("[train]\nepochs = 10\npasses = 3\n", {"train.steps=60"});
  CHECK(read.steps == 60);
  CHECK(read.epochs == 0);
  CHECK(read.passes == 0);
  CHECK(read.notes == Notes{"train.epochs = 10 (a.toml:2:10) is dropped: --set #1 gives steps",
                            "train.passes = 3 (a.toml:3:10) is dropped: --set #1 gives steps"});
  read = parse("train.steps = 60", {"lr=1", "train.passes=3"});
  CHECK(read.steps == 0);
  CHECK(read.passes == 3);
  // Within one layer nothing is taken back: whoever reads them says that there is one too many.
  CHECK(parse("train.steps = 1\ntrain.epochs = 2").epochs == 2);
  CHECK(parse("", {"train.steps=1", "train.epochs=2"}).steps == 1);
}

TEST_CASE("layers: keys that are none of a later layer's type are dropped, others are not") {
  const std::string base =
      "[optimizer]\nbetas = [0.8, 0.9]\nsplit = \"spaces\"\n[optimizer.inner]\na.b = 1\n";
  Read read = parse(base, {"optimizer.type=sgd"});
  CHECK(read.type == "sgd");
  CHECK(read.split == "");
  CHECK(
      read.notes ==
      Notes{
          "optimizer.split = \"spaces\" (a.toml:3:9) is dropped: the type that --set #1 sets has no such key",
          "optimizer.betas = [0.8, 0.9] (a.toml:2:9) is dropped: the type that --set #1 sets has no such key",
          "optimizer.inner.a.b = 1 (a.toml:5:7) is dropped: the type that --set #1 sets has no such key"});
  CHECK(problems(base, {"optimizer.type=sgd", "optimizer.inner.a.b=2"}) ==
        "--set #2: unknown key 'optimizer.inner.a.b'");
  // The same type again, the same layer, or a key elsewhere: still unknown.
  CHECK(problems("[optimizer]\ntype = \"sgd\"\nbetas = [1]", {"optimizer.type=sgd"}) ==
        "a.toml:3:1: unknown key 'optimizer.betas' (known: type, split, heavy)");
  CHECK(problems("optimizer.type = \"adam\"", {"optimizer.type=sgd", "optimizer.betas=[1]"}) ==
        "--set #2: unknown key 'optimizer.betas' (known: type, split, heavy)");
  CHECK(problems("optimizer.type = \"adam\"\noptimizer.heavy.x = 1",
                 {"optimizer.type=sgd", "optimizer.heavy.y=1"}) ==
        "--set #2: unknown key 'optimizer.heavy.y' (known: momentum)");
  CHECK(problems("[optimizr]\nbetas = [1]", {"optimizer.type=sgd"}) ==
        "a.toml:1:2: unknown table 'optimizr' (did you mean 'optimizer'?)");
}

TEST_CASE("layers: unset takes a key back that an earlier layer gives") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.toml",
                    "lr = 0.5\n[optimizer]\nbetas = [0.1, 0.2]\n\"a.b\" = 1\n[train]\nsteps = 3\n");
  write_file_atomic(folder / "b.toml",
                    "extends = \"a.toml\"\nunset = [\"optimizer.'a.b'\", \"train\", \"lr\"]\nlr = 0.25\n");
  const Section root = Section::load(folder / "b.toml", {"unset=[\"optimizer.betas\"]"});
  const Read read(root);
  CHECK(read.steps == 0);
  CHECK(read.betas == std::vector<double>{0.9, 0.999});
  CHECK(root.all_given()[0].origin == folder / "b.toml" + ":3:6");
  CHECK(problems("", {"unset=[\"lr\"]"}) ==
        "--unset: unset must name a key that an earlier layer sets; got 'lr'");
  CHECK(problems("lr = 1", {"unset=[\"lrr\"]"}) ==
        "--unset: unset must name a key that an earlier layer sets; got 'lrr' (did you mean 'lr'?)");
  CHECK(problems("lr = 1\nunset = 3") == "a.toml:2:9: unset must name keys; got 3");
  CHECK(problems("unset = \"lr\"\nlr = 1") ==
        "a.toml:1:9: unset must name a key that an earlier layer sets; got 'lr'");
  CHECK(problems("lr = 1", {"unset=[\"lr.x\"]"}) ==
        "--unset: unset must name a key that an earlier layer sets; got 'lr.x', where lr is 1");
  CHECK(problems("lr = 1", {"unset=[\"\"]"}) == "--unset: unset must name a key; got ''");
}

TEST_CASE("layers: a base that was merged already does not win again") {
  TemporaryFolder folder;
  write_file_atomic(folder / "base.toml", "lr = 0.1\n");
  write_file_atomic(folder / "fast.toml", "extends = \"base.toml\"\nlr = 0.5\n");
  write_file_atomic(folder / "short.toml", "extends = \"./base.toml\"\ntrain.steps = 7\n");
  write_file_atomic(folder / "both.toml", "extends = [\"fast.toml\", \"short.toml\"]\n");
  const Section root = Section::load(folder / "both.toml");
  CHECK(root.get("lr", 0.0) == 0.5);
  CHECK(root.files() == std::vector<std::string>{folder / "base.toml", folder / "fast.toml",
                                                 folder / "short.toml", folder / "both.toml"});
}

TEST_CASE("layers: words of --set that are nearly TOML") {
  CHECK(parse("", {"optimizer.betas[1]=0.5"}).betas == std::vector<double>{0.9, 0.5});
  CHECK(parse("optimizer.betas = [0.1, 0.2]", {"optimizer.betas.1=0.5"}).betas ==
        std::vector<double>{0.1, 0.5});
  CHECK(problems("", {"optimizer.betas[2]=0.5"}) ==
        "--set #1: optimizer.betas has the elements 0 to 1 and no element 2; got 0.5");
  CHECK(problems("", {"optimizer.betas[1]=x"}) == "--set #1: optimizer.betas[1] must be a number; got \"x\"");
  CHECK(problems("", {"optimizer.betas=[x]"})
            .find("(strings in a list are in quotes: 'optimizer.betas=[\"a\", "
                  "\"b\"]')") != std::string::npos);
  CHECK(problems("", {"lr=.5"}) == "--set #1: lr must be a number; got \".5\" (write 0.5)");
  CHECK(problems("", {"optimizer.split=2024"}) ==
        "--set #1: optimizer.split must be a string; got 2024 (in quotes it is one: '\"2024\"')");
  CHECK(problems("", {"lr=1e400"}) == "--set #1: lr must be a number; got \"1e400\"");
  CHECK(problems("", {"optimizer.split=true"}) ==
        "--set #1: optimizer.split must be a string; got true (in quotes it is one: '\"true\"')");
  CHECK(problems("", {"optimizer.split=1_1_1"}) ==
        "--set #1: optimizer.split must be a string; got 1_1_1 (in quotes it is one: '\"1_1_1\"')");
}

TEST_CASE("paths may begin with the user's directory") {
  const Section root =
      Section::parse("a = \"~/x\"\nb = \"~other/x\"\nc = \"~/runs\"", "/f/a.toml", {"d=~/y"});
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "";
  REQUIRE(!home.empty());
  CHECK(root.path("a") == home + "/x");
  CHECK(root.path("b") == "/f/~other/x");
  CHECK(root.get("c", std::string(), "", rule::folder) == home + "/runs");
  CHECK(root.path("d") == home + "/y");
}

TEST_CASE("problems are bounded: of many thousands the first are reported, and how many there are") {
  std::string text;
  for (int i = 0; i < 20000; i++) text += fmt::format("[table{}]\nx = 1\n", i);
  const std::string told = problems(text);
  CHECK(std::count(told.begin(), told.end(), '\n') == 50);
  CHECK(told.find("a.toml:1:2: unknown table 'table0'") == 0);
  CHECK(told.find("\n... and 19950 more problems") != std::string::npos);
}
