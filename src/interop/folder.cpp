#include "interop/folder.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "data/json_members.h"
#include "qkv/base/text.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr const char *kWeights = "model.safetensors", *kIndex = "model.safetensors.index.json";
constexpr JsonLimits kSmall{std::size_t{4} << 20, 16}, kLarge{std::size_t{64} << 20, 16};

bool begins_with(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

}  // namespace

HfFolder::HfFolder(std::string path) : path_(std::move(path)) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  if (!is_directory(path_))
    fail(Fault::data, "{}: must be a folder with config.json; {}", path_, not_a_directory(path_));
  config_ = read_json(file("config.json"), kSmall);
  if (!config_.is_object())
    fail(Fault::data, "{}/config.json: must be a JSON object; got {}", path_, config_.type_name());
  if (has(kWeights))
    list(kWeights);
  else if (has(kIndex))
    list_shards();
  else
    for (const std::string& name : entries_of(path_))
      for (const char* other : {".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf"})
        if (ends_with(name, other))
          fail(Fault::data,
               "{}: must hold {}; got {}, which is not read (save_pretrained of transformers writes "
               "safetensors)",
               path_, kWeights, in_quotes(name));
  if (shards_.empty()) file(kWeights);  // which is missing
}

bool HfFolder::has(const std::string& name) const {
  std::error_code ignored;
  return fs::symlink_status(path_ + "/" + name, ignored).type() != fs::file_type::not_found;
}

// The hub's cache has links from models--X/snapshots/REVISION to models--X/blobs.
std::string HfFolder::file(const std::string& name) const {
  const std::string path = path_ + "/" + name;
  const bool odd =
      std::any_of(name.begin(), name.end(), [](char c) { return c == '/' || (c >= 0 && c < ' '); });
  if (odd || name.empty() || name == "." || name == "..")
    fail(Fault::data, "{}: names of files must lie in the folder; got {}", path_, in_quotes(name));
  std::error_code error;
  const fs::path folder = fs::canonical(path_, error), target = fs::canonical(path, error);
  if (error) fail(Fault::data, "{}: must exist; got {}", path, error.message());
  const fs::path snapshots = folder.parent_path();
  if (!begins_with(target, folder) &&
      !(snapshots.filename() == "snapshots" && begins_with(target, snapshots.parent_path() / "blobs")))
    fail(Fault::data, "{}: must not lead out of the folder; got a link to {}", path, target.string());
  check_plain_file(path);
  if (!fs::is_regular_file(target, error)) fail(Fault::data, "{}: must be a plain file; got another", path);
  return path;
}

void HfFolder::list(const std::string& shard) {
  read_safetensors(file(shard), nullptr, [&](const SafetensorsEntry& entry) {
    if (!tensors_.emplace(entry.name, entry).second)
      fail(Fault::data, "{}: tensors must lie in one file; got {} in {} and {}", path_, in_quotes(entry.name),
           shard_of_[entry.name], shard);
    shard_of_[entry.name] = shard;
    return false;
  });
  shards_.push_back(shard);
}

void HfFolder::list_shards() {
  const std::string where = file(kIndex);
  const Json index = read_json(where, kLarge);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object() || map->empty())
    fail(Fault::data, "{}: must hold 'weight_map', tensors and their files; got none", where);
  std::vector<std::string> names;
  for (const auto& item : map->items()) {
    if (!item.value().is_string())
      fail(Fault::data, "{}: files must be strings; got {} for {}", where, item.value().type_name(),
           in_quotes(item.key()));
    names.push_back(item.value().get<std::string>());
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (const std::string& name : names) file(name);  // before any is opened
  for (const std::string& name : names) list(name);
  std::vector<std::string> problems;
  for (const auto& item : map->items()) {
    const auto found = shard_of_.find(item.key());
    const std::string said = item.value().get<std::string>();
    if (found == shard_of_.end() || found->second != said)
      problems.push_back(fmt::format("{} is {}, not in {}", in_quotes(item.key()),
                                     found == shard_of_.end() ? "missing" : "in " + found->second,
                                     in_quotes(said)));
  }
  for (const auto& [name, shard] : shard_of_)
    if (!map->contains(name))
      problems.push_back(fmt::format("{} of {} is not listed", in_quotes(name), shard));
  if (!problems.empty())
    fail(Fault::data, "{}: must say where each tensor is; {}", where, join(problems, "; ", 8));
}

void HfFolder::read(const std::function<bool(const std::string&)>& wanted,
                    const std::function<void(NamedTensor)>& take) const {
  for (const std::string& shard : shards_)
    for (NamedTensor& tensor :
         read_safetensors(file(shard), nullptr, [&](const auto& entry) { return wanted(entry.name); }))
      take(std::move(tensor));
}

// ---- what it says in words

// Tables are padded to round sizes, not to many times what is needed.
std::shared_ptr<Tokenizer> tokenizer_of(const HfFolder& folder, Index vocab_size) {
  const std::string where = folder.file("tokenizer.json");
  Json json = read_tokenizer_json(where);
  std::shared_ptr<Tokenizer> tokenizer = Tokenizer::from_json(json, where);
  const Index size = tokenizer->vocab_size();
  const Index least = std::max<Index>(1, vocab_size - (1 << 16));
  if (size < least || size > vocab_size)
    fail(Fault::data, "{}: must have {} to {} tokens, 'vocab_size' of config.json; got {}", where, least,
         vocab_size, size);
  if (size == vocab_size) return tokenizer;
  if (json["added_tokens"].is_null()) json["added_tokens"] = Json::array();
  for (Index id = size; id < vocab_size; id++)
    json["added_tokens"].push_back(special_token(int(id), fmt::format("<unused {}>", id)));
  return Tokenizer::from_json(json, where);
}

std::vector<std::string> labels_of(const Json& config, const std::string& where) {
  constexpr std::int64_t kMost = 2000;
  const Json &names = member_or_null(config, "id2label"), &number = member_or_null(config, "num_labels");
  const std::int64_t n = number.is_null() ? names.is_object() ? std::int64_t(names.size()) : 2
                                          : integer_member(config, "num_labels", 2, kMost, where);
  std::vector<std::string> labels;
  for (std::int64_t i = 0; i < std::min(n, kMost + 1); i++)
    labels.push_back(names.is_null() ? fmt::format("LABEL_{}", i)
                                     : string_member(names, std::to_string(i).c_str(), where + ": id2label"));
  if (n < 2 || n > kMost || std::set<std::string>(labels.begin(), labels.end()).size() != labels.size() ||
      (!names.is_null() && names.size() != labels.size()))
    fail(Fault::data, "{}: 'id2label' must name 2 to {} different classes, as many as 'num_labels'; got {}",
         where, kMost, brief(names));
  return labels;
}

std::string end_token(const HfFolder& folder, const Tokenizer& tokenizer, std::vector<std::string>& notes) {
  std::string where = folder.path() + "/config.json";
  Json ids = member_or_null(folder.config(), "eos_token_id");
  if (folder.has("generation_config.json")) {
    where = folder.file("generation_config.json");
    const Json generation = read_json(where, {std::size_t{1} << 20, 16});
    if (generation.is_object() && generation.contains("eos_token_id")) ids = generation.at("eos_token_id");
  }
  if (ids.is_null()) return "none";
  if (!ids.is_array()) ids = Json::array({ids});
  std::vector<int> ends;
  for (const Json& id : ids) {
    if (!id.is_number_integer())
      fail(Fault::data, "{}: 'eos_token_id' must be ids of tokens; got {}", where, brief(id));
    if (is_unsigned(id) && id.get<std::uint64_t>() < std::uint64_t(tokenizer.vocab_size()))
      ends.push_back(id.get<int>());
  }
  if (ends.empty() || ids.size() > 1)
    notes.push_back(fmt::format(
        "{}: 'eos_token_id' is {}; {}", where, brief(ids),
        ends.empty() ? "no such token: no text ends before --max-tokens" : "a text ends with the first"));
  return ends.empty() ? "none" : tokenizer.token(ends[0]);
}

}  // namespace qkv
