// A tokenizer.json of another toolkit, or of another run.
#include <algorithm>
#include <map>

#include "data/json_members.h"
#include "data/pipeline_tokenizer.h"
#include "qkv/base/text.h"

namespace qkv {

QKV_REGISTER(Tokenizer, "file", FileTokenizer, "a tokenizer.json of another toolkit or run, as it is");

namespace {

constexpr int kMostSteps = 64;  // of a pipeline, parts of parts counted

Json read_file_json(const TokenizerConfig& config) {
  if (config.file.empty()) fail(Fault::usage, "tokenizer: type 'file' must have 'file'; got none");
  Json json = read_tokenizer_json(config.file);
  if (json.is_object()) json.erase("qkv");  // of a run: the other members say the same
  return json;
}

int count_steps(const Json& part) {
  int n = 1;
  for (const char* key : {"normalizers", "pretokenizers", "decoders"})
    if (part.is_object() && part.contains(key) && part[key].is_array())
      for (const Json& step : part[key]) n += count_steps(step);
  return n;
}

// Padding fills up batches; where it makes a single text longer, ids would not be those of the file.
void check_padding(const Json& json, const std::string& where) {
  if (!json.contains("padding") || json["padding"].is_null()) return;
  const Json& padding = object_member(json, "padding", where);
  const bool longest = padding.contains("strategy") && padding["strategy"] == "BatchLongest";
  const bool multiple = padding.contains("pad_to_multiple_of") && !padding["pad_to_multiple_of"].is_null();
  if (!longest || multiple)
    fail(Fault::data, "{}: 'padding' must be null, or to the longest text of a batch; got {}", where,
         brief(padding));
}

Json parts_of(const Json& json, const std::string& where) {
  check_members(json,
                {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                 "post_processor", "decoder", "model"},
                where);
  Json parts = Json::object();
  for (const char* key : {"normalizer", "pre_tokenizer", "decoder"}) {
    if (!json.contains(key)) continue;
    if (count_steps(json[key]) > kMostSteps)
      fail(Fault::data, "{}: '{}' must have at most {} steps", where, key, kMostSteps);
    parts[key] = json[key];
  }
  if (json.contains("truncation") && !json["truncation"].is_null())
    fail(Fault::data,
         "{}: 'truncation' must be null; got {} (model.max_seq_len and data.length say how long texts are)",
         where, brief(json["truncation"]));
  check_padding(json, where);
  if (json.contains("post_processor") && json["post_processor"].is_object()) {
    const std::string type = string_member(json["post_processor"], "type", where + ": post_processor");
    const std::vector<std::string> known{"ByteLevel", "TemplateProcessing", "BertProcessing",
                                         "RobertaProcessing", "Sequence"};
    if (std::find(known.begin(), known.end(), type) == known.end())
      fail(Fault::data, "{}: post_processor: must be one of {}; got {}", where, join(known, ", "),
           in_quotes(type));
  }
  return parts;
}

std::string model_type(const Json& json, const std::string& where) {
  return string_member(object_member(json, "model", where), "type", where + ": model");
}

}  // namespace

FileTokenizer::FileTokenizer(const TokenizerConfig& config)
    : FileTokenizer(config, read_file_json(config), config.file) {}

FileTokenizer::FileTokenizer(const TokenizerConfig& config, Json json, const std::string& where)
    : PipelineTokenizer(config, parts_of(json, where), model_type(json, where), where),
      json_(std::move(json)) {
  const std::string version = string_member_or(json_, "version", "1.0", where);
  if (version != "1.0") fail(Fault::data, "{}: 'version' must be '1.0'; got {}", where, in_quotes(version));
  read_table(where);
}

// The vocabulary is that of the model and the added tokens.
void FileTokenizer::read_table(const std::string& where) {
  if (!json_.contains("added_tokens") || json_["added_tokens"].is_null())
    json_["added_tokens"] = Json::array();
  const Json& model = object_member(json_, "model", where);
  std::map<int, std::string> table;
  const Json& own = object_member(model, "vocab", where + ": model");
  constexpr std::size_t kMostGaps = 1024;  // or as many as there are tokens
  const std::size_t count = own.size() + json_["added_tokens"].size();
  const auto most = static_cast<std::int64_t>(count + std::max(count, kMostGaps));
  auto put = [&](std::int64_t id, const std::string& token, const std::string& at) {
    const auto [entry, is_new] = table.emplace(static_cast<int>(id), token);
    if (!is_new && entry->second != token)
      fail(Fault::data, "{}: ids must be unique; got {} for {} and {}", at, id, in_quotes(entry->second),
           in_quotes(token));
  };
  for (const auto& item : own.items()) {
    if (!is_unsigned(item.value()) || item.value().get<std::uint64_t>() >= static_cast<std::uint64_t>(most))
      fail(Fault::data, "{}: model: ids must be in [0, {}), with few gaps; got {} for {}", where, most,
           brief(item.value()), in_quotes(item.key()));
    put(item.value().get<std::int64_t>(), item.key(), where + ": model");
  }
  std::vector<int> specials;
  std::vector<std::pair<std::string, int>> raw_literals, literals;
  const std::string at = where + ": added_tokens";
  for (const Json& token : list_member(json_, "added_tokens", where)) {
    if (!token.is_object()) fail(Fault::data, "{}: must be objects; got {}", at, brief(token));
    check_members(token, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}, at);
    const int id = static_cast<int>(integer_member(token, "id", 0, most - 1, at));
    const std::string content = string_member(token, "content", at);
    put(id, content, at);
    if (bool_member_or(token, "special", false, at)) {
      specials.push_back(id);
      // Other toolkits look for it, though it is read as text: nothing is found inside.
      (bool_member_or(token, "normalized", false, at) ? literals : raw_literals).emplace_back(content, -1);
      continue;
    }
    for (const char* flag : {"single_word", "lstrip", "rstrip"})
      if (bool_member_or(token, flag, false, at))
        fail(Fault::data, "{}: '{}' must be false for tokens that are not special; got true for {}", at, flag,
             in_quotes(content));
    if (content.empty()) fail(Fault::data, "{}: 'content' must not be empty", at);
    if (bool_member_or(token, "normalized", true, at))
      literals.emplace_back(normalize(content), id);
    else
      raw_literals.emplace_back(content, id);
  }
  for (auto& [text, id] : literals)
    if (id >= 0) normal_.emplace(id, text);
  raw_literals_ = PrefixTable(std::move(raw_literals)), literals_ = PrefixTable(std::move(literals));
  auto find = [&](const std::string& token) {
    for (const auto& [id, text] : table)
      if (text == token) return id;
    return -1;
  };
  for (const std::string& special : config_.specials) {
    if (const int id = find(special); id >= 0) {
      specials.push_back(id);
      continue;
    }
    const int id = table.empty() ? 0 : table.rbegin()->first + 1;
    put(id, special, "tokenizer: specials");
    specials.push_back(id);
    json_["added_tokens"].push_back(special_token(id, special));
  }
  std::vector<std::string> tokens;
  for (auto& [id, token] : table) {
    while (static_cast<int>(tokens.size()) < id) {  // a gap: a token that no text has
      specials.push_back(static_cast<int>(tokens.size()));
      tokens.push_back(fmt::format("<unused {}>", tokens.size()));
    }
    tokens.push_back(token);
  }
  const std::string unk = string_member_or(model, "unk_token", "", where + ": model");
  int pad = -1;
  for (const char* name : {"<pad>", "[PAD]", "<|endoftext|>", "</s>"})
    if (pad < 0) pad = find(name);
  if (json_.contains("padding") && json_["padding"].is_object() && json_["padding"].contains("pad_id"))
    pad = static_cast<int>(integer_member(json_["padding"], "pad_id", 0, most - 1, where + ": padding"));
  const int unk_id = unk.empty() ? -1 : find(unk);
  try {
    vocab_ = Vocab::from_table(std::move(tokens), specials, pad, unk_id);
  } catch (const Error& error) {
    fail(Fault::data, "{}: model: {}", where, error.what());
  }
  std::vector<bool> added(static_cast<std::size_t>(vocab_.size()), true);
  for (const auto& item : own.items()) added[item.value().get<std::size_t>()] = false;
  model_->hide(std::move(added));
  model_->read(model, vocab_, where + ": model");
}

}  // namespace qkv
