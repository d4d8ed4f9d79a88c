// Synthetic tasks: a look inside, with tokens as words.
#include <algorithm>

#include "qkv/base/text.h"
#include "qkv/task/synthetic.h"

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
  Index T = 1;
  for (Index i = 0; i < n; i++) T = std::max(T, static_cast<Index>(texts[i].words.size()));
  Batch batch;
  std::int32_t* ids = batch.fill("ids", {n, T}, Dtype::i32).data<std::int32_t>();
  std::int32_t* keep = batch.fill("keep", {n, T}, Dtype::i32).data<std::int32_t>();
  for (Index i = 0; i < n; i++)
    for (Index t = 0; t < T; t++) {
      const bool real = t < static_cast<Index>(texts[i].words.size());
      const auto found =
          real ? std::find(symbols_.begin(), symbols_.end(), texts[i].words[static_cast<std::size_t>(t)])
               : symbols_.begin();
      QKV_CHECK(found != symbols_.end(), "probe: words must be tokens of the task; got '{}'",
                texts[i].words[static_cast<std::size_t>(t)]);
      ids[i * T + t] = static_cast<std::int32_t>(found - symbols_.begin());
      keep[i * T + t] = real;
    }
  return batch;
}

}  // namespace qkv
