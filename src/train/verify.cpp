#include "train/verify.h"

#include <cmath>
#include <filesystem>

#include "base/file.h"
#include "log/jsonl.h"
#include "log/tensorboard.h"
#include "qkv/base/config.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/data/tokenizer.h"
#include "qkv/tensor/safetensors.h"
#include "train/base_weights.h"
#include "train/captures.h"
#include "train/checkpoint.h"
#include "train/checksums.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

class Verifier {
 public:
  VerifyReport report;

  void run(const std::string& path) {
    if (exists(path + "/checksums.txt")) add(checksum_problems(path));
    for (const char* name :
         {"config.toml", "config.resolved.toml", "env.json", "result.json", "metrics.jsonl"})
      if (exists(path + "/" + name)) file(path + "/" + name);
    if (!exists(path + "/config.resolved.toml"))
      add({path + "/config.resolved.toml: must exist in a run directory; the file is missing"});
    const std::vector<std::string> logs = event_files(path);
    for (const std::string& log : logs) events(log, log == logs.back() && exists(path + "/result.json"));
    add(capture_problems(path));
    const auto all = list_checkpoints(path);
    for (auto& [step, folder] : all) checkpoint(folder);
    for (const char* link : {"last", "best"})
      if (!all.empty()) attempt([&] { find_checkpoint(path, link); });
    if (exists(path + "/config.resolved.toml")) attempt([&] { named_files(path); });
  }

  void checkpoint(const std::string& folder) {
    const auto problems = checkpoint_problems(folder);
    add(problems);
    if (problems.empty()) attempt([&] { check_base(folder, read_checkpoint_state(folder)); });
    for (const std::string& name : entries_of(folder)) file(folder + "/" + name);
  }

  // What kind of file it is follows from its name.
  void file(const std::string& path) {
    report.checked.push_back(path);
    attempt([&] {
      if (ends_with(path, ".safetensors")) weights(path);
      if (ends_with(path, "/tokenizer.json"))
        Tokenizer::load(path);
      else if (ends_with(path, ".json"))
        read_json(path);
      if (ends_with(path, "/metrics.jsonl")) log(path);
      if (ends_with(path, "/config.resolved.toml")) Section::load(path);
    });
  }

 private:
  template <class F>
  void attempt(F f) {
    try {
      f();
    } catch (const Error& e) {
      add({e.what()});
    }
  }

  // Do the data and plug-ins that the config names lie where it says? Of the values of [data], those are
  // files that a run directory keeps below data/, or that lead out of it.
  void named_files(const std::string& run) {
    const Section config = Section::load(run + "/config.resolved.toml");
    std::vector<std::pair<std::string, std::string>> named;
    for (const ResolvedKey& given : config.all_given())
      if (starts_with(given.key, "data.") && starts_with(given.value, "\""))
        named.emplace_back(given.key, config.path(given.key));
    for (const std::string& file : config.get("plugins", std::vector<std::string>(), "", rule::path))
      named.emplace_back("plugins", file);
    for (const auto& [key, file] : named) {
      if (file.empty()) continue;
      const fs::path relative =
          fs::absolute(file).lexically_normal().lexically_relative(fs::absolute(run).lexically_normal());
      const bool kept = *relative.begin() == "data" || *relative.begin() == "plugins";
      if ((kept || *relative.begin() == "..") && !exists(file))
        add({fmt::format("{}/config.resolved.toml: {} must name existing files; there is nothing at {}", run,
                         key, file)});
    }
  }

  // The last event file of a finished run ends with that of the run; earlier ones may be torn by a crash.
  void events(const std::string& path, bool finished) {
    report.checked.push_back(path);
    attempt([&] {
      const std::string bytes = read_file(path, std::size_t{4} << 30);
      const EventRecords log = event_records(bytes, path);
      const bool ended = !log.events.empty() && log.events.back().find(kSessionEnd) != std::string_view::npos;
      if (finished && (log.torn || !ended))
        add(
            {fmt::format("{}: must end with the end of the session, since there is a result.json; got {} "
                         "(records are missing)",
                         path, log.torn ? "a record that is cut off" : "another event")});
    });
  }

  // A log has no checksum, since it grows; that of a finished run ends with the run's end.
  void log(const std::string& path) {
    MetricsReader reader(path);
    Record record;
    std::string last;
    while (reader.next(record)) last = record.type();
    if (!exists(fs::path(path).parent_path().string() + "/result.json")) return;
    if (reader.torn() || last != "end")
      add({fmt::format(
          "{}: must end with the run's end, since there is a result.json; got {} (lines are missing)", path,
          reader.torn() ? "a line that is cut off" : in_quotes(last))});
  }

  void add(const std::vector<std::string>& problems) {
    report.problems.insert(report.problems.end(), problems.begin(), problems.end());
  }

  void weights(const std::string& path) {
    for (const NamedTensor& named : read_safetensors(path)) {
      if (named.tensor.dtype() == Dtype::i32) continue;
      for (Index i = 0; i < named.tensor.size(); i++)
        if (!std::isfinite(named.tensor.at(i)))
          return add({fmt::format("{}: '{}' must be finite; got {} at element {}", path, named.name,
                                  named.tensor.at(i), i)});
    }
  }
};

}  // namespace

VerifyReport verify(const std::string& path) {
  Verifier v;
  if (is_directory(path + "/checkpoints") || exists(path + "/config.resolved.toml"))
    exists(path + "/state.json") || exists(path + "/model.safetensors") ? v.checkpoint(path) : v.run(path);
  else if (is_directory(path) && (exists(path + "/checksums.txt") || exists(path + "/model.safetensors")))
    v.checkpoint(path);
  else if (exists(path) && ends_with(path, ".safetensors"))
    v.file(path);
  else
    fail(Fault::data, "{}: must be a run directory, a checkpoint or a .safetensors file; {}", path,
         exists(path) ? "got something else" : "it does not exist");
  return std::move(v.report);
}

}  // namespace qkv
