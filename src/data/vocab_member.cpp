#include "vocab_member.h"

#include "json_members.h"
#include "qkv/base/text.h"

namespace qkv {

std::vector<std::string> read_vocab_member(const Json& model, const std::string& where) {
  const Json& table = object_member(model, "vocab", where);
  std::vector<std::string> tokens(table.size());
  std::vector<char> seen(table.size(), 0);
  for (const auto& item : table.items()) {
    const Json& id = item.value();
    if (!is_unsigned(id) || id.get<std::uint64_t>() >= tokens.size())
      fail(Fault::data, "{}: ids must be 0 to {} without gaps; got {} for {}", where, tokens.size() - 1,
           brief(id), in_quotes(item.key()));
    const auto index = id.get<std::size_t>();
    if (seen[index])
      fail(Fault::data, "{}: ids must be unique; got {} for {} and {}", where, index,
           in_quotes(tokens[index]), in_quotes(item.key()));
    seen[index] = 1;
    tokens[index] = item.key();
  }
  return tokens;
}

Json vocab_member(const Vocab& vocab) {
  Json table = Json::object();
  for (int id = 0; id < vocab.size(); ++id) add_member(table, vocab.token(id), id);
  return table;
}

}  // namespace qkv
