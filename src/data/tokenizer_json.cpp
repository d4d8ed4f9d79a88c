// tokenizer.json: the layout of Hugging Face, and nothing else, so that other toolkits can read it. A file
// that one of the tokenizers here would write is read as that one, any other as type "file". Earlier versions
// added a member "qkv" with the config; its files are still read, and must say the same twice.
#include <algorithm>

#include "base/file.h"
#include "data/pipeline_tokenizer.h"
#include "json_members.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

Json config_json(const TokenizerConfig& config) {
  return {{"type", config.type},         {"lowercase", config.lowercase},   {"split", config.split},
          {"min_freq", config.min_freq}, {"vocab_size", config.vocab_size}, {"specials", config.specials}};
}

TokenizerConfig read_config(const Json& json, const std::string& where) {
  TokenizerConfig config;
  config.type = string_member(json, "type", where);
  config.lowercase = bool_member(json, "lowercase", where);
  config.split = string_member(json, "split", where);
  config.min_freq = integer_member(json, "min_freq", 1, std::int64_t{1} << 53, where);
  config.vocab_size = static_cast<int>(integer_member(json, "vocab_size", 0, 1 << 30, where));
  for (const Json& special : list_member(json, "specials", where)) {
    if (!special.is_string())
      fail(Fault::data, "{}: specials must be strings; got {}", where, brief(special));
    config.specials.push_back(special.get<std::string>());
  }
  if (config.split != "words" && config.split != "spaces")
    fail(Fault::data, "{}: 'split' must be 'words' or 'spaces'; got {}", where, in_quotes(config.split));
  const auto names = Registry<Tokenizer>::instance().names();
  if (std::find(names.begin(), names.end(), config.type) == names.end())
    fail(Fault::data, "{}: 'type' must be a registered tokenizer; got {}{}", where, in_quotes(config.type),
         suggest(config.type, names));
  return config;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

Json added_tokens(const Vocab& vocab) {
  Json list = Json::array();
  for (int id = 0; id < vocab.n_specials(); ++id) list.push_back(special_token(id, vocab.token(id)));
  return list;
}

}  // namespace

Json Tokenizer::pipeline() const {
  return {{"pre_tokenizer",
           {{"type", config_.type}, {"lowercase", config_.lowercase}, {"split", config_.split}}}};
}

Json Tokenizer::model() const {
  return {{"type", "WordLevel"}, {"vocab", vocab_member(vocab_)}, {"unk_token", vocab_.token(unk_id())}};
}

void Tokenizer::read_model(const Json& model, int n_specials, const std::string& where) {
  const std::string type = string_member(model, "type", where);
  if (type != "WordLevel")
    fail(Fault::data, "{}: 'type' must be 'WordLevel'; got {}", where, in_quotes(type));
  read_vocab(model, n_specials, where);
  const std::string unk = string_member(model, "unk_token", where);
  if (unk != vocab_.token(unk_id()))
    fail(Fault::data, "{}: 'unk_token' must be '<unk>'; got {}", where, in_quotes(unk));
}

void Tokenizer::read_vocab(const Json& model, int n_specials, const std::string& where) {
  std::vector<std::string> tokens = read_vocab_member(model, n_specials, where);
  for (int id = 0; id < n_specials; ++id)
    if (const std::string& found = tokens[static_cast<std::size_t>(id)]; found != token(id))
      fail(Fault::data, "{}: id {} must be {}; got {}", where, id, in_quotes(token(id)), in_quotes(found));
  try {
    vocab_ = Vocab::from_tokens(std::move(tokens), n_specials);
  } catch (const Error& error) {
    fail(Fault::data, "{}: {}", where, error.what());
  }
}

Json Tokenizer::frame() const {
  const Json parts = pipeline();
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added_tokens(vocab_)},
          {"normalizer", member_or_null(parts, "normalizer")},
          {"pre_tokenizer", member_or_null(parts, "pre_tokenizer")},
          {"post_processor", member_or_null(parts, "post_processor")},
          {"decoder", member_or_null(parts, "decoder")}};
}

Json Tokenizer::to_json() const {
  Json json = frame();
  json["model"] = model();
  if (old_) json["qkv"] = config_json(config_);
  return json;
}

std::unique_ptr<Tokenizer> Tokenizer::of_config(const TokenizerConfig& config, const Json& json,
                                                const std::string& where) {
  std::unique_ptr<Tokenizer> tokenizer;
  try {
    tokenizer = make(config);
  } catch (const Error& error) {
    fail(Fault::data, "{}: {}", where, error.what());
  }
  tokenizer->read_model(object_member(json, "model", where), tokenizer->vocab_.n_specials(),
                        where + ": model");
  const Json expected = tokenizer->to_json();
  for (const auto& item : json.items()) {
    if (item.key() == "qkv") continue;
    if (!expected.contains(item.key()))
      fail(Fault::data, "{}: unknown member {}", where, in_quotes(item.key()));
    if (item.key() != "model" && item.value() != expected[item.key()])
      fail(Fault::data, "{}: '{}' must be {}, as the config says; got {} (from another version?)", where,
           item.key(), brief(expected[item.key()]), brief(item.value()));
  }
  return tokenizer;
}

// The config of the tokenizer here that would write all of this file but the vocabulary.
std::optional<TokenizerConfig> Tokenizer::config_that_writes(const Json& json) {
  TokenizerConfig config;
  for (const Json& token : member_or_null(json, "added_tokens"))
    if (const Json& content = member_or_null(token, "content"); content.is_string())
      config.specials.push_back(content.get<std::string>());
  config.specials.erase(config.specials.begin(),
                        config.specials.begin() +
                            std::min<std::ptrdiff_t>(2, static_cast<std::ptrdiff_t>(config.specials.size())));
  const Json& type = member_or_null(member_or_null(json, "model"), "type");
  for (const std::string& name : Registry<Tokenizer>::instance().names())
    for (const char* split : {"words", "spaces"})
      for (bool lowercase : {true, false}) {
        if (name == "file" || (name != "word" && std::string(split) == "spaces")) continue;
        config.type = name, config.split = split, config.lowercase = lowercase;
        try {
          const auto tokenizer = make(config);
          const Json own = tokenizer->frame();
          bool same = tokenizer->model()["type"] == type;
          for (const auto& item : own.items())
            same = same && json.contains(item.key()) && json[item.key()] == item.value();
          if (same) return config;
        } catch (const Error&) {  // not with these special tokens
        }
      }
  return std::nullopt;
}

std::unique_ptr<Tokenizer> Tokenizer::from_json(const Json& json, const std::string& where) {
  if (!json.is_object()) fail(Fault::data, "{}: must be a JSON object; got {}", where, json.type_name());
  const std::string version = string_member(json, "version", where);
  if (version != "1.0") fail(Fault::data, "{}: 'version' must be '1.0'; got {}", where, in_quotes(version));
  if (json.contains("qkv")) {
    const TokenizerConfig config = read_config(object_member(json, "qkv", where), where + ": qkv");
    auto tokenizer = of_config(config, json, where);
    tokenizer->old_ = config.type == "word" && config.lowercase &&
                      std::any_of(tokenizer->vocab_.tokens().begin(), tokenizer->vocab_.tokens().end(),
                                  [](const std::string& token) { return !is_ascii(token); });
    return tokenizer;
  }
  if (const auto config = config_that_writes(json)) return of_config(*config, json, where);
  TokenizerConfig config;
  config.type = "file";
  return std::make_unique<FileTokenizer>(config, json, where);
}

std::unique_ptr<Tokenizer> Tokenizer::load(const std::string& path) {
  return from_json(read_tokenizer_json(path), path);
}

void Tokenizer::save(const std::string& path) const {
  write_file_atomic(path, dump_json(to_json(), 2) + "\n");
}

}  // namespace qkv
