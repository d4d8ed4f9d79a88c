// The keys of [data] that say which texts a language model learns, and how they become examples.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/text_source.h"
#include "qkv/base/config.h"
#include "qkv/task/task.h"

namespace qkv {

enum class LanguageSource { text, synthetic };
inline std::vector<std::string> names_of(LanguageSource) {
  return {"text", "synthetic"};
}

/// What a window of a text is: its documents as they follow each other, or with a mask between them.
enum class Packing { stream, documents };
inline std::vector<std::string> names_of(Packing) {
  return {"stream", "documents"};
}

/// The keys of [data] for language-model; all but `packing` also for tasks that read its windows.
struct LanguageModelData {
  LanguageSource source = LanguageSource::text;
  std::string train, val, test, cache;
  std::vector<std::string> mix;
  std::vector<double> weights;
  TextFormat files;
  double val_fraction = 0.1;
  Index length = 0, vocab_size = 256, examples = 1024;
  void fields(FieldCollector& f) {
    f("source", source, "text: from files; synthetic: random tokens, for benchmarks");
    f("train", train, "training text: a file, a folder, or a NAME.manifest that names files", rule::path);
    f("mix", mix, "instead of train: several training texts, whose examples are mixed", rule::path);
    f("weights", weights, "of each text of mix: how many examples it gives, relative to the others",
      rule::positive);
    f("val", val, "validation text; empty: the last val_fraction of each training text", rule::path);
    f("test", test, "test text; empty: none", rule::path);
    f("val_fraction", val_fraction, "share of the characters of the training text, from its end",
      rule::between(0.0, 0.9));
    files.fields(f);
    f("cache", cache, "folder of the tokens of long texts; empty: $QKV_CACHE, else ~/.cache/qkv", rule::path);
    f("length", length, "tokens of an example; 0 = model.max_seq_len", rule::non_negative);
    f("vocab_size", vocab_size, "synthetic: number of different tokens", rule::between(2, 1 << 24));
    f("examples", examples, "synthetic: examples per epoch; at most 64 of them for validation",
      rule::between(1, 1 << 24));
  }
  bool synthetic() const { return source == LanguageSource::synthetic; }
  /// The share of the training text that it is trained on; what follows may be the validation part.
  double border() const { return val.empty() ? 1 - val_fraction : 1; }
  std::vector<std::string> paths(Split split) const {
    if (split == Split::train || (split == Split::val && val.empty() && border() < 1))
      return mix.empty() && !train.empty() ? std::vector<std::string>{train} : mix;
    const std::string& path = split == Split::val ? val : test;
    return path.empty() ? std::vector<std::string>() : std::vector<std::string>{path};
  }
  std::vector<double> mix_weights() const { return mix.empty() ? std::vector<double>{1} : weights; }
  /// Reports keys that exclude or lack each other; a `trained` model needs no text.
  void check(const Section& section, bool trained) const {
    if (train.empty() && mix.empty() && !trained)
      section.report("train", "must name a text; got none (or source = \"synthetic\")");
    if (!train.empty() && !mix.empty())
      section.report("mix", "must be left out where train names a text; got both");
    if (weights.size() != mix.size())
      section.report("weights", fmt::format("must have one number for each text of mix, {}; got {}",
                                            mix.size(), weights.size()));
  }
  /// Reads the key `packing`: whether rows are parted at the ends of documents.
  bool packs(const Section& section, const std::string& model) const {
    const bool documents =
        section.get(
            "packing", Packing::stream,
            "stream: examples are windows of the text as it is; documents: attention, loss and positions "
            "also stay in a document") == Packing::documents;
    if (documents && (synthetic() || model != "decoder-lm"))
      section.report("packing",
                     fmt::format("\"documents\" needs a text and model.type = \"decoder-lm\"; got {} \"{}\"",
                                 synthetic() ? "source" : "model", synthetic() ? "synthetic" : model));
    return documents;
  }
};

// ---- the windows of a text: the examples of the task language-model, also for other tasks

struct WindowOptions {
  Index frame = 0;                          ///< tokens that come around a window
  const char* limit = "model.max_seq_len";  ///< what limits data.length, in words
  std::vector<std::string> specials = {};   ///< special tokens that the tokenizer must know
};

/// The task language-model: ids [B, T] and targets [B, T], the token after each; kNoTarget where a window has
/// ended. It is Surveyed.
std::unique_ptr<Task> make_windows(const TaskInput& input, const WindowOptions& options);

}  // namespace qkv
