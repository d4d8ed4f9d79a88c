// tokenizer.json: the layout of Hugging Face, and nothing else, so that other toolkits can read it. A file
// that one of the tokenizers here would write is read as that one, any other as type "file". Earlier versions
// added a member "qkv", which now only says that 'word' lowers A to Z.
#include <algorithm>

#include "base/file.h"
#include "data/json_members.h"
#include "data/pipeline_tokenizer.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {

static bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

Json special_token(int id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json vocab_member(const Vocab& vocab) {
  Json table = Json::object();
  for (int id = 0; id < vocab.size(); ++id) add_member(table, vocab.token(id), id);
  return table;
}

Json read_tokenizer_json(const std::string& path) {
  return read_json(path, {std::size_t{64} << 20, 16});
}

Json Tokenizer::pipeline() const {
  return {{"pre_tokenizer",
           {{"type", config_.type}, {"lowercase", config_.lowercase}, {"split", config_.split}}}};
}

Json Tokenizer::model() const {
  return {{"type", "WordLevel"}, {"vocab", vocab_member(vocab_)}, {"unk_token", vocab_.token(unk_id())}};
}

void Tokenizer::read_model(const Json& model, const std::string& where) {
  read_vocab(model, where);
  const std::string unk = string_member(model, "unk_token", where);
  if (unk != vocab_.token(unk_id()))
    fail(Fault::data, "{}: 'unk_token' must be '<unk>'; got {}", where, in_quotes(unk));
}

// The ids must be 0 ... n-1 without gaps.
void Tokenizer::read_vocab(const Json& model, const std::string& where) {
  const Json& table = object_member(model, "vocab", where);
  std::vector<std::string> tokens(table.size());
  for (const auto& item : table.items()) {
    const Json& id = item.value();
    if (!is_unsigned(id) || id.get<std::uint64_t>() >= tokens.size())
      fail(Fault::data, "{}: ids must be 0 to {} without gaps; got {} for {}", where, tokens.size() - 1,
           brief(id), in_quotes(item.key()));
    std::string& token = tokens[id.get<std::size_t>()];
    if (!token.empty())
      fail(Fault::data, "{}: ids must be unique; got {} for {} and {}", where, id.get<std::size_t>(),
           in_quotes(token), in_quotes(item.key()));
    token = item.key();
  }
  const int n_specials = vocab_.n_specials();
  if (tokens.size() < std::size_t(n_specials))
    fail(Fault::data, "{}: vocab must have at least the {} special tokens; got {} tokens", where, n_specials,
         tokens.size());
  for (int id = 0; id < n_specials; ++id)
    if (const std::string& found = tokens[std::size_t(id)]; found != token(id))
      fail(Fault::data, "{}: id {} must be {}; got {}", where, id, in_quotes(token(id)), in_quotes(found));
  try {
    vocab_ = Vocab::from_tokens(std::move(tokens), n_specials);
  } catch (const Error& error) {
    fail(Fault::data, "{}: {}", where, error.what());
  }
}

// "post_processor" of a vocabulary with [CLS] and [SEP]: what other toolkits put around a text or two, as
// tasks here do. Null without them.
static Json around_texts(const Vocab& vocab) {
  Json specials = Json::object(), single = Json::array(), pair = Json::array();
  const auto add = [](Json& list, const char* kind, const char* name, int type) {
    list.push_back({{kind, {{"id", name}, {"type_id", type}}}});
  };
  for (const char* name : {"[CLS]", "[SEP]"}) {
    const int id = vocab.find(name);
    if (!vocab.is_special(id)) return nullptr;
    specials[name] = {{"id", name}, {"ids", {id}}, {"tokens", {name}}};
  }
  for (Json* list : {&single, &pair}) {
    add(*list, "SpecialToken", "[CLS]", 0);
    add(*list, "Sequence", "A", 0);
    add(*list, "SpecialToken", "[SEP]", 0);
  }
  add(pair, "Sequence", "B", 1);
  add(pair, "SpecialToken", "[SEP]", 1);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
}

Json Tokenizer::frame() const {
  const Json parts = pipeline();
  Json json = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  Json& added = json["added_tokens"] = Json::array();
  for (int id = 0; id < vocab_.n_specials(); ++id) added.push_back(special_token(id, vocab_.token(id)));
  for (const char* part : {"normalizer", "pre_tokenizer", "post_processor", "decoder"})
    json[part] = member_or_null(parts, part);
  if (Json& post = json["post_processor"]; post.is_null()) post = around_texts(vocab_);
  return json;
}

Json Tokenizer::to_json() const {
  Json json = frame();
  json["model"] = model();
  if (old_) json["qkv"] = {{"type", config_.type}, {"lowercase", true}};
  return json;
}

// The tokenizer here that would write all of this file but the vocabulary, or null.
std::unique_ptr<Tokenizer> Tokenizer::that_writes(const Json& json) {
  TokenizerConfig config;
  const Json& added = member_or_null(json, "added_tokens");  // the first two are those of every tokenizer
  for (std::size_t i = 2; added.is_array() && i < added.size(); ++i)
    if (const Json& content = member_or_null(added[i], "content"); content.is_string())
      config.specials.push_back(content.get<std::string>());
  const Json& type = member_or_null(member_or_null(json, "model"), "type");
  for (const std::string& name : Registry<Tokenizer>::instance().names())
    for (const char* split : {"words", "spaces"})
      for (bool lowercase : {true, false}) {
        if (name == "file" || (name != "word" && std::string(split) == "spaces")) continue;
        config.type = name, config.split = split, config.lowercase = lowercase;
        try {
          auto tokenizer = make(config);
          const Json own = tokenizer->frame();
          bool same = json.size() == own.size() + (json.contains("qkv") ? 2 : 1) &&
                      tokenizer->model()["type"] == type;
          for (const auto& item : own.items())
            same = same && member_or_null(json, item.key().c_str()) == item.value();
          if (same) return tokenizer;
        } catch (const Error&) {  // not with these special tokens
        }
      }
  return nullptr;
}

std::unique_ptr<Tokenizer> Tokenizer::from_json(const Json& json, const std::string& where) {
  if (!json.is_object()) fail(Fault::data, "{}: must be a JSON object; got {}", where, json.type_name());
  const std::string version = string_member(json, "version", where);
  if (version != "1.0") fail(Fault::data, "{}: 'version' must be '1.0'; got {}", where, in_quotes(version));
  std::unique_ptr<Tokenizer> tokenizer = that_writes(json);
  if (!tokenizer) return make_file_tokenizer(json, where);
  tokenizer->read_model(object_member(json, "model", where), where + ": model");
  const std::vector<std::string>& tokens = tokenizer->vocab_.tokens();
  tokenizer->old_ = json.contains("qkv") && tokenizer->config_.type == "word" &&
                    tokenizer->config_.lowercase && !std::all_of(tokens.begin(), tokens.end(), is_ascii);
  return tokenizer;
}

std::unique_ptr<Tokenizer> Tokenizer::load(const std::string& path) {
  return from_json(read_tokenizer_json(path), path);
}

void Tokenizer::save(const std::string& path) const {
  write_file_atomic(path, dump_json(to_json(), 2) + "\n");
}

}  // namespace qkv
