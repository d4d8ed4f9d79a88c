#include "train/environment.h"

#include <fstream>

#include "base/file.h"
#include "base/machine.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/version.h"
#include "tensor/blas.h"
#include "train/run_dir.h"

namespace qkv {

static std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (starts_with(line, "model name")) return std::string(trim(line.substr(line.find(':') + 1)));
  return "unknown";
}

Json environment(const std::vector<std::string>& command, int threads, std::int64_t seed) {
  const Blas state = blas();
  return {{"version", kVersion},
          {"revision", kRevision},
          {"compiler", kCompiler},
          {"cpu", cpu_name()},
          {"cpus", available_threads()},
          {"memory_bytes", available_memory()},
          {"blas", state.library},
          {"blas_core", state.core},
          {"blas_chosen_by", state.chosen_by},
          {"blas_note", state.note},
          {"vectors", vector_set()},
          {"threads", threads},
          {"seed", seed},
          {"command", command}};
}

std::string changed_arithmetic(const std::string& run) {
  const std::string file = run + "/env.json";
  if (!exists(file)) return "";
  const Json before = parse_json(read_file(file, 1 << 20), file), now = environment({}, 0, 0);
  auto text = [](const Json& of, const char* key) {
    return of.is_object() && of.contains(key) && of.at(key).is_string() ? of.at(key).get<std::string>() : "";
  };
  auto library = [&](const Json& of) {  // name and version, without the flavour
    const std::vector<std::string> words = split_words(text(of, "blas"));
    return words.size() < 2 ? "" : words[0] + " " + words[1];
  };
  std::vector<std::string> changes;
  auto compare = [&](const char* what, const std::string& then, const std::string& here) {
    if (!then.empty() && then != here) changes.push_back(fmt::format("{} {} (was {})", what, here, then));
  };
  compare("library", library(before), library(now));
  compare("kernels", text(before, "blas_core"), text(now, "blas_core"));
  compare("vectors", text(before, "vectors"), text(now, "vectors"));
  return join(changes, ", ");
}

}  // namespace qkv
