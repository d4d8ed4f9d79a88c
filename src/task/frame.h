// Frame: the special tokens of BERT around a text, and in place of a hidden token (Devlin et al. 2019).
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "qkv/data/tokenizer.h"

namespace qkv {

/// [CLS] text [SEP], or [CLS] text [SEP] other [SEP].
struct Frame {
  static constexpr const char *kCls = "[CLS]", *kSep = "[SEP]", *kMask = "[MASK]";
  static std::vector<std::string> names() { return {kCls, kSep, kMask}; }

  Frame() = default;
  /// A data error where the vocabulary lacks one of them; what frames no hidden tokens needs no [MASK].
  explicit Frame(const Tokenizer& tokenizer, bool masks = true)
      : cls(id_of(tokenizer, kCls)),
        sep(id_of(tokenizer, kSep)),
        mask(masks ? id_of(tokenizer, kMask) : -1) {}

  /// The type of each token of a framed text: 0 up to the first [SEP], 1 after it.
  template <class Ids>
  std::vector<std::int32_t> types(const Ids& ids) const {
    std::vector<std::int32_t> result(ids.size(), 0);
    const auto first = std::find(ids.begin(), ids.end(), sep);
    if (first != ids.end()) std::fill(result.begin() + (first - ids.begin()) + 1, result.end(), 1);
    return result;
  }

  int cls = -1, sep = -1, mask = -1;

 private:
  static int id_of(const Tokenizer& tokenizer, const char* name) {
    const int id = tokenizer.id(name);
    if (id < 0)
      fail(Fault::data, "the tokenizer must know the special token {}; got one that does not", name);
    return id;
  }
};

}  // namespace qkv
