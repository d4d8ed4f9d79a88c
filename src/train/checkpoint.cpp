#include "train/checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "qkv/base/config.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/train/config.h"
#include "train/checksums.h"
#include "train/run_dir.h"

namespace fs = std::filesystem;

namespace qkv {

constexpr const char* kFiles[] = {"model.safetensors", "optimizer.safetensors", "state.json",
                                  "tokenizer.json", "config.resolved.toml"};

static std::string checkpoints(const std::string& run) {
  return run + "/checkpoints";
}

// The name that a link holds, or the text file that stands for one; "" where there is neither.
static std::string link_target(const std::string& link) {
  std::error_code ignored;
  if (fs::is_symlink(link, ignored)) return fs::read_symlink(link, ignored).string();
  return fs::is_regular_file(link, ignored) ? std::string(trim(read_file(link, 1000))) : "";
}

// Points the link `name` at `target`, replacing by rename what is there: a link, a text file, or a copy of
// the checkpoint, made by a program that followed links.
static void point(const std::string& folder, const std::string& name, const std::string& target) {
  const std::string link = folder + "/" + name, fresh = folder + "/." + name + ".tmp";
  std::error_code ignored;
  fs::remove_all(fresh, ignored);
  if (fs::is_directory(fs::symlink_status(link, ignored))) {
    fs::rename(link, fresh, ignored);
    fs::remove_all(fresh, ignored);
  }
  if (::symlink(target.c_str(), fresh.c_str()) != 0) write_file_atomic(fresh, target + "\n");
  if (::rename(fresh.c_str(), link.c_str()) != 0)
    fail(Fault::runtime, "{}: cannot be pointed at {}; got {}", link, target, std::strerror(errno));
}

std::string step_name(std::int64_t step) {
  return fmt::format("step-{:06}", step);
}

std::string id_of_run(const std::string& run) {
  try {
    return env_value(run, "id");
  } catch (const Error&) {  // damage, which `verify` reports
    return "";
  }
}

void write_checkpoint(const std::string& run, const CheckpointData& data, bool best) {
  const std::string parent = checkpoints(run), name = step_name(data.step);
  const std::string temporary = parent + "/." + name + ".tmp", folder = parent + "/" + name;
  std::error_code ignored;
  try {
    fs::remove_all(temporary, ignored);
    for (const std::string& made : {parent, temporary})
      fs::create_directory(made);  // never the run directory
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
  std::error_code ignored;
  if (best >= 0)
    point(parent, "best", step_name(best));
  else
    fs::remove_all(parent + "/best", ignored);
  fsync_dir(parent);
}

std::vector<std::pair<std::int64_t, std::string>> list_checkpoints(const std::string& run) {
  std::vector<std::pair<std::int64_t, std::string>> found;
  for (const std::string& name : entries_of(checkpoints(run)))
    if (starts_with(name, "step-") && all_digits(name.substr(5)) && name.size() <= 20)
      found.emplace_back(std::stoll(name.substr(5)), checkpoints(run) + "/" + name);
  std::sort(found.begin(), found.end());
  return found;
}

std::pair<std::int64_t, std::string> whole_checkpoint(const std::string& run, std::int64_t most) {
  auto all = list_checkpoints(run);
  while (!all.empty() && (all.back().first > most || !checkpoint_problems(all.back().second).empty()))
    all.pop_back();
  return all.empty() ? std::pair<std::int64_t, std::string>() : all.back();
}

void prune_checkpoints(const std::string& run, std::int64_t keep_last, bool keep_best) {
  std::error_code ignored;
  const std::string parent = checkpoints(run);
  const std::string last = link_target(parent + "/last"),
                    best = keep_best ? link_target(parent + "/best") : "";
  std::vector<std::string> names;
  for (auto& [step, folder] : list_checkpoints(run)) names.push_back(fs::path(folder).filename().string());
  // Behind `last` there can only be damaged ones that a resumed run went back from.
  const auto found = std::find(names.begin(), names.end(), last);
  const auto whole = (found == names.end() ? found : found + 1) - names.begin();
  for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(names.size()); i++) {
    const std::string& name = names[static_cast<std::size_t>(i)];
    if (i < whole && (whole - i <= keep_last || name == best)) continue;
    // Renamed first: a reader sees a whole checkpoint or none.
    const std::string fresh = parent + "/." + name + ".tmp";
    fs::remove_all(fresh, ignored);
    fs::rename(parent + "/" + name, fresh, ignored);
  }
  if (!is_directory(parent + "/" + link_target(parent + "/best"))) ::unlink((parent + "/best").c_str());
  for (const std::string& name : entries_of(parent))
    if (name[0] == '.' && ends_with(name, ".tmp")) fs::remove_all(parent + "/" + name, ignored);
}

std::vector<std::string> checkpoint_problems(const std::string& folder) {
  std::vector<std::string> required;
  for (const std::string name : kFiles)
    if (name != "tokenizer.json" || exists(folder + "/" + name)) required.push_back(name);
  return checksum_problems(folder, required);
}

Json read_checkpoint_state(const std::string& folder) {
  const std::string file = folder + "/state.json";
  Json state = read_json(file);
  if (!state.is_object() || !state.contains("task"))
    fail(Fault::data, "{}: must hold 'step' and 'task'; got other keys", file);
  const auto integer = [&](const char* key) {
    const auto found = state.find(key);
    if (found == state.end() || !found->is_number_integer())
      fail(Fault::data, "{}: must hold the integer '{}'; got none", file, key);
    return found->get<std::int64_t>();
  };
  if (const std::int64_t version = integer("version"); version != 1)
    fail(Fault::data, "{}: 'version' must be 1; got {} (written by a newer qkv?)", file, version);
  const std::string name = fs::path(folder).filename().string();
  if (const std::int64_t step = integer("step"); starts_with(name, "step-") && name != step_name(step))
    fail(Fault::data, "{}: 'step' must be that of its folder; got {}", file, step);
  const std::string id = id_of_run(folder + "/../..");
  if (!id.empty() && (!state.contains("run") || state.at("run") != id))
    fail(Fault::data, "{}: must be a checkpoint of the run that contains it; got one of another run", folder);
  return state;
}

Checkpoint read_checkpoint(const std::string& folder, bool with_optimizer) {
  if (const auto problems = checkpoint_problems(folder); !problems.empty())
    throw Error(problems.front(), Fault::data);
  Checkpoint c{folder, folder + "/config.resolved.toml", {}, {}, nullptr, nullptr};
  c.state = std::make_shared<Json>(read_checkpoint_state(folder));
  c.weights = read_safetensors(folder + "/model.safetensors");
  if (with_optimizer) c.optimizer = read_safetensors(folder + "/optimizer.safetensors");
  if (exists(folder + "/tokenizer.json")) c.tokenizer = Tokenizer::load(folder + "/tokenizer.json");
  return c;
}

// What `best` means where there is no such link: the checkpoint that the state of the last one calls so, or
// the last one where the run evaluates nothing, or keeps no best one.
static std::string best_by_state(const std::string& run) {
  const std::string last = find_checkpoint(run, "last");
  const Json state = read_checkpoint_state(last);
  const std::int64_t best = state.value("best_step", std::int64_t{-1});
  if (best < 0) return last;
  const std::string folder = checkpoints(run) + "/" + step_name(best),
                    taken = step_name(state.at("step").get<std::int64_t>());
  if (is_directory(folder)) return folder;
  if (Section::load(last + "/config.resolved.toml").section("checkpoint").read<CheckpointConfig>().keep_best)
    fail(Fault::data, "{}: must hold the best checkpoint, {}; it is missing (the last one is {})", run,
         step_name(best), taken);
  console().info("{}: keeps no best checkpoint; the last one, {}, is used", run, taken);
  return last;
}

std::string find_checkpoint(const std::string& run, const std::string& which) {
  const bool is_run = is_directory(checkpoints(run)) || exists(run + "/origins.json");
  if (!is_run && (exists(run + "/checksums.txt") || exists(run + "/state.json"))) return run;
  if (!is_directory(run))
    fail(Fault::data, "{}: must be a run directory or a checkpoint; {}", run, not_a_directory(run));
  const std::string own = checkpoints(run) + "/" + which, target = link_target(own);
  if (is_directory(own)) return own;
  if (!target.empty()) {
    if (is_directory(checkpoints(run) + "/" + target)) return checkpoints(run) + "/" + target;
    fail(Fault::data, "{}: must point at a checkpoint; {} is missing", own, target);
  }
  const auto all = list_checkpoints(run);
  if (which == "best" && !all.empty()) return best_by_state(run);
  if (which == "last" && !all.empty()) return all.back().second;
  std::vector<std::string> names;
  for (auto& [step, folder] : all) names.push_back(fs::path(folder).filename().string());
  fail(Fault::data, "{}: must hold a checkpoint '{}'; got {} checkpoints{}", run, which, all.size(),
       suggest(which, names));
}

}  // namespace qkv
