#include "qkv/base/config.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/temporary_folder.h"

using namespace qkv;

namespace {

enum class Place { pre, post };
std::vector<std::string> names_of(Place) {
  return {"pre", "post"};
}

struct AttentionConfig {
  int n_head = 4;
  NameOrNumber scale = "sqrt_d_k";
  void fields(FieldCollector& f) {
    f("n_head", n_head, "attention heads", rule::positive);
    f("scale", scale, "divisor of the scores", rule::one_of({"sqrt_d_k", "none"}), rule::positive);
  }
};

struct ModelConfig {
  int d_model = 64;
  std::int64_t seed = 1;
  float dropout = 0.1f;
  double eps = 1e-5;
  bool bias = true;
  std::string activation = "gelu";
  Place place = Place::pre;
  std::vector<double> betas = {0.9, 0.999};
  std::vector<std::string> names;
  AttentionConfig attention;
  void fields(FieldCollector& f) {
    f("d_model", d_model, "width", rule::positive);
    f("seed", seed, "of the initial values", rule::non_negative);
    f("dropout", dropout, "share dropped", rule::probability);
    f("eps", eps, "added to the variance", rule::positive);
    f("bias", bias, "whether layers have one");
    f("activation", activation, "of the inner layer", rule::one_of({"gelu", "relu"}));
    f("place", place, "of the norm");
    f("betas", betas, "decay rates", rule::between(0, 1));
    f("names", names, "any");
    f("attention", attention, "the attention");
  }
};

std::string problems_of(const std::string& text, const std::vector<std::string>& sets = {}) {
  try {
    Section root = Section::parse(text, "a.toml", sets);
    ModelConfig model;
    root.section("model").read(model);
    root.finish();
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::usage);
    return error.what();
  }
  return "";
}

ModelConfig read_model(const std::string& text, const std::vector<std::string>& sets = {}) {
  Section root = Section::parse(text, "a.toml", sets);
  ModelConfig model;
  root.section("model").read(model);
  root.finish();
  return model;
}

}  // namespace

TEST_CASE("a config struct is filled from its table, and missing keys keep their defaults") {
  auto model = read_model(R"(
[model]
d_model = 128
seed = 9223372036854775807
dropout = 0
eps = 1
bias = false
place = "post"
betas = [0.5, 1]
names = ["a", "b"]
attention.scale = 0.5
)");
  CHECK(model.d_model == 128);
  CHECK(model.seed == 9223372036854775807);
  CHECK(model.dropout == 0);
  CHECK(model.eps == 1);
  CHECK(model.bias == false);
  CHECK(model.activation == "gelu");
  CHECK(model.place == Place::post);
  CHECK(model.betas == std::vector<double>{0.5, 1});
  CHECK(model.names == std::vector<std::string>{"a", "b"});
  CHECK(model.attention.n_head == 4);
  CHECK(std::get<double>(model.attention.scale) == 0.5);
}

TEST_CASE("all problems are reported at once, in the order of the file, with their place") {
  CHECK(
      problems_of(R"([model]
d_model = -1
seed = 1.0
dropout = 1.5
eps = nan
bias = 1
activation = "rleu"
place = 3
betas = [0.9, 2]
names = "a"
attention = { n_head = 3000000000, scale = "sqrt" }
)") ==
      "a.toml:2:11: model.d_model must be positive; got -1\n"
      "a.toml:3:8: model.seed must be an integer; got 1.0\n"
      "a.toml:4:11: model.dropout must be between 0 and 1; got 1.5\n"
      "a.toml:5:7: model.eps must be a finite number; got nan\n"
      "a.toml:6:8: model.bias must be true or false; got 1\n"
      "a.toml:7:14: model.activation must be one of \"gelu\", \"relu\"; got \"rleu\" (did you mean 'relu'?)\n"
      "a.toml:8:9: model.place must be one of \"pre\", \"post\"; got 3\n"
      "a.toml:9:15: model.betas[1] must be between 0 and 1; got 2\n"
      "a.toml:10:9: model.names must be an array of strings; got \"a\"\n"
      "a.toml:11:24: model.attention.n_head must be between -2147483648 and 2147483647; got 3000000000\n"
      "a.toml:11:44: model.attention.scale must be one of \"sqrt_d_k\", \"none\"; got \"sqrt\"");
  CHECK(problems_of("model = 3") == "a.toml:1:9: model must be a table; got 3");
  CHECK(problems_of("[model]\nattention = [1]") == "a.toml:2:13: model.attention must be a table; got [1]");
}

TEST_CASE("a value with a problem leaves the default, so that reading can go on") {
  Section root = Section::parse("d_model = 0\nbetas = [0.5, 2]");
  ModelConfig model;
  root.read(model);
  CHECK(model.d_model == 64);
  CHECK(model.betas == std::vector<double>{0.9, 0.999});
  root.report("d_model", "must be a multiple of 3; got 64");  // follows from the default, which is not meant
  std::string problems;
  try {
    root.check();
  } catch (const Error& error) {
    problems = error.what();
  }
  CHECK(problems.find("d_model must be positive; got 0") != std::string::npos);
  CHECK(problems.find("multiple") == std::string::npos);
}

TEST_CASE("an unread key is an error with the nearest known name") {
  CHECK(problems_of("[model]\nd_modle = 1\n[model.attention]\nn_haed = 1\n[modle]\nx = 1") ==
        "a.toml:2:1: unknown key 'model.d_modle' (did you mean 'd_model'?)\n"
        "a.toml:4:1: unknown key 'model.attention.n_haed' (did you mean 'n_head'?)\n"
        "a.toml:5:2: unknown table 'modle' (did you mean 'model'?)");
  CHECK(problems_of("[model]\nn_head = 2") ==
        "a.toml:2:1: unknown key 'model.n_head' (did you mean 'model.attention.n_head'?)");
  CHECK(problems_of("[model.attention]\nzzzzzz = 2") ==
        "a.toml:2:1: unknown key 'model.attention.zzzzzz' (known: n_head, scale)");
}

TEST_CASE("names of other toolkits are understood as suggestions") {
  CHECK(problems_of("[model]\nn_embd = 2") ==
        "a.toml:2:1: unknown key 'model.n_embd' (`n_embd` is called `d_model`)");
  CHECK(problems_of("[model]\nheads = 2") ==
        "a.toml:2:1: unknown key 'model.heads' (`heads` is called `model.attention.n_head`)");
  CHECK(problems_of("[model.attention]\nnum_attention_heads = 2") ==
        "a.toml:2:1: unknown key 'model.attention.num_attention_heads' (`num_attention_heads` is called "
        "`n_head`)");
}

TEST_CASE("overrides win, are parsed as TOML, and name themselves in errors") {
  auto model = read_model("[model]\nd_model = 8\nactivation = \"gelu\"",
                          {"model.d_model=16", "model.activation=relu", "model.betas = [0.1, 0.2]",
                           "model.names=[\"x # y\"]", "model.attention={n_head=2}", "model.dropout=1e-3"});
  CHECK(model.d_model == 16);
  CHECK(model.activation == "relu");
  CHECK(model.betas == std::vector<double>{0.1, 0.2});
  CHECK(model.names == std::vector<std::string>{"x # y"});
  CHECK(model.attention.n_head == 2);
  CHECK(model.dropout == 1e-3f);
  CHECK(problems_of("", {"model.d_model=0", "model.bias=True", "model.d_modle=3"}) ==
        "--set #1: model.d_model must be positive; got 0\n"
        "--set #2: model.bias must be true or false; got \"True\"\n"
        "--set #3: unknown key 'model.d_modle' (did you mean 'd_model'?)");
  CHECK(problems_of("", {"model.d_model"}) == "--set #1: an override must be key=value; got 'model.d_model'");
  CHECK(problems_of("", {"=3"}) == "--set #1: an override must be key=value; got '=3'");
  CHECK(problems_of("", {"[model]\nd_model=3"}) ==
        "--set #1: an override must be key=value; got '[model]\\x0ad_model=3'");
  CHECK(problems_of("", {"model.names=[\"a\""}).find("--set #1: invalid TOML; ") == 0);
}

TEST_CASE("an override that is no single TOML value is a string as it stands") {
  auto text_of = [](const std::string& set) {
    return Section::parse("", "a.toml", {set}).get("key", std::string("default"));
  };
  CHECK(text_of("key=5#b") == "5#b");
  CHECK(text_of("key=a b") == "a b");
  CHECK(text_of("key=1\nother = 2") == "1\nother = 2");
  CHECK(text_of("key=") == "");
  CHECK(text_of("key=runs/x=y") == "runs/x=y");
  CHECK(text_of("\"key\"=\"5\"") == "5");
  CHECK(text_of("key=a\"b") == "a\"b");
  CHECK(text_of("key=\xef\xb4\xbf") == "\xef\xb4\xbf");
}

TEST_CASE("files extend others, later values win, and every value knows its file") {
  TemporaryFolder folder;
  make_directories(folder / "base");
  write_file_atomic(folder / "base/a.toml", "[model]\nd_model = 1\neps = 0.5\nnames = [\"base\"]\n");
  write_file_atomic(folder / "b.toml", "extends = [\"base/a.toml\"]\n[model]\nd_model = 2\n");
  write_file_atomic(folder / "c.toml", "extends = \"b.toml\"\nmodel.attention.n_head = 7\n");
  Section root = Section::load(folder / "c.toml", {"model.bias=false"});
  ModelConfig model;
  root.section("model").read(model);
  root.finish();
  CHECK(model.d_model == 2);
  CHECK(model.eps == 0.5);
  CHECK(model.attention.n_head == 7);
  auto origin = [&](const std::string& name) {
    for (const ResolvedKey& key : root.resolved())
      if (key.key == "model." + name) return key.origin;
    return std::string();
  };
  CHECK(origin("eps") == folder / "base/a.toml" + ":3:7");
  CHECK(origin("d_model") == folder / "b.toml" + ":3:11");
  CHECK(origin("bias") == "--set #1");
  CHECK(origin("dropout") == "default");
  CHECK(root.files() ==
        std::vector<std::string>{folder / "base/a.toml", folder / "b.toml", folder / "c.toml"});
}

TEST_CASE("circular, missing and wrong extends are errors") {
  TemporaryFolder folder;
  auto message = [&](const std::string& file) {
    try {
      Section::load(folder / file);
    } catch (const Error& error) {
      CHECK(error.exit_code() == 2);
      return std::string(error.what());
    }
    return std::string();
  };
  write_file_atomic(folder / "a.toml", "extends = [\"./b.toml\"]");
  write_file_atomic(folder / "b.toml", "extends = [\"a.toml\"]");
  write_file_atomic(folder / "self.toml", "\nextends = \"self.toml\"");
  write_file_atomic(folder / "missing.toml", "extends = \"no.toml\"");
  write_file_atomic(folder / "wrong.toml", "extends = [3]");
  CHECK(message("a.toml") == folder / "b.toml" + ":1:12: extends must not be circular; got " +
                                 folder / "a.toml" + " -> " + folder / "b.toml" + " -> " + folder / "a.toml");
  CHECK(message("self.toml") == folder / "self.toml" + ":2:11: extends must not be circular; got " +
                                    folder / "self.toml" + " -> " + folder / "self.toml");
  CHECK(message("missing.toml") ==
        folder / "missing.toml" + ":1:11: extends names a file that cannot be used; " + folder / "no.toml" +
            ": cannot be read; got No such file or directory");
  CHECK(message("wrong.toml") == folder / "wrong.toml" + ":1:12: extends must name files; got 3");
  CHECK(message("none.toml") == folder / "none.toml" + ": cannot be read; got No such file or directory");
  CHECK(message("") == folder / "" + ": must be a file; got a directory");
}

TEST_CASE("paths are relative to the file that names them, in overrides to the working directory") {
  TemporaryFolder folder;
  make_directories(folder / "base");
  write_file_atomic(folder / "base/a.toml", "[data]\ntrain = \"../x/train.txt\"\nval = \"/abs/val.txt\"\n");
  write_file_atomic(folder / "b.toml", "extends = \"base/a.toml\"\n[data]\ntest = [\"t1\", \"t2\"]\n");
  Section root = Section::load(folder / "b.toml", {"data.extra=here.txt"});
  CHECK(root.path("data.train") == folder / "x/train.txt");
  CHECK(root.path("data.val") == "/abs/val.txt");
  CHECK(root.path("data.extra") == "here.txt");
  CHECK(root.path("data.none") == "");
  auto test = root.section("data").get("test", std::vector<std::string>(), "", rule::path);
  CHECK(test == std::vector<std::string>{folder / "t1", folder / "t2"});
  root.finish();
  Section again = Section::parse(root.dump(), "/elsewhere/config.toml");
  CHECK(again.path("data.train") == folder / "x/train.txt");
  CHECK(again.path("data.extra") == (std::filesystem::current_path() / "here.txt").string());
}

TEST_CASE(
    "a folder below /dev that holds files is a folder like others; what a pipe says is relative to the "
    "working directory") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::write(ends[1], "data.train = \"a.txt\"", 20) == 20);
  ::close(ends[1]);
  CHECK(Section::load(fmt::format("/dev/fd/{}", ends[0])).path("data.train") == "a.txt");
  ::close(ends[0]);
  if (::access("/dev/shm", W_OK) != 0) return;
  const std::string file = fmt::format("/dev/shm/qkv-test-{}.toml", ::getpid());
  write_file_atomic(file, "data.train = \"a.txt\"");
  CHECK(Section::load(file).path("data.train") == "/dev/shm/a.txt");
  std::filesystem::remove(file);
}

TEST_CASE("arrays of tables are sections with their own types") {
  Section root = Section::parse(R"(
[[model.layers]]
type = "attention"
n_head = 2
[[model.layers]]
type = "lstm"
hidden = 3
hiden = 4
)",
                                "a.toml", {"model.layers.0.n_head=8"});
  auto layers = root.section("model").sections("layers");
  REQUIRE(layers.size() == 2);
  CHECK(layers[0].type("none", {"attention", "lstm"}) == "attention");
  CHECK(layers[0].get("n_head", 1) == 8);
  CHECK(layers[1].type("none", {"attention", "lstm"}) == "lstm");
  CHECK(layers[1].get("hidden", 1) == 3);
  CHECK(layers[1].name() == "model.layers[1]");
  CHECK_THROWS_WITH_AS(root.finish(),
                       "a.toml:8:1: unknown key 'model.layers[1].hiden' (did you mean 'hidden'?)", Error);
  CHECK(root.dump() ==
        "[[model.layers]]\ntype = \"attention\"\nn_head = 8\n\n[[model.layers]]\ntype = \"lstm\"\nhidden = "
        "3\n");
  CHECK(root.section("none").sections("layers").empty());
  Section wrong = Section::parse("layers = [1]", "a.toml");
  CHECK(wrong.sections("layers").empty());
  CHECK_THROWS_WITH_AS(wrong.check(),
                       "a.toml:1:10: layers must be an array of tables; got [1] (write [[layers]])", Error);
}

TEST_CASE("the type key suggests the nearest known type") {
  Section root = Section::parse("type = \"rpoe\"", "a.toml");
  CHECK(root.type("learned", {"learned", "rope"}) == "learned");
  CHECK_THROWS_WITH_AS(
      root.finish(),
      "a.toml:1:8: type must be one of \"learned\", \"rope\"; got \"rpoe\" (did you mean 'rope'?)", Error);
  Section other = Section::parse("type = \"mine\"", "a.toml");
  other.type("learned", {"learned", "rope"});
  CHECK_THROWS_WITH_AS(other.finish(),
                       "a.toml:1:8: type must be one of \"learned\", \"rope\"; got \"mine\" (is its plug-in "
                       "listed under plugins?)",
                       Error);
}

TEST_CASE("report and fail give the place of a key") {
  Section root = Section::parse("[model]\nn_head = 5\n", "a.toml");
  Section model = root.section("model");
  model.get("n_head", 1);
  model.report("d_model", "must be even; got 3");
  CHECK_THROWS_WITH_AS(model.fail("n_head", "must divide d_model (64); got 5"),
                       "a.toml:1:1: model.d_model must be even; got 3\n"
                       "a.toml:2:10: model.n_head must divide d_model (64); got 5",
                       Error);
}

TEST_CASE("skipped tables") {
  Section root = Section::parse("[inspect]\nevery = 3\n[optimizer]\nlr = 0.1\nbetas = [0.9, 1]\n", "a.toml");
  CHECK(root.section("inspect").get("every", 1) == 3);
  root.skip("optimizer");
  root.finish();
  CHECK(root.keys() == std::vector<std::string>{"inspect", "optimizer"});
  CHECK(root.has("optimizer"));
  CHECK_FALSE(root.has("none"));
  CHECK(root.dump() == "optimizer = { lr = 0.1, betas = [0.9, 1] }\n\n[inspect]\nevery = 3\n");
}

TEST_CASE("the dump holds every default in field order, with origins, and reads back to itself") {
  Section root = Section::parse(
      "[model]\nnames = [\"a\\\"\\u0001\", \"é\"]\nd_model = 3\n[model.attention]\n", "a.toml");
  ModelConfig model;
  root.section("model").read(model);
  root.finish();
  std::string dump = root.dump();
  CHECK(dump ==
        "[model]\nd_model = 3\nseed = 1\ndropout = 0.1\neps = 1e-05\nbias = true\nactivation = \"gelu\"\n"
        "place = \"pre\"\nbetas = [0.9, 0.999]\nnames = [\"a\\\"\\u0001\", \"é\"]\n\n"
        "[model.attention]\nn_head = 4\nscale = \"sqrt_d_k\"\n");
  CHECK(root.dump(true).find("d_model = 3  # a.toml:3:11\nseed = 1  # default\n") != std::string::npos);
  CHECK(root.resolved().front().key == "model.d_model");
  for (std::string text : {dump, root.dump(true)}) {
    Section again = Section::parse(text, "b.toml");
    ModelConfig copy;
    again.section("model").read(copy);
    again.finish();
    CHECK(again.dump() == dump);
  }
}

TEST_CASE("a section read twice reports its problems once") {
  Section root = Section::parse("[model]\nd_model = 0", "a.toml");
  ModelConfig one, two;
  root.section("model").read(one);
  root.section("model").read(two);
  CHECK_THROWS_WITH_AS(root.finish(), "a.toml:2:11: model.d_model must be positive; got 0", Error);
}
