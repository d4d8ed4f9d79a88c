#include "data/pipeline_tokenizer.h"

#include <atomic>

#include "base/at.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// Cuts off about a megabyte that ends after a line: pieces need several times the memory of their text.
std::string_view take_lines(std::string_view& rest) {
  constexpr std::size_t kEnough = std::size_t{1} << 20;
  const std::size_t line = rest.find('\n', std::min(kEnough, rest.size()));
  const std::string_view lines = rest.substr(0, line == std::string_view::npos ? line : line + 1);
  rest.remove_prefix(lines.size());
  return lines;
}

bool is_gpt2(const Json& pre_tokenizer) {
  return pre_tokenizer.is_object() && pre_tokenizer.value("type", Json()) == "ByteLevel" &&
         pre_tokenizer.value("add_prefix_space", Json()) == false &&
         pre_tokenizer.value("use_regex", Json(true)) == true;
}

}  // namespace

PipelineTokenizer::PipelineTokenizer(const TokenizerConfig& config, Json parts, const std::string& where)
    : Tokenizer(config),
      parts_(std::move(parts)),
      by_words_(is_gpt2(member_or_null(parts_, "pre_tokenizer"))),
      normalizer_(make_normalizer(member_or_null(parts_, "normalizer"), where + ": normalizer")),
      pre_tokenizer_(make_pre_tokenizer(member_or_null(parts_, "pre_tokenizer"), where + ": pre_tokenizer")),
      decoder_(make_decoder(member_or_null(parts_, "decoder"), where + ": decoder")) {}

// take(part, -1) for parts of the text that are cut into pieces each by itself, take("", id) for each token
// that stands for itself.
template <class Take>
void PipelineTokenizer::for_parts(std::string_view text, Take take) const {
  check_utf8(text, "tokenizer");
  const PatternTime time(text.size());
  auto literal = [&](int id) {
    take(std::string_view(), id);
  };
  cut_at(
      text, raw_literals_,
      [&](std::string_view raw) {
        const std::string normal = normalizer_(std::string(raw));
        cut_at(
            normal, literals_,
            [&](std::string_view rest) {
              auto part = [&](std::string_view one) {
                take(one, -1);
              };
              by_words_ ? for_each_word(rest, part) : part(rest);
            },
            literal);
      },
      literal);
}

std::vector<int> PipelineTokenizer::encode_part(const std::string& part) const {
  constexpr std::size_t kFew = 8;
  std::vector<int> ids;
  const Strings pieces = pre_tokenizer_({part});
  if (pieces.size() < kFew) {
    for (const std::string& piece : pieces) model_->encode(vocab_, piece, ids);
    return ids;
  }
  struct Range {
    std::size_t begin, end;
  };
  std::unordered_map<std::string, Range> seen;  // pieces come again and again: where their ids stand
  for (const std::string& piece : pieces) {
    const auto [at, is_new] = seen.try_emplace(piece, Range{ids.size(), 0});
    if (is_new) {
      model_->encode(vocab_, piece, ids);
      at->second.end = ids.size();
    } else {
      for (std::size_t i = at->second.begin; i < at->second.end; ++i) ids.push_back(ids[i]);
    }
  }
  return ids;
}

std::vector<int> PipelineTokenizer::encode(std::string_view text, UnknownCount* counts) const {
  struct Known {
    std::uint64_t model = 0;
    Remembered<std::vector<int>> ids;
  };
  thread_local Known known;
  if (known.model != model_number_) known = {model_number_, {}};
  std::vector<int> ids;
  for_parts(text, [&](std::string_view part, int id) {
    if (id >= 0) return ids.push_back(id);
    const std::vector<int>& own = known.ids(part, [&] { return encode_part(std::string(part)); });
    ids.insert(ids.end(), own.begin(), own.end());
  });
  if (counts) {
    counts->tokens += long(ids.size());
    if (vocab_.unk_id() >= 0)
      for (int id : ids) counts->unknown += id == vocab_.unk_id();
  }
  return ids;
}

std::vector<std::string> PipelineTokenizer::split(std::string_view text) const {
  return mapped(encode(text), [&](int id) { return token(id); });
}

void PipelineTokenizer::append_word(std::string_view word, bool first, std::vector<int>& ids,
                                    UnknownCount* counts) const {
  const std::vector<int> own = encode(first ? std::string(word) : " " + std::string(word), counts);
  ids.insert(ids.end(), own.begin(), own.end());
}

std::string PipelineTokenizer::normalize(std::string_view word) const {
  check_utf8(word, "tokenizer");
  return normalizer_(std::string(word));
}

std::string PipelineTokenizer::decode(const std::vector<int>& ids) const {
  std::vector<std::string> tokens;
  for (int id : ids) {
    const std::string& text = token(id);
    const auto normal = normal_.find(id);
    if (!vocab_.is_special(id) || (shows_unk_ && id == vocab_.unk_id()))
      tokens.push_back(normal == normal_.end() ? text : normal->second);
  }
  return join(decoder_(std::move(tokens)), "");
}

void PipelineTokenizer::train(const std::vector<std::string>& texts) {
  TokenCounts words, pieces;
  auto count = [&](const std::string& part, long times) {
    for (const std::string& piece : pre_tokenizer_({part})) pieces[piece] += times;
  };
  for (const std::string& text : texts)
    for (std::string_view rest = text; !rest.empty();)
      for_parts(take_lines(rest), [&](std::string_view part, int id) {
        if (id >= 0) return;
        by_words_ ? void(++words[std::string(part)]) : count(std::string(part), 1);
      });
  for (const auto& [word, times] : words) count(word, times);
  const int n_specials = vocab_.n_specials();
  std::vector<std::string> tokens(vocab_.tokens().begin(), vocab_.tokens().begin() + n_specials);
  Json model = learn(pieces, tokens);
  take(Vocab::from_tokens(std::move(tokens), n_specials), std::move(model));
}

void PipelineTokenizer::set_model(const Json& model, const std::string& where) {
  static std::atomic<std::uint64_t> models{0};
  model_ = TokenModel::read(model, vocab_, where);
  model_number_ = ++models;
}

void PipelineTokenizer::take(Vocab vocab, Json model) {
  vocab_ = std::move(vocab);
  json_ = std::move(model);
  json_["vocab"] = vocab_member(vocab_);
  set_model(json_, "tokenizer: model");
}

void PipelineTokenizer::train_words(const std::vector<std::vector<std::string>>& sentences) {
  train(mapped(sentences, [](const std::vector<std::string>& words) { return join(words, " "); }));
}

void PipelineTokenizer::read_model(const Json& json, const std::string& where) {
  read_vocab(json, where);
  json_ = json;
  set_model(json_, where);
}

}  // namespace qkv
