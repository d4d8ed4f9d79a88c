#include "log/record_keys.h"

#include <regex>
#include <set>

#include "cli/process.h"
#include "log/read_metrics.h"
#include "qkv/base/text.h"
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

// A row of the table of keys in docs/map.md.
struct Row {
  std::string name, records, type;
};

std::vector<Row> table_of_keys() {
  const std::string page = read_file(source_dir() + "/docs/map.md");
  const std::size_t begin = page.find("| key | records |");
  std::vector<Row> rows;
  for (const std::string& line : split(page.substr(begin, page.find("\n\n", begin) - begin), '\n')) {
    const std::vector<std::string> cells = split(line, '|');
    if (cells[1][1] != '`') continue;  // the head
    rows.push_back({cells[1].substr(2, cells[1].size() - 4), cells[2], std::string(trim(cells[3]))});
  }
  return rows;
}

// The row of a record's key, or null.
const Row* listed(const std::vector<Row>& table, std::string_view record, const Metric& metric) {
  for (const Row& row : table) {
    const std::regex pattern(std::regex_replace(row.name, std::regex("[A-Z]+"), ".+"));
    if (has(row.records, fmt::format(" {} ", record)) && std::regex_match(metric.name, pattern) &&
        written_as(metric.value, row.type))
      return &row;
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
  runs.push_back(trained(folder, "wsd", encoder,
                         {"train.max_steps=60", "train.spike=0.001", "eval.train_examples=5",
                          "model.max_seq_len=6", "log.every=30", "eval.every=30"}));
  runs.push_back(trained(folder, "skips", encoder,
                         {"train.on_nonfinite=\"skip\"", "optimizer.type=\"sgd\"", "optimizer.lr=1e25",
                          "schedule.type=\"constant\"", "schedule.warmup_steps=0", "train.max_steps=3"},
                         4));
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

TEST_CASE("runs of all kinds write the record keys of docs/map.md, and no others") {
  const SmallData data;
  const std::vector<Row> table = table_of_keys();
  std::set<std::string> written;
  for (const std::string& run : runs_of_all_kinds(data))
    for (const Record& record : read_metrics(run + "/metrics.jsonl"))
      for (const Metric& metric : record) {
        CAPTURE(run);
        CAPTURE(record.type());
        CAPTURE(metric.name);
        const Row* row = listed(table, record.type(), metric);
        CHECK(row);
        if (row) written.insert(row->name);
      }
  for (const Row& row : table) {
    CAPTURE(row.name);
    CHECK(written.count(row.name) == 1);
  }
}

}  // namespace qkv::test
