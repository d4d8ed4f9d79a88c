// Synthetic tasks: a look inside, with tokens as words.
#include <algorithm>

#include "qkv/base/text.h"
#include "qkv/task/synthetic.h"
#include "task/common.h"

namespace qkv {

std::vector<ProbeText> SyntheticTask::probe_texts(const std::vector<std::string>& texts) const {
  std::vector<ProbeText> result;
  for (const std::string& text : texts) {
    result.push_back({text, split_words(text)});
    if (result.back().words.empty()) fail(Fault::usage, "a text must hold a token; got {}", in_quotes(text));
    check_known(result.back().words, symbols_, "tokens");
  }
  return result;
}

std::vector<ProbeText> SyntheticTask::probe_examples(Split split, Index count) {
  constexpr std::size_t kLongest = 64;
  std::vector<ProbeText> result;
  SyntheticRow row;
  for (Index i = 0; i < std::min(count, examples(split)); i++) {
    write(split, i, row);
    if (!row.values.empty()) return {};
    ProbeText text;
    for (std::int32_t id : row.ids)
      if (text.words.size() < kLongest) text.words.push_back(symbols_[static_cast<std::size_t>(id)]);
    text.text = join(text.words, " ");
    result.push_back(std::move(text));
  }
  return result;
}

Batch SyntheticTask::probe_batch(const ProbeText* texts, Index n) const {
  Batch batch;
  fill_rows(batch, "ids", "keep", n, 0, [&](Index i) { return ids_of_words(texts[i].words, symbols_); });
  return batch;
}

}  // namespace qkv
