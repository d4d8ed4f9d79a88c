// `train` in its forms, `sweep` and `report`, killed after each of their changes of a file.
#include "cli/kill_points.h"

#include "count.h"

namespace qkv::test {

TEST_CASE(
    "train, --seeds, --folds, --each, sweep and report, killed after each change of a file, end the same") {
  if (!kShimLoads) return;
  struct Form {
    std::vector<std::string> arguments;
    int least;
  };
  for (const Form& form : {Form{{}, 100}, Form{{"--seeds", "2"}, 200}, Form{{"--folds", "2"}, 200},
                           Form{{"--each", "model.n_layer", "1", "2"}, 200},
                           Form{{"--each", "model.n_layer", "1", "2", "--seeds", "2"}, 400}}) {
    CAPTURE(join(form.arguments, " "));
    std::vector<std::string> train = {"train", "small.toml", "--resume"};
    train.insert(train.end(), form.arguments.begin(), form.arguments.end());
    const int kills = kill_at_each_change({prepare_config, train, train});
    CHECK(kills > form.least);
    counted("commands killed after each of their changes", "resumed byte for byte", kills);
  }
  const std::vector<std::string> sweep = {"sweep",  "small.toml",    "--jobs", "1",
                                          "--grid", "model.n_layer", "1",      "2"};
  CHECK(kill_at_each_change({prepare_config, sweep, sweep}) > 200);
  const TemporaryFolder finished;
  prepare_config(finished.path);
  REQUIRE(run_qkv({"train", "small.toml"}, {finished.path}).code == 0);
  const auto copy = [&](const std::string& to) {
    std::filesystem::copy(
        finished.path, to,
        std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
  };
  const std::vector<std::string> report = {"report", "runs/small"};
  CHECK(kill_at_each_change({copy, report, report}) > 2);
}

}  // namespace qkv::test
