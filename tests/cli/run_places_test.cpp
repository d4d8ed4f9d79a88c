// Run directories and inputs as they come: moved, copied, of other names, without links, from pipes.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <thread>

#include "base/file.h"
#include "base/toml.h"
#include "cli/kill_points.h"
#include "cli/long_run.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

struct Place : SmallData {
  Place() { encoder(); }
  Finished qkv(const std::vector<std::string>& arguments) const { return run_qkv(arguments, {folder.path}); }
  Finished train(const std::vector<std::string>& sets, const std::string& name = "small") const {
    std::vector<std::string> arguments{"train", "small.toml", "-q", "--set", "run.name=" + name};
    for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
    return qkv(arguments);
  }
};

void must(const Finished& result) {
  CAPTURE(result.err);
  REQUIRE(result.code == 0);
}

}  // namespace

TEST_CASE("a folder as data is kept with its sub-folders, and verify reports what is missing") {
  Place place;
  make_directories(place.folder / "texts/deep");
  std::string text;
  for (int i = 0; i < 60; i++) text += "owl sat up . mouse went home . ";
  write_file_atomic(place.folder / "texts/a..b\n.txt", text);
  write_file_atomic(place.folder / "texts/deep/more", "not read");
  fs::permissions(place.folder / "texts", fs::perms(0555));
  write_file_atomic(place.folder / "text.toml", R"(task.type = "language-model"
data = {train = "texts", val_fraction = 0.2, batch_size = 4}
model = {type = "decoder-lm", n_layer = 1, d_model = 16, max_seq_len = 16, attention.n_head = 2}
train.max_steps = 4
eval.every = 2
)");
  must(place.qkv({"train", "text.toml", "-q"}));
  fs::permissions(place.folder / "texts", fs::perms(0755));
  const std::string run = place.folder / "runs/text";
  CHECK(files_below(run + "/data/train") == std::vector<std::string>{"a..b\n.txt", "deep/more"});
  fs::rename(place.folder / "texts", place.folder / "away");
  must(place.qkv({"verify", "runs/text"}));
  must(place.qkv({"resume", "runs/text", "-q", "--set", "train.max_steps=6"}));
  must(place.qkv({"why", "runs/text", "3"}));
  fs::rename(place.folder / "away", place.folder / "texts");
  // The same folder again is the same run; another file in it is not.
  must(place.qkv({"train", "text.toml", "-q", "--resume", "--set", "train.max_steps=6"}));
  CHECK_FALSE(exists(run + "-2"));
  write_file_atomic(place.folder / "texts/b.txt", text);
  must(place.qkv({"train", "text.toml", "-q", "--resume", "--set", "train.max_steps=6"}));
  CHECK(exists(run + "-2"));
  fs::remove_all(run + "/data/train");
  const Finished verified = place.qkv({"verify", "runs/text"});
  CHECK(verified.code == 3);
  CHECK(count(verified.err,
              "data.train must name existing files; there is nothing at runs/text/data/train") == 1);
}

TEST_CASE("data that stays where it is, and is another one at the resume, is reported") {
  Place place;
  fs::create_directory(place.folder / "texts");
  std::string text;
  for (int i = 0; i < 60; i++) text += "owl sat up . mouse went home . ";
  write_file_atomic(place.folder / "texts/a.txt", text);
  write_file_atomic(place.folder / "texts/large", "");
  fs::resize_file(place.folder / "texts/large", 65 << 20);
  write_file_atomic(place.folder / "text.toml", R"(task.type = "language-model"
data = {train = "texts", val_fraction = 0.2, batch_size = 4}
model = {type = "decoder-lm", n_layer = 1, d_model = 16, max_seq_len = 16, attention.n_head = 2}
train.max_steps = 2
)");
  must(place.qkv({"train", "text.toml", "-q"}));
  CHECK_FALSE(exists(place.folder / "runs/text/data"));
  const std::vector<std::string> longer = {"resume", "runs/text", "--set", "train.max_steps=3"};
  const std::string part = "is not the data that the run started with";
  CHECK(count(place.qkv(longer).err, part) == 0);
  write_file_atomic(place.folder / "texts/a.txt", text.substr(15) + text.substr(0, 15));
  CHECK(count(place.qkv(longer).err, part) == 1);
}

TEST_CASE("data of any name is kept") {
  Place place;
  for (const char* name : {"t.a\"b", "t.a\\b", "t.x\ny", "t.\x7f", "..t"}) {
    CAPTURE(name);
    fs::copy(place.folder / "train.tsv", place.folder / name);
    must(place.qkv({"train", "small.toml", "-q", "--overwrite", "--set", "data.train=" + toml_string(name)}));
    must(place.qkv({"verify", "runs/small"}));
    must(place.qkv({"resume", "runs/small", "-q"}));
  }
}

TEST_CASE("a copy that followed all links goes on") {
  Place place;
  must(place.train({}));
  const std::string copy = place.folder / "copied/runs/small";
  make_directories(copy);
  fs::copy(place.folder / "runs/small", copy, fs::copy_options::recursive);  // as cp -rL
  CHECK_FALSE(fs::is_symlink(copy + "/checkpoints/last"));
  for (const char* verb : {"verify", "eval"}) must(run_qkv({verb, "runs/small"}, {place.folder / "copied"}));
  const std::vector<std::string> resume = {"resume", "runs/small/", "-q", "--set", "train.max_steps=16"};
  must(place.qkv(resume));
  must(run_qkv(resume, {place.folder / "copied"}));
  check_equal_runs(place.folder / "runs/small", copy);
}

TEST_CASE("without links and locks there are text files and a warning, and the run is the same") {
  if (!kShimLoads) return;
  Place place;
  must(place.train({}));
  const std::vector<std::string> train = {"train", "../small.toml"},
                                 resume = {"resume", "runs/small", "--set", "train.max_steps=16"};
  const std::string poor = place.folder / "poor";
  make_directories(poor);
  for (const auto& command : {train, resume}) {
    const Finished result = run_with_shim(command, poor, "QKV_NO_LINKS", "1");
    must(result);
    CHECK(count(result.err, "runs/small: cannot be locked; got No locks available") == 1);
  }
  must(place.qkv(resume));
  for (const char* link : {"last", "best"}) {
    const std::string file = poor + "/runs/small/checkpoints/" + link;
    CHECK(fs::is_regular_file(fs::symlink_status(file)));
    const std::string target = fs::read_symlink(place.folder / "runs/small/checkpoints/" + link).string();
    CHECK(read_file(file) == target + "\n");
    CHECK(checksum_file(poor + "/runs/small/checkpoints/" + target + "/model.safetensors") ==
          checksum_file(place.folder / "runs/small/checkpoints/" + target + "/model.safetensors"));
  }
  for (const char* verb : {"verify", "eval", "report"}) must(run_qkv({verb, "runs/small"}, {poor}));
}

TEST_CASE("data that resume has changed stays where it is, also for the next resume") {
  Place place;
  must(place.train({}));
  must(
      place.qkv({"resume", "runs/small", "-q", "--set", "data.val=test.tsv", "--set", "train.max_steps=14"}));
  const std::string named = "val = \"" + place.folder / "test.tsv" + "\"", run = place.folder / "runs/small/";
  for (const char* steps : {"14", "16"}) {
    must(place.qkv({"resume", "runs/small", "-q", "--set", std::string("train.max_steps=") + steps}));
    for (const char* kept : {"config.resolved.toml", "checkpoints/last/config.resolved.toml"})
      CHECK(count(read_file(run + kept), named) == 1);
  }
}

TEST_CASE("a checkpoint of another run is not resumed, and verify names it") {
  for (const char* other : {"run.seed=8", "optimizer.lr=0.02", "model.attention.n_head=4"}) {
    CAPTURE(other);
    Place place;
    must(place.train({}));
    must(place.train({other}, "other"));
    const std::string last = "runs/small/checkpoints/step-000012";
    fs::remove_all(place.folder / last);
    fs::copy(place.folder / "runs/other/checkpoints/step-000012", place.folder / last);
    const std::string part =
        last + ": must be a checkpoint of the run that contains it; got one of another run";
    check_refused(place.qkv({"resume", "runs/small"}), 3, part);
    CHECK(count(place.qkv({"verify", "runs/small"}).err, part) > 0);
  }
}

TEST_CASE("train --resume goes on whatever threads, logs and captures are") {
  Place place;
  must(place.train({"train.max_steps=12", "run.threads=1"}));
  must(place.qkv({"train", "small.toml", "-q", "--resume", "--set", "run.threads=2", "--set", "log.every=3",
                  "--set", "inspect.capture=[]"}));
  CHECK_FALSE(exists(place.folder / "runs/small-2"));
  CHECK(count(read_file(place.folder / "runs/small/config.resolved.toml"), "threads = 2") == 1);
  must(place.qkv({"resume", "runs/small", "-q", "--set", "run.threads=1"}));
  must(place.qkv({"train", "small.toml", "-q", "--resume"}));
  CHECK_FALSE(exists(place.folder / "runs/small-2"));
}

TEST_CASE("keys without effect on a run that is there, and files in the place of runs, are refused by name") {
  Place place;
  must(place.train({}));
  for (const char* set : {"run.name=x", "run.out_dir=x", "train.init_from=x"})
    check_refused(place.qkv({"resume", "runs/small", "--set", set}), 2,
                  "has no effect on an existing run and must stay");
  check_refused(place.qkv({"resume", "runs/small", "--set", "train.max_steps=5"}), 2,
                "the run must end at or after step 12");
  for (const std::vector<std::string>& command : {std::vector<std::string>{"resume", "small.toml"},
                                                  {"eval", "train.tsv"},
                                                  {"log", "train.tsv"},
                                                  {"report", "train.tsv"},
                                                  {"why", "train.tsv", "1"}})
    check_refused(place.qkv(command), 3, "; got a file");
  check_refused(place.qkv({"resume", "runs/small/checkpoints/last"}), 3,
                "last: must be a run directory; got a checkpoint");
  CHECK(place.qkv({"verify", "runs/small"}).code == 0);
  for (const char* name : {"..", ".", "a/b"})
    check_refused(place.qkv({"check", "small.toml", "--set", std::string("run.name=") + name}), 2,
                  "name must be the name of a directory");
  check_refused(place.qkv({"check", "small.toml", "--set", "run.out_dir="}), 2,
                "out_dir must be a directory");
  fs::create_symlink("loop", place.folder / "loop");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"train", "small.toml", "--set", "train.init_from=loop"},
        {"train", "small.toml", "--set", "train.init_from=loop", "--overwrite"}})
    check_refused(place.qkv(command), 3, "loop: must be a run directory or a checkpoint");
  const Finished longer = place.qkv({"resume", "runs/small", "--set", "train.max_steps=16"});
  CHECK(count(longer.err, "schedule: it ends at step 16 instead of 12") == 1);
}

TEST_CASE("pipes: a config is read from one, once; as any other input they are refused at once") {
  Place place;
  const std::string text = read_file(place.folder / "small.toml");
  const auto with_pipe = [&](const std::vector<std::string>& arguments) {
    fs::remove(place.folder / "pipe");
    REQUIRE(::mkfifo((place.folder / "pipe").c_str(), 0600) == 0);
    std::thread writer([&] { write_file_atomic(place.folder / "pipe", text); });
    const Finished result = place.qkv(arguments);
    writer.join();
    return result;
  };
  must(with_pipe({"train", "pipe", "-q", "--set", "run.name=piped"}));
  CHECK(read_file(place.folder / "runs/piped/config.toml") == text);
  const Finished wrong = with_pipe({"train", "pipe", "--set", "model.d_modell=3"});
  check_refused(wrong, 2, "unknown key 'model.d_modell'");
  CHECK(count(wrong.err, "max_steps") == 0);
  must(place.train({}));
  write_file_atomic(place.folder / "extends.toml", "extends = \"pipe\"\n");
  fs::rename(place.folder / "pipe", place.folder / "pipe.safetensors");
  REQUIRE(::mkfifo((place.folder / "pipe").c_str(), 0600) == 0);
  const std::string refused = "must be a plain file; got a pipe";
  check_refused(place.train({"data.train=pipe"}, "new"), 3, refused);
  check_refused(place.train({"train.init_from=pipe.safetensors"}, "new"), 3, refused);
  check_refused(place.train({"plugins=[\"pipe\"]"}, "new"), 2, refused);
  check_refused(place.qkv({"check", "extends.toml"}), 2, refused);
  check_refused(place.qkv({"eval", "runs/small", "--data", "pipe"}), 3, refused);
  CHECK_FALSE(exists(place.folder / "runs/new"));
  for (const char* file : {"metrics.jsonl", "checksums.txt", "checkpoints/last/model.safetensors", ".lock"}) {
    CAPTURE(file);
    fs::rename(place.folder / "runs/small/" + file, place.folder / "kept");
    REQUIRE(::mkfifo((place.folder / "runs/small/" + file).c_str(), 0600) == 0);
    const bool lock = std::string(file) == ".lock";
    CHECK(place.qkv({"verify", "runs/small"}).code == (lock ? 0 : 3));
    CHECK(place.qkv({"log", "runs/small"}).code == 0);
    fs::rename(place.folder / "kept", place.folder / "runs/small/" + file);
  }
  for (const char* file : {"metrics.jsonl", "train.log", "captures/index.jsonl"}) {
    CAPTURE(file);
    const std::string path = place.folder / "runs/small/" + file;
    fs::rename(path, place.folder / "kept");
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    check_refused(place.qkv({"resume", "runs/small"}), 3, refused);
    fs::rename(place.folder / "kept", path);
  }
}

TEST_CASE("a page is written into a pipe, and to the target of a link") {
  Place place;
  must(place.train({}));
  must(place.qkv({"report", "runs/small", "-o", "page.html"}));
  REQUIRE(::mkfifo((place.folder / "pipe").c_str(), 0600) == 0);
  std::string got;
  std::thread reader([&] { got = read_file_or_pipe(place.folder / "pipe", 1 << 30, Fault::data); });
  must(place.qkv({"report", "runs/small", "-o", "pipe"}));
  reader.join();
  CHECK(fs::is_fifo(place.folder / "pipe"));
  CHECK((got == read_file(place.folder / "page.html")));
  const Finished standard = place.qkv({"report", "runs/small", "-o", "/dev/stdout"});
  CHECK((standard.out.substr(0, got.size()) == got));
}

TEST_CASE("a run whose directory is taken away in mid-run ends with an error") {
  const Long& run = long_run();
  for (const bool moved : {false, true}) {
    const std::string place = run.place(moved ? "moved" : "removed"), folder = place + "/runs/small";
    Process process(Long::train(), {place});
    REQUIRE(run.reach(process, place, 0.2));
    fs::rename(folder, folder + "-away");
    if (!moved) fs::remove_all(folder + "-away");
    check_refused(process.wait(), 1, "error: runs/small/");  // the first file that is written
    CHECK_FALSE(exists(folder));
    if (!moved) continue;
    fs::rename(folder + "-away", folder);
    must(run_qkv(Long::resume(), {place}));
    run.check_same(place);
  }
}

}  // namespace qkv::test
