#include "interop/words.h"

#include <algorithm>
#include <set>

#include "data/json_members.h"
#include "qkv/base/text.h"

namespace qkv {

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
