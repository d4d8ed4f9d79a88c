// Broken data and texts: one clear message with file and line, exit code 3, nothing written.
#include <doctest/doctest.h>

#include <algorithm>

#include "cli/process.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

struct FileCase {
  const char* file;
  std::string text;
  const char* part;
};

std::string line(int n, const std::string& text) {
  return sentences(n - 2, 0) + text + "\n";  // the first line is empty
}

const FileCase kBrokenFiles[] = {
    {"train.tsv", "", "train.tsv: must have at least one line; got an empty file"},
    {"train.tsv", "\n \n", "train.tsv: must have at least one sentence; got only empty lines"},
    {"train.tsv", line(9, "money\tcaf\xe9 [bank]"), "train.tsv:9: text must be UTF-8; got byte 0xe9"},
    {"train.tsv", line(9, std::string("money\ta\0b [bank]", 16)), "train.tsv:9: text must not contain NUL"},
    {"train.tsv", line(9, "money the [bank]"), "train.tsv:9: a line must be label<TAB>sentence; got 0 tabs"},
    {"train.tsv", line(9, "money\tthe\t[bank]"),
     "train.tsv:9: a line must be label<TAB>sentence; got 2 tabs"},
    {"train.tsv", line(9, "money\tthe bank"), "train.tsv:9: a sentence must have one [target]; got none"},
    {"train.tsv", line(9, "money\tthe [bank] [bank]"),
     "train.tsv:9: a sentence must have one [target]; got 2"},
    {"train.tsv", line(9, "money\tthe [bank"),
     "train.tsv:9: a sentence must have one [target]; got an unmatched"},
    {"train.tsv", line(9, "money\tthe [ban]ker"), "train.tsv:9: target must be one whole word; got"},
    {"train.tsv", line(9, "money\tthe []"), "train.tsv:9: target must be one whole word; got"},
    {"train.tsv", line(9, "\tthe [bank]"), "train.tsv:9: label must be a name without white space around it"},
    {"train.tsv", "money\ta [bank]\nmoney\tthe [bank]\n",
     "train.tsv: must have sentences of at least two labels; got only 'money'"},
    {"train.tsv", line(9, "money\t" + std::string(3 << 20, 'x')), "train.tsv:9: a line must have at most"},
    {"val.tsv", "rivr\tthe [bank]\n", "val.tsv:1: label must be known; got 'rivr' (did you mean 'river'?)"},
    {"val.tsv", "", "val.tsv: must have at least one line; got an empty file"},
    {"test.tsv", "river\tthe bank\n", "test.tsv:1: a sentence must have one [target]; got none"},
    // the layout of CoarseWSD-20
    {"words/train.data.txt", "7\ta bank here\n0\tbank\n",
     "words/train.data.txt:1: target position must be that of a token in [0, 3); got 7"},
    {"words/train.data.txt", "one\ta bank\n0\tbank\n",
     "words/train.data.txt:1: target position must be an unsigned"},
    {"words/train.data.txt", "0\tbank\n",
     "words/train.gold.txt: must have one label for each of the 1 lines"},
    {"words/train.gold.txt", "0\n5\n", "words/train.gold.txt:2: label must be in classes_map.txt; got '5'"},
    {"words/classes_map.txt", "{\"0\": \"money\", ", "words/classes_map.txt: invalid JSON at byte"},
    {"words/classes_map.txt", "[]", "words/classes_map.txt: must be a JSON object from label to name"},
    {"words/classes_map.txt", "{\"0\": \"money\", \"1\": \"money\"}",
     "words/classes_map.txt: labels and names must be unique"},
};

void write_folder(const SmallData& data) {
  make_directories(data.folder / "words");
  write_file_atomic(data.folder / "words/train.data.txt", "1\ta bank here\n0\tbank\n");
  write_file_atomic(data.folder / "words/train.gold.txt", "0\n1\n");
  write_file_atomic(data.folder / "words/classes_map.txt", "{\"0\": \"money\", \"1\": \"river\"}");
}

}  // namespace

TEST_CASE("broken data files are refused with file and line, and nothing is written") {
  SmallData data;
  data.encoder();
  write_folder(data);
  for (const FileCase& c : kBrokenFiles) {
    CAPTURE(std::string(c.part));
    const std::string path = data.folder / c.file, whole = read_file(path);
    write_file_atomic(path, c.text);
    const std::string before = snapshot(data.folder.path);
    std::vector<std::string> command = {"train", "small.toml"};
    if (std::string(c.file).compare(0, 5, "words") == 0)
      for (const char* set : {"data.path=words", "data.train=", "data.val=", "data.test="})
        command.insert(command.end(), {"--set", set});
    check_refused(run_qkv(command, {data.folder.path}), 3, c.part);
    CHECK(snapshot(data.folder.path) == before);
    write_file_atomic(path, whole);
  }
}

TEST_CASE("data that cannot be read is refused") {
  SmallData data;
  data.encoder();
  make_directories(data.folder / "empty");
  const std::string before = snapshot(data.folder.path);
  struct Case {
    const char *set, *part;
  };
  const Case cases[] = {
      {"data.train=nowhere.tsv", "nowhere.tsv: cannot be read; got No such file or directory"},
      {"data.train=train.tsv/x", "train.tsv/x: cannot be read; got Not a directory"},
      {"data.train=empty", "empty/classes_map.txt: cannot be read; got No such file or directory"},
      {"data.train=/proc/self/mem", "/proc/self/mem: cannot be read; got Input/output error"},
      {"data.val=nowhere.tsv", "nowhere.tsv: cannot be read; got No such file or directory"},
      {"train.init_from=nowhere", "nowhere: must be a run directory or a checkpoint"},
      {"train.init_from=train.safetensors",
       "train.safetensors: cannot be read; got No such file or directory"},
      {"train.init_from=empty", "empty: must hold a checkpoint"},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.set));
    check_refused(run_qkv({"train", "small.toml", "--set", c.set}, {data.folder.path}), 3, c.part);
    CHECK(snapshot(data.folder.path) == before);
  }
}

TEST_CASE("texts and data for a trained model are refused where it cannot read them") {
  SmallData data;
  data.encoder();
  REQUIRE(run_qkv({"train", "small.toml"}, {data.folder.path}).code == 0);
  make_directories(data.folder / "empty");
  write_file_atomic(data.folder / "none.tsv", "");
  write_file_atomic(data.folder / "label.tsv", "river\tthe [bank]\nairbank\tthe [bank]\n");
  write_file_atomic(data.folder / "bytes.tsv", "river\tthe [bank] \xff\n");
  const std::string before = snapshot(data.folder.path);
  struct Case {
    std::vector<std::string> arguments;
    int code;
    const char* part;
  };
  const Case cases[] = {
      {{"predict", "runs/small", "we sat by the river"}, 3, "text: must hold one target word (bank)"},
      {{"predict", "runs/small", "the bank by the bank"}, 3, "got 2 in 'the bank by the bank'"},
      {{"predict", "runs/small", ""}, 3, "text: must hold one target word (bank)"},
      {{"predict", "runs/small", "the b\xe4nk bank"}, 3, "must be UTF-8; got byte 0xe4"},
      {{"predict", "runs/small", "the [bank] [bank]"}, 3, "must have one [target]; got 2"},
      {{"predict", "runs/small", "the [ban]k"}, 3, "target must be one whole word"},
      {{"predict", "runs/nowhere", "the bank"}, 3, "runs/nowhere: must be a run directory or a checkpoint"},
      {{"predict", "small.toml", "the bank"}, 3, "small.toml: must be a run directory or a checkpoint"},
      {{"predict", "empty", "the bank"}, 3, "empty: must hold a checkpoint 'best'; got 0 checkpoints"},
      {{"predict", "runs/small", "--checkpoint", "step-000099", "the bank"},
       3,
       "must hold a checkpoint 'step-000099'"},
      {{"predict"}, 2, "run"},
      {{"eval", "runs/small", "--split", "tset"}, 2, "split: must be train, val or test; got 'tset'"},
      {{"eval", "runs/small", "--data", "nowhere.tsv"}, 3, "nowhere.tsv: cannot be read; got No such file"},
      {{"eval", "runs/small", "--data", "none.tsv"}, 3, "none.tsv: must have at least one line"},
      {{"eval", "runs/small", "--data", "label.tsv"}, 3, "label.tsv:2: label must be known; got 'airbank'"},
      {{"eval", "runs/small", "--data", "bytes.tsv"}, 3, "bytes.tsv:1: text must be UTF-8; got byte 0xff"},
      {{"eval", "runs/small", "--data", "empty"}, 3, "empty/classes_map.txt: cannot be read"},
      {{"eval", "runs/small", "--data", "caf\xe9.tsv"}, 2, "--data"},
      {{"eval", "empty"}, 3, "empty: must hold a checkpoint 'best'"},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.part));
    const Finished result = run_qkv(c.arguments, {data.folder.path});
    check_refused(result, c.code, c.part);
    CHECK(result.out == "");
    CHECK(snapshot(data.folder.path) == before);
  }
  check_refused(run_qkv({"predict", "runs/small"}, {data.folder.path, "the b\xffnk\n"}), 3, "must be UTF-8");
}

TEST_CASE("very long texts are answered") {
  SmallData data;
  data.encoder();
  REQUIRE(run_qkv({"train", "small.toml"}, {data.folder.path}).code == 0);
  std::string text;
  for (int i = 0; i < 200'000; i++) text += i == 100'000 ? "bank " : "word ";
  const Finished result = run_qkv({"predict", "runs/small", "--json"}, {data.folder.path, text + "\n"});
  CHECK(result.code == 0);
  CHECK(count(result.out, "\"sense\":") == 1);
  CHECK(run_qkv({"predict", "runs/small"}, {data.folder.path, ""}).code == 0);
}

}  // namespace qkv::test
