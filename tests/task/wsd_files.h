// Small word-sense data in files, and what the tests read from its batches.
#pragma once
#include "base/file.h"
#include "base/temporary_folder.h"
#include "model/sentences.h"
#include "task/wsd.h"

namespace qkv::test {

struct Files : TemporaryFolder {
  Files() {
    std::string train, other;
    for (int i = 0; i < 20; i++) {  // 20 of money, 10 of river; every sentence has a word of its own
      train += fmt::format("money\tthe [bank] lends word{}\n", i);
      if (i < 10) train += fmt::format("river\ta fish near the [Banks] of other{} water\n", i);
    }
    write("train.tsv", train);
    write("val.tsv", "river\tthe [bank] of fish\n");
    write("test.tsv", "money\tthe [bank] lends gold\nriver\tnever [bank]\n");
  }
  void write(const std::string& name, const std::string& text) const {
    write_file_atomic(*this / name, text);
  }
  Section config(const std::string& data, const std::string& rest = "") const {
    return Section::parse(fmt::format("data.train = \"{}\"\n{}\n{}", *this / "train.tsv", data, rest),
                          "c.toml");
  }
  std::string key(const std::string& name) const {
    return fmt::format("data.{0} = \"{1}/{0}.tsv\"\n", name, path);
  }
  WordSenses task(const std::string& data, const std::string& rest = "") const {
    const Section all = config(data, rest);
    WordSenses made({all});
    all.check();
    made.prepare();
    return made;
  }
};

inline std::vector<int> numbers(const Tensor& t) {
  return {t.data<std::int32_t>(), t.data<std::int32_t>() + t.size()};
}

inline Batch collate(WordSenses& task, Split split, const std::vector<int>& indices,
                     const Stream* noise = nullptr) {
  Batch batch;
  task.examples(split);
  task.collate(split, indices.data(), static_cast<Index>(indices.size()), noise, batch);
  return batch;
}

inline Batch whole(WordSenses& task, Split split) {
  std::vector<int> all;
  for (int i = 0; i < task.examples(split); i++) all.push_back(i);
  return collate(task, split, all);
}

// The words of example b as the model sees them.
inline std::vector<std::string> words(const WordSenses& task, const Batch& batch, Index b) {
  std::vector<std::string> result;
  const Index T = batch.at("ids").dim(1);
  for (Index t = 0; t < T; t++)
    if (numbers(batch.at("keep"))[static_cast<std::size_t>(b * T + t)])
      result.push_back(
          task.tokenizer()->token(numbers(batch.at("ids"))[static_cast<std::size_t>(b * T + t)]));
  return result;
}

using Words = std::vector<std::string>;

}  // namespace qkv::test
