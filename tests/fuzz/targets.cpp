#include "fuzz/targets.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <stdexcept>

#include "data/pair_corpus.h"
#include "data/split.h"
#include "data/text_file.h"
#include "data/word_space.h"
#include "data/wsd_corpus.h"
#include "interop/family.h"
#include "log/jsonl.h"
#include "log/tensorboard.h"
#include "qkv/base/config.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/data/tokenizer.h"
#include "qkv/tensor/safetensors.h"
#include "train/attention_loss.h"

namespace qkv::test {
namespace {

// A file in memory, for readers that want a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : descriptor_(::memfd_create("qkv-fuzz", MFD_CLOEXEC)) {
    if (descriptor_ < 0 ||
        ::write(descriptor_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
      throw std::runtime_error("memfd");
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

void require(bool right, const char* what) {
  if (!right) throw std::logic_error(what);
}

void config(std::string_view bytes) {
  const Section root = Section::parse(bytes, "fuzz.toml");
  root.skip_all();
  const std::string dumped = root.dump();
  const Section again = Section::parse(dumped, "dumped.toml");
  again.skip_all();
  require(again.dump() == dumped, "a dumped config must read back to itself");
}

void override_key(std::string_view bytes) {
  Section::parse("[model]\nd_model = 8\n[[model.layers]]\ntype = \"block\"\n", "fuzz.toml",
                 {std::string(bytes)})
      .dump();
}

void safetensors(std::string_view bytes) {
  const std::vector<NamedTensor> tensors = decode_safetensors(bytes);
  const std::vector<NamedTensor> again = decode_safetensors(encode_safetensors(tensors));
  require(again.size() == tensors.size(), "as many tensors as were written");
}

void tokenizer(std::string_view bytes) {
  const auto tokenizer = Tokenizer::from_json(parse_json(bytes, "fuzz.json"));
  const std::vector<int> ids = tokenizer->encode("The quick [fox], 3.5 \u00e9\u4f60!");
  tokenizer->decode(ids);
  const auto again = Tokenizer::from_json(tokenizer->to_json());
  require(again->encode("The quick [fox], 3.5 \u00e9\u4f60!") == ids, "a saved tokenizer must encode alike");
}

void wsd(std::string_view bytes) {
  const MemoryFile file(bytes);
  for (const WsdExample& example : read_wsd(file.path()).examples)
    require(example.target >= 0 && example.target < static_cast<int>(example.words.size()),
            "target in range");
}

void pairs(std::string_view bytes) {
  const MemoryFile file(bytes);
  for (auto read : {read_pair_tsv, read_scan, read_pair_jsonl}) {
    try {
      read(file.path());
    } catch (const Error& e) {
      require(e.fault() == Fault::data, "a data error");
    }
  }
  read_aligned(file.path(), file.path());
}

void metrics(std::string_view bytes) {
  const MemoryFile file(bytes);
  MetricsReader reader(file.path());
  for (Record record; reader.next(record);) {
    const Record again = parse_metrics_line(dump_json(json_of(record)), "again");
    require(again.type() == record.type() && again.size() == record.size(),
            "a written record must read back");
  }
}

// As a file, and as an event in a record whose checksums are right.
void events(std::string_view bytes) {
  const std::string framed = event_record("first") + event_record(bytes);  // `records` refers to it
  const EventRecords records = event_records(framed, "framed");
  require(records.events.size() == 2 && records.events[1] == bytes && !records.torn, "a whole event");
  event_records(bytes, "raw");
}

void vectors(std::string_view bytes) {
  const MemoryFile file(bytes);
  const WordVectors read = read_word2vec(file.path());
  require(read.vectors.dim(0) == static_cast<Index>(read.words.size()), "a vector for each word");
}

// config.json: what a family makes of it is a config.
void hf_config(std::string_view bytes) {
  const Json json = parse_json(bytes, "fuzz.json", {std::size_t{1} << 20, 16});
  if (!json.is_object()) return;
  for (const Family& family : families()) {
    std::vector<std::string> problems;
    const KeyValues keys = keys_here(family, json, problems);
    if (!problems.empty()) continue;
    std::string config;
    for (const auto& [key, value] : keys) config += key + " = " + value + "\n";
    const Section root = Section::parse(config, "imported.toml");
    require(keys_there(family, keys, problems).at("model_type") == family.model_type, "the same family");
    require(root.keys().size() == 2, "the tables task and model");
  }
}

// As plain text and as JSONL, packed or not; all documents end within their text.
void text_file(std::string_view bytes) {
  const MemoryFile file(bytes);
  for (const bool jsonl : {false, true}) try {
      TextFile reader(file.path(), jsonl, "text");
      TextPiece all;
      while (reader.read(all)) continue;
      require(is_utf8(all.text), "UTF-8");
      for (std::size_t end : all.ends) require(end > 0 && end <= all.text.size(), "an end in the text");
      require(!jsonl || all.ends.empty() || all.ends.back() == all.text.size(), "text belongs to a document");
    } catch (const Error& e) {
      require(e.fault() == Fault::data, "a data error");
    }
}

// Drawn attention, of a task whose words are "s1", "s2", ...
void drawn(std::string_view bytes) {
  static const std::unique_ptr<Task> task = make_task({Section::parse("[task]\ntype = \"induction\"\n")});
  const MemoryFile file(bytes);
  for (const DrawnText& one : read_drawn(*task, file.path())) {
    double shares = 0;
    for (const DrawnText::Arrow& arrow : one.arrows) {
      const auto n = static_cast<Index>(one.text.words.size());
      require(arrow.from >= 0 && arrow.from < n && arrow.to >= 0 && arrow.to < n, "words of the text");
      require(arrow.share > 0, "a share");
      shares += arrow.share;
    }
    require(std::abs(shares - static_cast<double>(one.rows)) < 1e-9, "shares that sum up to 1 in each row");
  }
}

void text(std::string_view bytes) {
  for (std::string_view token : split_text(bytes)) require(!token.empty(), "no empty token");
}

}  // namespace

const std::vector<FuzzTarget>& fuzz_targets() {
  static const std::vector<FuzzTarget> targets{
      {"config", config}, {"override", override_key}, {"safetensors", safetensors}, {"tokenizer", tokenizer},
      {"wsd", wsd},       {"pairs", pairs},           {"metrics", metrics},         {"text", text},
      {"events", events}, {"vectors", vectors},       {"hf_config", hf_config},     {"text_file", text_file},
      {"drawn", drawn},
  };
  return targets;
}

void run_fuzz_target(const std::string& name, std::string_view bytes) {
  for (const FuzzTarget& target : fuzz_targets()) {
    if (target.name != name) continue;
    try {
      target.run(bytes);
    } catch (const Error& e) {
      require(e.fault() == Fault::usage || e.fault() == Fault::data, e.what());
      require(e.what()[0] != '\0', "a message");
    }
    return;
  }
  throw std::logic_error("unknown target " + name);
}

}  // namespace qkv::test
