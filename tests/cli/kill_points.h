// Kills a command after each of its calls that change a file, in turn, and looks at what comes of it.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <regex>

#include "cli/process.h"
#include "qkv/base/text.h"
#include "train/small_run.h"

namespace qkv::test {

/// Whether the program can have the shim loaded first; a sanitizer wants to be first itself.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kShimLoads = false;
#else
constexpr bool kShimLoads = true;
#endif

using Tree = std::map<std::string, std::string>;

/// Names and contents of all files below a folder without what the clock and its own place decide.
inline Tree tree_of(const std::string& folder) {
  const std::regex times(R"re(,"([a-z_]+_s|step_ms)":[-+.e0-9]+|"seconds": [-+.e0-9]+)re"),
      sums("[0-9a-f]{32}  (state|origins|checksums)[.](json|txt)\n"), place(folder);
  Tree tree;
  for (auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string(),
                      file = entry.path().filename().string();
    if (entry.is_symlink())
      tree[name] = "-> " + std::filesystem::read_symlink(entry.path()).string();
    else if (entry.is_directory())
      tree[name] = "folder";
    else if (file != "train.log" && !starts_with(file, "events.out"))
      for (const std::regex* what : {&times, &sums, &place})
        tree[name] =
            std::regex_replace(what == &times ? read_file(entry.path().string()) : tree[name], *what, "");
  }
  return tree;
}

inline std::string difference(const Tree& expected, const Tree& got) {
  for (auto& [name, text] : expected)
    if (!got.count(name) || got.at(name) != text)
      return got.count(name) ? fmt::format("{} is\n{}\nand not\n{}", name, got.at(name), text) : "no " + name;
  for (auto& [name, text] : got)
    if (!expected.count(name)) return name + " is left over";
  return "";
}

/// What is run in a folder that `prepare` has made.
struct KilledCommand {
  std::function<void(const std::string&)> prepare;
  std::vector<std::string> command;
  std::vector<std::string> again;  ///< after a kill
};

/// The end of `command`, with the shim and its variable.
inline Finished run_with_shim(const std::vector<std::string>& command, const std::string& folder,
                              const char* variable, const std::string& value) {
  ::setenv("LD_PRELOAD", kill_shim_path().c_str(), 1);
  ::setenv(variable, value.c_str(), 1);
  Process process(command, {folder});
  ::unsetenv("LD_PRELOAD");
  ::unsetenv(variable);
  return process.wait();
}

/// The end of `command`, killed after its `n`-th change.
inline Finished run_and_kill(const std::vector<std::string>& command, const std::string& folder, int n) {
  return run_with_shim(command, folder, "QKV_KILL_AFTER", std::to_string(n));
}

/// Returns how many changes there are.
inline int kill_at_each_change(const KilledCommand& what) {
  TemporaryFolder whole;
  what.prepare(whole.path);
  const Finished undisturbed = run_qkv(what.command, {whole.path});
  CAPTURE(undisturbed.err);
  REQUIRE(undisturbed.code == 0);
  const Tree expected = tree_of(whole.path);
  for (int n = 1;; n++) {
    CAPTURE(n);
    TemporaryFolder place;
    what.prepare(place.path);
    const Finished killed = run_and_kill(what.command, place.path, n);
    if (killed.code == 0) return n - 1;
    REQUIRE(killed.code == -SIGKILL);
    const Finished result = run_qkv(what.again, {place.path});
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
    REQUIRE(difference(expected, tree_of(place.path)) == "");
  }
}

/// A config small.toml of four steps, with everything that a run writes.
inline void prepare_config(const std::string& folder) {
  write_file_atomic(folder + "/train.tsv", sentences(16, 0));
  write_file_atomic(folder + "/val.tsv", sentences(8, 1));
  write_file_atomic(folder + "/small.toml", R"(
run.seed = 7
data = {train = "train.tsv", val = "val.tsv", batch_size = 8}
model = {n_layer = 1, d_model = 8, max_seq_len = 12, attention.n_head = 2, ffn.d_ff = 8}
schedule.type = "cosine"
train.max_steps = 4
eval.every = 2
checkpoint.keep_last = 2
log = {every = 1, tensorboard = true}
inspect = {points = 8, examples = 2}
)");
}

}  // namespace qkv::test
