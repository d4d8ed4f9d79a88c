// Vocab: the table token <-> id.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace qkv {

using TokenCounts = std::unordered_map<std::string, long>;

/// Ids 0 ... size-1. In a table made here the specials come first: `<pad>` = 0, `<unk>` = 1, then others such
/// as `<bos>`; the rest by falling frequency, then by bytes. Tables of other toolkits have them anywhere.
class Vocab {
 public:
  static constexpr int kPad = 0, kUnk = 1;

  /// Only `<pad>` and `<unk>`.
  Vocab() : Vocab(std::vector<std::string>{}) {}
  /// Only the specials: `<pad>`, `<unk>` and `more_specials`.
  explicit Vocab(const std::vector<std::string>& more_specials);
  /// Tokens seen at least `min_freq` times, the most frequent ones if `max_size` > 0 limits the whole table.
  Vocab(const TokenCounts& counts, long min_freq = 1, int max_size = 0,
        const std::vector<std::string>& more_specials = {});
  /// A table made here: all tokens in id order, the first `n_specials` of them special, first of all those
  /// for padding and unknown tokens.
  static Vocab from_tokens(std::vector<std::string> tokens, int n_specials);
  /// Any table: tokens in id order, which of them are special, and the ids of padding and of unknown tokens,
  /// -1 where there is none. Empty tokens, equal ones and ids outside the table are data errors.
  static Vocab from_table(std::vector<std::string> tokens, const std::vector<int>& specials, int pad,
                          int unk);

  /// Id of a token of the text: unk_id() when unknown. A text never yields a special id by spelling it.
  int id(std::string_view token) const;
  /// Id of any token, specials too, or -1.
  int find(std::string_view token) const;
  bool knows(std::string_view token) const { return id(token) != unk_; }
  /// The token of an id in [0, size).
  const std::string& token(int id) const;
  int size() const { return static_cast<int>(tokens_.size()); }
  /// How many specials there are before the first other token.
  int n_specials() const { return n_specials_; }
  bool is_special(int id) const { return id >= 0 && id < size() && special_[static_cast<std::size_t>(id)]; }
  int pad_id() const { return pad_; }
  int unk_id() const { return unk_; }
  const std::vector<std::string>& tokens() const { return tokens_; }

 private:
  void index();
  std::size_t slot_of(std::string_view token) const;

  std::vector<std::string> tokens_;  // by id
  std::vector<int> slots_;           // ids by hash of the token, -1 = empty; at most half of them are taken
  std::vector<bool> special_;        // by id
  int n_specials_ = 0, pad_ = kPad, unk_ = kUnk;
};

}  // namespace qkv
