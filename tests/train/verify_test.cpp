#include "train/verify.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "qkv/base/text.h"
#include "qkv/tensor/safetensors.h"
#include "train/checkpoint.h"
#include "train/checksums.h"
#include "train/run_dir.h"
#include "train/small_run.h"

namespace fs = std::filesystem;
using namespace qkv;
using namespace qkv::test;

namespace {

// A finished run with everything that the trainer and the run directory write.
std::string finished_run(const SmallData& data) {
  const std::string run = data.folder / "run";
  Session session(data.encoder(), {"data.batch_by=examples"});
  session.train(run);
  write_file_atomic(run + "/env.json", "{\"seed\": 7}\n");
  write_file_atomic(run + "/config.resolved.toml", session.config.dump());
  write_run_checksums(run);
  return run;
}

std::string problems_of(const std::string& path) {
  return join(verify(path).problems, "\n");
}

void change_bit(const std::string& file) {
  std::string bytes = read_file(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  write_file_atomic(file, bytes);
}

}  // namespace

TEST_CASE("a whole run, a checkpoint of it and its weights are whole") {
  const SmallData data;
  const std::string run = finished_run(data);
  CHECK(problems_of(run) == "");
  CHECK(problems_of(run + "/../run") == "");  // "examples" is not taken for a file
  CHECK(problems_of(find_checkpoint(run, "last")) == "");
  CHECK(problems_of(find_checkpoint(run, "last") + "/model.safetensors") == "");
  CHECK(verify(run).checked.size() > 15);
}

TEST_CASE("a bit flipped or a tail cut off in any file of a run is found, and the file named") {
  const SmallData data;
  const std::string run = finished_run(data);
  int damaged = 0;
  for (auto& entry : fs::recursive_directory_iterator(run)) {
    if (!entry.is_regular_file() || entry.is_symlink() || entry.path().filename() == ".lock") continue;
    const std::string file = entry.path().string(), whole = read_file(file);
    // The log is checked by its structure: a digit that became another is not found.
    const bool log = ends_with(file, "metrics.jsonl");
    for (const bool cut : {false, true}) {
      CAPTURE(file);
      CAPTURE(cut);
      if (log)
        write_file_atomic(file, cut ? whole.substr(0, whole.size() / 2) + "\n" : "{\"type\":\n" + whole);
      else if (cut)
        fs::resize_file(file, whole.size() / 2);
      else
        change_bit(file);
      CHECK(problems_of(run).find(fs::path(file).filename().string()) != std::string::npos);
      write_file_atomic(file, whole);
      damaged++;
    }
  }
  CHECK(damaged > 30);
  CHECK(problems_of(run) == "");
}

TEST_CASE("a list has files whose names hold a line feed or a backslash, as md5sum writes them") {
  const TemporaryFolder folder;
  const std::vector<std::string> names{"plain", "a\\nb", "a\nb"};
  for (const std::string& name : names) write_file_atomic(folder / name, name);
  write_checksums(folder.path, names);
  CHECK(checksum_problems(folder.path, names) == std::vector<std::string>{});
  for (const std::string& name : names) {
    write_file_atomic(folder / name, "changed");
    CHECK(checksum_problems(folder.path, names).size() == 1);
    write_file_atomic(folder / name, name);
  }
}

TEST_CASE("weights that are not finite are found by tensor and element") {
  const TemporaryFolder folder;
  const std::string file = folder / "w.safetensors";
  write_safetensors(
      file, {{"fine", Tensor::full({2}, 1.0)}, {"bad", Tensor::from({3}, std::vector<float>{1, 2, NAN})}});
  CHECK(problems_of(file) == file + ": 'bad' must be finite; got nan at element 2");
}

TEST_CASE("what is neither run nor checkpoint nor weights is a data error") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(verify(folder / "none"), doctest::Contains("it does not exist"), Error);
  CHECK_THROWS_WITH_AS(verify(folder.path), doctest::Contains("got something else"), Error);
}
