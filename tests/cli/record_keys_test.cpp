#include "log/record_keys.h"

#include <regex>
#include <set>

#include "cli/process.h"
#include "log/read_metrics.h"
#include "paths.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

bool written_as(const MetricValue& value, std::string_view type) {
  if (type == "boolean") return std::holds_alternative<bool>(value);
  if (type == "number") return is_number(value);
  const bool integer = std::holds_alternative<std::int64_t>(value),
             text = std::holds_alternative<std::string>(value);
  return (integer && type.find("integer") != type.npos) || (text && type.find("text") != type.npos);
}

// The key of the list that a record's key is, or null.
const RecordKey* listed(std::string_view record, const Metric& metric) {
  for (const RecordKey& key : kRecordKeys) {
    const std::string types = fmt::format(" {} ", key.records);
    const std::regex pattern(std::regex_replace(std::string(key.name), std::regex("[A-Z]+"), ".+"));
    if (has(types, fmt::format(" {} ", record)) && std::regex_match(metric.name, pattern) &&
        written_as(metric.value, key.type))
      return &key;
  }
  return nullptr;
}

// Trains with the program, and returns the run directory.
std::string trained(const std::string& folder, const std::string& name, const std::string& config,
                    std::vector<std::string> sets = {}, int code = 0) {
  std::vector<std::string> arguments{"train", config, "-q"};
  sets.insert(sets.end(), {"run.out_dir=\"" + folder + "\"", "run.name=\"" + name + "\""});
  for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
  const Finished result = run_qkv(arguments);
  CAPTURE(result.err);
  REQUIRE(result.code == code);
  return folder + "/" + name;
}

// Small runs of all kinds of tasks, one of them not finite, one resumed.
std::vector<std::string> runs_of_all_kinds(const SmallData& data) {
  const std::string folder = data.folder / "runs", encoder = data.encoder();
  std::vector<std::string> runs;
  runs.push_back(trained(
      folder, "wsd", encoder,
      {"train.max_steps=60", "train.spike=0.001", "eval.train_examples=5",
       "inspect.samples=[\"a boat at the bank\"]", "model.max_seq_len=6", "log.every=30", "eval.every=30"}));
  runs.push_back(trained(folder, "skips", encoder,
                         {"train.on_nonfinite=\"skip\"", "optimizer.type=\"sgd\"", "optimizer.lr=1e25",
                          "schedule.type=\"constant\"", "schedule.warmup_steps=0", "train.max_steps=3"},
                         4));
  write_file_atomic(data.folder / "drawn.jsonl",
                    "{\"text\": \"near a [bank]\", \"arrows\": [[\"bank\", \"near\"]]}\n");
  runs.push_back(trained(folder, "lora", encoder,
                         {"train.max_steps=3", "train.attention_loss.weight=1",
                          "train.attention_loss.file=\"" + (data.folder / "drawn.jsonl") + "\"",
                          "train.init_from=\"" + runs[0] + "\"", "model.max_seq_len=6", "train.lora.rank=1",
                          "train.lora.targets=[\"*.W_*\"]"}));
  const auto task = [&](const std::string& name, const std::string& text) {
    write_file_atomic(data.folder / (name + ".toml"), text + "[train]\nmax_steps = 2\ngrad_clip_norm = 0\n");
    runs.push_back(trained(folder, name, data.folder / (name + ".toml")));
  };
  std::string words;
  for (int i = 0; i < 40; i++) words += "one two three four five six seven.\n";
  write_file_atomic(data.folder / "text.txt", words);
  const std::string text = "[data]\ntrain = \"text.txt\"\nval_fraction = 0.2\nbatch_size = 4\n";
  const std::string decoder =
      "[model]\ntype = \"decoder-lm\"\nd_model = 8\nmax_seq_len = 16\nattention.n_head = 2\n";
  const std::string pairs =
      "[data]\nsource = \"reverse\"\nexamples = 8\neval_examples = 2\nmax_length = 4\nbatch_size = "
      "4\n[model]\n"
      "type = \"encoder-decoder\"\nd_model = 8\nn_layer = 1\nmax_seq_len = 8\nattention.n_head = 2\n";
  task("lm", text + "[task]\ntype = \"language-model\"\n" + decoder);
  task("copy",
       "[data]\nlength = 2\ndelay = 3\nexamples = 8\neval_examples = 4\nbatch_size = 4\n[task]\ntype = "
       "\"copy-memory\"\n" +
           decoder);
  runs.push_back(trained(folder, "circuits", source_dir() + "/configs/recall.toml",
                         {"data.n_keys=4", "data.n_values=4", "data.pairs=2", "data.queries=2",
                          "train.max_steps=160", "eval.every=160"}));
  task("translation", pairs + "[task]\ntype = \"translation\"\n");
  task("summary", pairs + "[task]\ntype = \"summarization\"\n");
  task("vectors",
       text +
           "[task]\ntype = \"word2vec\"\n[model]\ntype = \"skip-gram\"\nd_model = 8\n[optimizer]\ntype = "
           "\"sparse-sgd\"\n");
  const std::string resumed = trained(folder, "resumed", encoder, {"train.max_steps=4"});
  std::filesystem::remove(resumed + "/metrics.jsonl");  // else the first line stays
  REQUIRE(run_qkv({"resume", resumed, "-q", "--set", "train.max_steps=5"}).code == 0);
  runs.push_back(resumed);
  return runs;
}

}  // namespace

TEST_CASE("runs of all kinds write the record keys of the list, and no others") {
  const SmallData data;
  std::set<std::string_view> written;
  for (const std::string& run : runs_of_all_kinds(data))
    for (const Record& record : read_metrics(run + "/metrics.jsonl"))
      for (const Metric& metric : record) {
        CAPTURE(run);
        CAPTURE(record.type());
        CAPTURE(metric.name);
        const RecordKey* key = listed(record.type(), metric);
        CHECK(key);
        if (key) written.insert(key->name);
      }
  for (const RecordKey& key : kRecordKeys) {
    CAPTURE(key.name);
    CHECK(written.count(key.name) == 1);
  }
}

TEST_CASE("docs/map.md has the list of record keys") {
  std::string table = "| key | records | type | unit | meaning |\n| --- | --- | --- | --- | --- |\n";
  for (const RecordKey& key : kRecordKeys)
    table +=
        fmt::format("| `{}` | {} | {} | {} | {} |\n", key.name, key.records, key.type, key.unit, key.meaning);
  const bool same = has(read_file(source_dir() + "/docs/map.md"), "\n" + table + "\n");
  if (!same) MESSAGE("the table must be:\n" << table);
  CHECK(same);
}

}  // namespace qkv::test
