#include "data/pipeline_tokenizer.h"

#include "qkv/base/text.h"

namespace qkv {

PipelineTokenizer::PipelineTokenizer(const TokenizerConfig& config, Json parts, const std::string& where)
    : Tokenizer(config),
      parts_(std::move(parts)),
      normalizer_(make_normalizer(member_or_null(parts_, "normalizer"), where + ": normalizer")),
      pre_tokenizer_(make_pre_tokenizer(member_or_null(parts_, "pre_tokenizer"), where + ": pre_tokenizer")),
      decoder_(make_decoder(member_or_null(parts_, "decoder"), where + ": decoder")) {}

namespace {

// Cuts off about a megabyte that ends after a line: pieces need several times the memory of their text.
std::string_view take_lines(std::string_view& rest) {
  constexpr std::size_t kEnough = std::size_t{1} << 20;
  const std::size_t line = rest.find('\n', std::min(kEnough, rest.size()));
  const std::string_view lines = rest.substr(0, line == std::string_view::npos ? line : line + 1);
  rest.remove_prefix(lines.size());
  return lines;
}

}  // namespace

// take(piece, -1) for each piece of the text, take("", id) for each token that stands for itself.
template <class Take>
void PipelineTokenizer::for_pieces(std::string_view text, Take take) const {
  check_utf8(text, "tokenizer");
  const PatternTime time(text.size());
  auto literal = [&](int id) {
    take(std::string_view(), id);
  };
  cut_at(
      text, raw_literals_,
      [&](std::string_view part) {
        const std::string normal = normalizer_(std::string(part));
        cut_at(
            normal, literals_,
            [&](std::string_view rest) {
              for (const std::string& piece : pre_tokenizer_({std::string(rest)})) take(piece, -1);
            },
            literal);
      },
      literal);
}

std::vector<int> PipelineTokenizer::encode(std::string_view text, UnknownCount* counts) const {
  std::vector<int> ids;
  struct Range {
    std::size_t begin, end;
  };
  std::unordered_map<std::string, Range> seen;  // pieces come again and again: where their ids stand
  for_pieces(text, [&](std::string_view piece, int id) {
    if (id >= 0) return ids.push_back(id);
    const auto [at, is_new] = seen.try_emplace(std::string(piece), Range{ids.size(), 0});
    if (is_new) {
      model_->encode(vocab_, piece, ids);
      at->second.end = ids.size();
    } else {
      for (std::size_t i = at->second.begin; i < at->second.end; ++i) ids.push_back(ids[i]);
    }
  });
  if (counts) {
    counts->tokens += static_cast<long>(ids.size());
    if (vocab_.unk_id() >= 0)
      for (int id : ids) counts->unknown += id == vocab_.unk_id();
  }
  return ids;
}

std::vector<std::string> PipelineTokenizer::split(std::string_view text) const {
  std::vector<std::string> tokens;
  for (int id : encode(text)) tokens.push_back(token(id));
  return tokens;
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
  TokenCounts counts;
  for (const std::string& text : texts)
    for (std::string_view rest = text; !rest.empty();)
      for_pieces(take_lines(rest), [&](std::string_view piece, int) { ++counts[std::string(piece)]; });
  const int n_specials = vocab_.n_specials();
  std::vector<std::string> tokens(vocab_.tokens().begin(), vocab_.tokens().begin() + n_specials);
  Json model = learn(counts, tokens);
  take(Vocab::from_tokens(std::move(tokens), n_specials), std::move(model));
}

void PipelineTokenizer::take(Vocab vocab, Json model) {
  vocab_ = std::move(vocab);
  json_ = std::move(model);
  json_["vocab"] = vocab_member(vocab_);
  model_ = TokenModel::read(json_, vocab_, "tokenizer: model");
}

void PipelineTokenizer::train_words(const std::vector<std::vector<std::string>>& sentences) {
  std::vector<std::string> texts;
  for (const auto& words : sentences) texts.push_back(join(words, " "));
  train(texts);
}

void PipelineTokenizer::read_model(const Json& json, const std::string& where) {
  read_vocab(json, where);
  json_ = json;
  model_ = TokenModel::read(json_, vocab_, where);
}

}  // namespace qkv
