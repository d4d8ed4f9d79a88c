#include <chrono>
#include <thread>

#include "base/file.h"
#include "cli/process.h"
#include "qkv/base/json.h"

using namespace qkv;
using namespace qkv::test;

#ifndef QKV_SANITIZED  // a sanitizer needs memory for itself
TEST_CASE("the memory that check estimates is within a quarter of the peak of a training") {
  TemporaryFolder folder;
  std::vector<std::vector<std::string>> runs = {{"w5"}};  // a config and what is set
  const std::string huge_pages = "/sys/kernel/mm/transparent_hugepage/enabled";
  if (exists(huge_pages) && read_file(huge_pages).find("[never]") == std::string::npos)
    runs.insert(runs.end(), {{"w2"}, {"w2", "model.max_seq_len=1024"}, {"w2", "data.eval_batch_size=8"}});
  std::vector<double> estimates;
  for (const std::vector<std::string>& run : runs) {
    CAPTURE(run.back());
    std::vector<std::string> arguments = {source_dir() + "/configs/bench/" + run[0] + ".toml"};
    for (std::size_t i = 1; i < run.size(); i++) arguments.insert(arguments.end(), {"--set", run[i]});
    auto with = [&](std::vector<std::string> front, const std::vector<std::string>& back) {
      front.insert(front.end(), arguments.begin(), arguments.end());
      front.insert(front.end(), back.begin(), back.end());
      return front;
    };
    const Finished check = run_qkv(with({"check"}, {"--json"}));
    REQUIRE(check.code == 0);
    Process train(with({"-q", "train"}, {"--set", "train.max_steps=3", "--set", "schedule.warmup_steps=0",
                                         "--set", "run.out_dir=" + folder.path}));
    std::size_t peak = 0;
    for (; train.running(); std::this_thread::sleep_for(std::chrono::milliseconds(1)))
      if (const std::size_t now = train.peak_bytes(); now > 0) peak = now;
    REQUIRE(train.wait().code == 0);
    const auto estimate = Json::parse(check.out).at("memory_bytes").get<double>();
    CHECK(estimate > 0.75 * static_cast<double>(peak));
    CHECK(estimate < 1.25 * static_cast<double>(peak));
    estimates.push_back(estimate);
  }
  if (estimates.size() > 1) CHECK(estimates.back() < 0.9 * estimates[1]);  // smaller batches of evaluation
}
#endif
