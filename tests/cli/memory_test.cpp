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
  std::vector<std::string> names = {"w5"};
  const std::string huge_pages = "/sys/kernel/mm/transparent_hugepage/enabled";
  if (exists(huge_pages) && read_file(huge_pages).find("[never]") == std::string::npos) names.push_back("w2");
  for (const std::string& name : names) {
    CAPTURE(name);
    const std::string config = source_dir() + "/configs/bench/" + name + ".toml";
    const Finished check = run_qkv({"check", config, "--json"});
    REQUIRE(check.code == 0);
    Process train({"-q", "train", config, "--set", "train.max_steps=3", "--set", "schedule.warmup_steps=0",
                   "--set", "run.out_dir=" + folder.path});
    std::size_t peak = 0;
    for (; train.running(); std::this_thread::sleep_for(std::chrono::milliseconds(1)))
      if (const std::size_t now = train.peak_bytes(); now > 0) peak = now;
    REQUIRE(train.wait().code == 0);
    const auto estimate = Json::parse(check.out).at("memory_bytes").get<double>();
    CHECK(estimate > 0.75 * static_cast<double>(peak));
    CHECK(estimate < 1.25 * static_cast<double>(peak));
  }
}
#endif
