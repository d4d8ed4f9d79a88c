// Which kernels compute the products, through the program, with a library that plays OpenBLAS on an unknown
// CPU.
#include "process.h"
#include "qkv/base/json.h"
#include "tensor/blas.h"
#include "train/run_dir.h"

using namespace qkv;
using namespace qkv::test;

TEST_CASE("limits: where addresses are short the program ends, with its answer or with one message") {
  ProcessOptions little;
  little.max_memory_bytes = std::size_t{120} << 20;
  CHECK(run_qkv({"--version"}, little).code == 0);
  check_refused(run_qkv({"train", "nowhere.toml"}, little), 2, "nowhere.toml");
  // A model whose products are large, and no room for the buffers that OpenBLAS would ask for without end.
  const TemporaryFolder folder;
  little.folder = folder.path;
  little.max_memory_bytes = std::size_t{300} << 20;
  check_refused(run_qkv({"bench", source_dir() + "/configs/bench/w3.toml", "--steps", "1", "--set",
                         "data.batch_size=1"},
                        little),
                1, "memory: ");
}

TEST_CASE("limits: a model that cannot fit into memory is refused before any of it is made") {
  const TemporaryFolder folder;
  ProcessOptions here;
  here.folder = folder.path;
  const std::string config = source_dir() + "/configs/bench/w2.toml";
  check_refused(
      run_qkv({"train", config, "--set", "model.d_model=1000000", "--set", "model.attention.n_head=1"}, here),
      1, "memory: weights, gradients and moments");
  CHECK(std::filesystem::is_empty(folder.path));
  check_refused(run_qkv({"check", config, "--set", "model.n_layer=1000000000"}, here), 2,
                "model.n_layer must be between 0 and 1000");
}

TEST_CASE("kernels: resume says that products are computed differently than when the run began") {
  const TemporaryFolder folder;
  ProcessOptions here;
  here.folder = folder.path;
  const std::vector<std::string> train = {
      "train", source_dir() + "/configs/bench/w1.toml", "--set", "train.max_steps=2", "--set", "run.name=r",
      "-q"};
  REQUIRE(run_qkv(train, here).code == 0);
  const std::string file = folder / "runs/r/env.json";
  Json env = parse_json(read_file(file), file);
  CHECK(env.at("blas_core") == blas().core);
  CHECK(env.at("blas_chosen_by") == blas().chosen_by);
  const std::vector<std::string> resume = {"resume", "runs/r", "--set", "train.max_steps=3"};
  CHECK(count(run_qkv(resume, here).err, "computed differently") == 0);
  env["blas_core"] = "Nehalem";
  write_file_atomic(file, dump_json(env));
  write_run_checksums(folder / "runs/r");  // the old ones would tell of the edit
  CHECK(count(run_qkv({"resume", "runs/r", "--set", "train.max_steps=4"}, here).err, "(was Nehalem)") == 1);
}

#ifndef QKV_SANITIZED  // a sanitizer wants to be the first library
namespace {

// Sets variables for the processes started in its life.
struct Environment {
  explicit Environment(std::vector<std::pair<std::string, std::string>> set) : variables(std::move(set)) {
    for (auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (auto& [name, value] : variables) ::unsetenv(name.c_str());
  }
  std::vector<std::pair<std::string, std::string>> variables;
};

std::string fake(const std::string& name) {
  return (std::filesystem::path(binary_path()).parent_path().parent_path() / "lib" / name).string();
}

Json doctor(std::vector<std::pair<std::string, std::string>> variables,
            const std::string& library = "fake_openblas.so") {
  const char* own = std::getenv("OPENBLAS_CORETYPE");
  const std::string before = own ? own : "";
  ::unsetenv("OPENBLAS_CORETYPE");
  variables.emplace_back("LD_PRELOAD", fake(library));
  Finished result;
  {
    const Environment environment(std::move(variables));
    result = run_qkv({"doctor", "--json"});
  }
  if (own) ::setenv("OPENBLAS_CORETYPE", before.c_str(), 1);
  CAPTURE(result.err);
  REQUIRE(result.code == 0);
  return parse_json(result.out, "doctor");
}

std::string all_warnings(const Json& report) {
  return dump_json(report.at("warnings"));
}

}  // namespace

TEST_CASE(
    "kernels: where OpenBLAS does not know the CPU, the best set that computes right products is taken") {
  const std::vector<std::string> sets = kernel_sets(cpu_level(), "Prescott");
  REQUIRE(sets.size() >= 3);
  const std::string best = sets[0], second = sets[1];

  Json report = doctor({});
  CHECK(report.at("blas_core") == best);
  CHECK(report.at("blas_chosen_by") == "qkv");
  CHECK(report.at("blas") == "OpenBLAS 9.9 fake " + best);

  report = doctor({{"FAKE_OWN", best}});
  CHECK(report.at("blas_core") == best);
  CHECK(report.at("blas_chosen_by") == "OpenBLAS");

  for (const char* fault : {"FAKE_WRONG", "FAKE_CRASH"}) {
    CAPTURE(fault);
    report = doctor({{fault, best}});
    CHECK(report.at("blas_core") == second);
    CHECK(report.at("blas_chosen_by") == "qkv");
    CHECK(all_warnings(report).find(best) != std::string::npos);
    report = doctor({{fault, best}, {"FAKE_OWN", best}});  // OpenBLAS's own choice is tested, too
    CHECK(report.at("blas_core") == second);
    report = doctor({{fault, "SkylakeX,Haswell,Sandybridge,Nehalem,Prescott"}, {"FAKE_OWN", sets[2]}});
    CHECK(report.at("blas_core") == "none");
    CHECK(all_warnings(report).find(sets[2]) != std::string::npos);
  }
}

TEST_CASE("kernels: the user's variable wins, and doctor says what it costs") {
  const std::string best = kernel_sets(cpu_level(), "Prescott")[0];
  Json report = doctor({{"OPENBLAS_CORETYPE", "Prescott"}});
  CHECK(report.at("blas_core") == "Prescott");
  CHECK(report.at("blas_chosen_by") == "OPENBLAS_CORETYPE");
  CHECK(all_warnings(report).find("set it to " + best) != std::string::npos);
  report = doctor({{"OPENBLAS_CORETYPE", "Prescott"}, {"FAKE_WRONG", "Prescott"}});
  CHECK(report.at("blas_core") == "none");
}

TEST_CASE("kernels: of a BLAS that cannot be asked, products are tested, and it is named as such") {
  const Json report = doctor({}, "fake_plain_blas.so");
  CHECK(report.at("blas") == "a BLAS that is not OpenBLAS");
  CHECK(report.at("blas_core") == "unknown");
}
#endif
