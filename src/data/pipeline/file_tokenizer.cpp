// A tokenizer.json of another toolkit, or of another run.
#include <algorithm>
#include <map>

#include "data/pipeline_tokenizer.h"

namespace qkv {

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
    if (const Json& steps = member_or_null(part, key); steps.is_array())
      for (const Json& step : steps) n += count_steps(step);
  return n;
}

// Padding fills up batches; where it makes a single text longer, ids would not be those of the file.
void check_padding(const Json& json, const std::string& where) {
  const Json& padding = member_or_null(json, "padding");
  if (padding.is_null()) return;
  object_member(json, "padding", where);
  if (member_or_null(padding, "strategy") != "BatchLongest" ||
      !member_or_null(padding, "pad_to_multiple_of").is_null())
    fail(Fault::data, "{}: 'padding' must be null, or to the longest text of a batch; got {}", where,
         brief(padding));
}

// Normalizer, pre-tokenizer and decoder of a file; what is not known or not applied here is refused.
Json parts_of(const Json& json, const std::string& where) {
  check_members(json,
                {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                 "post_processor", "decoder", "model"},
                where);
  type_of_model(object_member(json, "model", where), where + ": model");
  Json parts = Json::object();
  for (const char* key : {"normalizer", "pre_tokenizer", "decoder"}) {
    parts[key] = member_or_null(json, key);
    if (count_steps(parts[key]) > kMostSteps)
      fail(Fault::data, "{}: '{}' must have at most {} steps", where, key, kMostSteps);
  }
  if (const Json& truncation = member_or_null(json, "truncation"); !truncation.is_null())
    fail(Fault::data,
         "{}: 'truncation' must be null; got {} (model.max_seq_len and data.length say how long texts are)",
         where, brief(truncation));
  check_padding(json, where);
  if (const Json& post = member_or_null(json, "post_processor"); post.is_object()) {
    const std::string type = string_member(post, "type", where + ": post_processor");
    const Strings known{"ByteLevel", "TemplateProcessing", "BertProcessing", "RobertaProcessing", "Sequence"};
    if (!std::count(known.begin(), known.end(), type))
      fail(Fault::data, "{}: post_processor: must be one of {}; got {}", where, join(known, ", "),
           in_quotes(type));
  }
  return parts;
}

// The vocabulary of a file: that of the model and the added tokens.
struct FileTable {
  std::map<int, std::string> tokens;
  std::vector<int> specials;
  std::vector<std::pair<std::string, int>> raw_literals, literals;
  std::int64_t end = 0;  // of the ids

  void put(std::int64_t id, const std::string& token, const std::string& where) {
    const auto [entry, is_new] = tokens.emplace(int(id), token);
    if (!is_new && entry->second != token)
      fail(Fault::data, "{}: ids must be unique; got {} for {} and {}", where, id, in_quotes(entry->second),
           in_quotes(token));
  }

  int find(const std::string& token) const {
    for (const auto& [id, text] : tokens)
      if (text == token) return id;
    return -1;
  }

  void add_own(const Json& vocab, std::size_t n_added, const std::string& where) {
    constexpr std::size_t kMostGaps = 1024;  // or as many as there are tokens
    const std::size_t count = vocab.size() + n_added;
    end = std::int64_t(count + std::max(count, kMostGaps));
    for (const auto& item : vocab.items()) {
      if (!is_unsigned(item.value()) || item.value().get<std::uint64_t>() >= std::uint64_t(end))
        fail(Fault::data, "{}: ids must be in [0, {}), with few gaps; got {} for {}", where, end,
             brief(item.value()), in_quotes(item.key()));
      put(item.value().get<std::int64_t>(), item.key(), where);
    }
  }

  void add(const Json& token, const Tokenizer& tokenizer, const std::string& where) {
    if (!token.is_object()) fail(Fault::data, "{}: must be objects; got {}", where, brief(token));
    check_members(token, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"},
                  where);
    const int id = int(integer_member(token, "id", 0, end - 1, where));
    const std::string content = string_member(token, "content", where);
    put(id, content, where);
    const bool special = bool_member_or(token, "special", false, where);
    const bool normalized = bool_member_or(token, "normalized", !special, where);
    if (special) {  // other toolkits look for it, though it is read as text: nothing is found inside
      specials.push_back(id);
      (normalized ? literals : raw_literals).emplace_back(content, -1);
      return;
    }
    for (const char* flag : {"single_word", "lstrip", "rstrip"})
      if (bool_member_or(token, flag, false, where))
        fail(Fault::data, "{}: '{}' must be false for tokens that are not special; got true for {}", where,
             flag, in_quotes(content));
    if (content.empty()) fail(Fault::data, "{}: 'content' must not be empty", where);
    (normalized ? literals : raw_literals)
        .emplace_back(normalized ? tokenizer.normalize(content) : content, id);
  }

  // Gaps between the ids are filled with tokens that no text has.
  Vocab vocab(int pad, int unk) {
    Strings all;
    for (auto& [id, token] : tokens) {
      while (int(all.size()) < id) {
        specials.push_back(int(all.size()));
        all.push_back(fmt::format("<unused {}>", all.size()));
      }
      all.push_back(token);
    }
    return Vocab::from_table(std::move(all), specials, pad, unk);
  }
};

/// `[tokenizer] type = "file"`: a tokenizer.json of another toolkit. It is taken as it is, training leaves it
/// alone, and saving writes what was read. `specials` that its vocabulary lacks are added at the end.
/// Special tokens are never made by spelling them, and "post_processor" is kept but not applied: tasks add
/// what they need around a text. "truncation", and "padding" that adds to a single text, are refused.
class FileTokenizer : public PipelineTokenizer {
 public:
  explicit FileTokenizer(const TokenizerConfig& config)
      : FileTokenizer(config, read_file_json(config), config.file) {}
  FileTokenizer(const TokenizerConfig& config, Json json, const std::string& where)
      : PipelineTokenizer(config, parts_of(json, where), where), json_(std::move(json)) {
    const std::string version = string_member_or(json_, "version", "1.0", where);
    if (version != "1.0") fail(Fault::data, "{}: 'version' must be '1.0'; got {}", where, in_quotes(version));
    Json& added_tokens = json_["added_tokens"];
    if (added_tokens.is_null()) added_tokens = Json::array();
    const Json& model = object_member(json_, "model", where);
    const Json& own = object_member(model, "vocab", where + ": model");
    FileTable table;
    table.add_own(own, added_tokens.size(), where + ": model");
    for (const Json& token : list_member(json_, "added_tokens", where))
      table.add(token, *this, where + ": added_tokens");
    for (const std::string& special : config_.specials) {
      int id = table.find(special);
      if (id < 0) {
        id = table.tokens.empty() ? 0 : table.tokens.rbegin()->first + 1;
        table.put(id, special, "tokenizer: specials");
        added_tokens.push_back(special_token(id, special));
      }
      table.specials.push_back(id);
    }
    const std::string unk = string_member_or(model, "unk_token", "", where + ": model");
    int pad = -1;
    for (const char* name : {"<pad>", "[PAD]", "<|endoftext|>", "</s>"})
      if (pad < 0) pad = table.find(name);
    if (const Json& padding = member_or_null(json_, "padding"); padding.contains("pad_id"))
      pad = int(integer_member(padding, "pad_id", 0, table.end - 1, where + ": padding"));
    try {
      vocab_ = table.vocab(pad, unk.empty() ? -1 : table.find(unk));
    } catch (const Error& error) {
      fail(Fault::data, "{}: model: {}", where, error.what());
    }
    for (auto& [text, id] : table.literals)
      if (id >= 0) normal_.emplace(id, text);
    raw_literals_ = PrefixTable(std::move(table.raw_literals));
    literals_ = PrefixTable(std::move(table.literals));
    shows_unk_ = false;
    set_model(model, where + ": model");
  }

  void train(const Strings&) override {}
  void train_words(const std::vector<Strings>&) override {}
  Json to_json() const override { return json_; }

 private:
  Json json_;
};

QKV_REGISTER(Tokenizer, "file", FileTokenizer, "a tokenizer.json of another toolkit or run, as it is");

}  // namespace

std::unique_ptr<Tokenizer> make_file_tokenizer(const Json& json, const std::string& where) {
  TokenizerConfig config;
  config.type = "file";
  return std::make_unique<FileTokenizer>(config, json, where);
}

}  // namespace qkv
