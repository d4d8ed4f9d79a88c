#include "qkv/train/checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "qkv/base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/train/checksums.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr const char* kFiles[] = {"model.safetensors", "optimizer.safetensors", "state.json",
                                  "tokenizer.json", "config.resolved.toml"};

std::string checkpoints(const std::string& run) {
  return run + "/checkpoints";
}
std::string step_name(std::int64_t step) {
  return fmt::format("step-{:06}", step);
}

std::string link_target(const std::string& link) {
  std::error_code ignored;
  return fs::read_symlink(link, ignored).string();
}

// Points the link `name` at `target`, replacing it by rename.
void point(const std::string& folder, const std::string& name, const std::string& target) {
  const std::string fresh = folder + "/." + name + ".tmp";
  ::unlink(fresh.c_str());
  if (::symlink(target.c_str(), fresh.c_str()) != 0 ||
      ::rename(fresh.c_str(), (folder + "/" + name).c_str()) != 0)
    fail(Fault::runtime, "{}/{}: cannot be pointed at {}; got {}", folder, name, target,
         std::strerror(errno));
}

}  // namespace

void write_checkpoint(const std::string& run, const CheckpointData& data, bool best) {
  const std::string parent = checkpoints(run), name = step_name(data.step);
  const std::string temporary = parent + "/." + name + ".tmp", folder = parent + "/" + name;
  std::error_code ignored;
  try {
    fs::remove_all(temporary, ignored);
    make_directories(temporary);
    write_safetensors(temporary + "/model.safetensors", data.weights);
    write_safetensors(temporary + "/optimizer.safetensors", data.optimizer);
    write_file_atomic(temporary + "/state.json", dump_json(*data.state, 2) + "\n");
    if (data.tokenizer)
      write_file_atomic(temporary + "/tokenizer.json", dump_json(data.tokenizer->to_json()) + "\n");
    write_file_atomic(temporary + "/config.resolved.toml", data.config);
    write_checksums(temporary, {std::begin(kFiles), std::end(kFiles)});
    fsync_dir(temporary);
    if (exists(folder)) fs::remove_all(folder);  // a damaged one that a resumed run replaces
    fs::rename(temporary, folder);
    fsync_dir(parent);
  } catch (const fs::filesystem_error& e) {
    fs::remove_all(temporary, ignored);
    fail(Fault::runtime, "{}: checkpoint cannot be written; got {}", folder, e.code().message());
  } catch (...) {
    fs::remove_all(temporary, ignored);
    throw;
  }
  point(parent, "last", name);
  if (best) point(parent, "best", name);
  fsync_dir(parent);
}

void point_links(const std::string& run, std::int64_t last, std::int64_t best) {
  const std::string parent = checkpoints(run);
  point(parent, "last", step_name(last));
  if (best >= 0 && is_directory(parent + "/" + step_name(best)))
    point(parent, "best", step_name(best));
  else
    ::unlink((parent + "/best").c_str());
  fsync_dir(parent);
}

std::vector<std::pair<std::int64_t, std::string>> list_checkpoints(const std::string& run) {
  std::vector<std::pair<std::int64_t, std::string>> found;
  std::error_code error;
  for (auto& entry : fs::directory_iterator(checkpoints(run), error)) {
    const std::string name = entry.path().filename().string();
    if (name.compare(0, 5, "step-") != 0 || name.find_first_not_of("0123456789", 5) != std::string::npos ||
        name.size() == 5 || name.size() > 20)
      continue;
    found.emplace_back(std::stoll(name.substr(5)), entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

void prune_checkpoints(const std::string& run, std::int64_t keep_last, bool keep_best) {
  std::error_code ignored;
  const std::string parent = checkpoints(run);
  const std::string last = link_target(parent + "/last"),
                    best = keep_best ? link_target(parent + "/best") : "";
  std::vector<std::string> names, gone;
  for (auto& [step, folder] : list_checkpoints(run)) names.push_back(fs::path(folder).filename().string());
  // Behind `last` there can only be damaged ones that a resumed run went back from.
  const auto end = std::find(names.begin(), names.end(), last);
  if (end != names.end()) {
    gone.assign(end + 1, names.end());
    names.erase(end + 1, names.end());
  }
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep_last) < names.size(); i++)
    if (names[i] != best) gone.push_back(names[i]);
  for (const std::string& name : gone) {
    // Renamed first: a reader sees a whole checkpoint or none.
    const std::string fresh = parent + "/." + name + ".tmp";
    fs::remove_all(fresh, ignored);
    fs::rename(parent + "/" + name, fresh, ignored);
  }
  if (!is_directory(parent + "/best")) ::unlink((parent + "/best").c_str());
  std::vector<fs::path> left_over;
  for (auto& entry : fs::directory_iterator(parent, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name[0] == '.' && ends_with(name, ".tmp")) left_over.push_back(entry.path());
  }
  for (const fs::path& path : left_over) fs::remove_all(path, ignored);
}

std::vector<std::string> checkpoint_problems(const std::string& folder) {
  std::vector<std::string> required;
  for (const std::string name : kFiles)
    if (name != "tokenizer.json" || exists(folder + "/" + name)) required.push_back(name);
  return checksum_problems(folder, required);
}

Checkpoint read_checkpoint(const std::string& folder, bool with_optimizer) {
  if (const auto problems = checkpoint_problems(folder); !problems.empty())
    throw Error(problems.front(), Fault::data);
  auto state = std::make_shared<Json>(read_json(folder + "/state.json"));
  Checkpoint c{folder,
               folder + "/config.resolved.toml",
               read_safetensors(folder + "/model.safetensors"),
               {},
               state,
               *state,
               nullptr};
  if (with_optimizer) c.optimizer = read_safetensors(folder + "/optimizer.safetensors");
  if (exists(folder + "/tokenizer.json")) c.tokenizer = Tokenizer::load(folder + "/tokenizer.json");
  if (!state->is_object() || !state->contains("task") || !state->contains("step"))
    fail(Fault::data, "{}/state.json: must hold 'step' and 'task'; got other keys", folder);
  return c;
}

std::string find_checkpoint(const std::string& run, const std::string& which) {
  if (!is_directory(checkpoints(run)) && (exists(run + "/checksums.txt") || exists(run + "/state.json")))
    return run;
  if (!is_directory(run))
    fail(Fault::data, "{}: must be a run directory or a checkpoint; it does not exist", run);
  for (const std::string& name : {which, std::string(which == "best" ? "last" : which)})
    if (is_directory(checkpoints(run) + "/" + name)) return checkpoints(run) + "/" + name;
  auto all = list_checkpoints(run);
  if ((which == "best" || which == "last") && !all.empty()) return all.back().second;
  std::vector<std::string> names;
  for (auto& [step, folder] : all) names.push_back(folder.substr(folder.rfind('/') + 1));
  fail(Fault::data, "{}: must hold a checkpoint '{}'; got {} checkpoints{}", run, which, all.size(),
       suggest(which, names));
}

}  // namespace qkv
