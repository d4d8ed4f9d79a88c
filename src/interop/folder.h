// HfFolder: a folder of Hugging Face on disk, read with suspicion: sizes before contents, and no file
// outside. What it says in words: its tokenizer, the names of classes, how a text ends.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "qkv/base/json.h"
#include "qkv/data/tokenizer.h"
#include "qkv/tensor/safetensors.h"

namespace qkv {

class HfFolder {
 public:
  /// What keeps it from being such a folder is a data error; no weights are read yet.
  explicit HfFolder(std::string path);

  const std::string& path() const { return path_; }
  const Json& config() const { return config_; }  ///< config.json
  /// Another file, which must exist: its path, after a look at where it lies.
  std::string file(const std::string& name) const;
  bool has(const std::string& name) const;

  /// The tensors of model.safetensors, or of the shards that model.safetensors.index.json names.
  const std::map<std::string, SafetensorsEntry>& tensors() const { return tensors_; }
  /// Calls `take` with each tensor whose name is `wanted`, shard by shard.
  void read(const std::function<bool(const std::string& name)>& wanted,
            const std::function<void(NamedTensor tensor)>& take) const;

 private:
  void list(const std::string& shard);
  void list_shards();

  std::string path_;
  Json config_;
  std::vector<std::string> shards_;
  std::map<std::string, SafetensorsEntry> tensors_;
  std::map<std::string, std::string> shard_of_;
};

/// tokenizer.json, with as many tokens as the model: what is unused gets a name.
std::shared_ptr<Tokenizer> tokenizer_of(const HfFolder& folder, Index vocab_size);

/// The names of the classes, from config.json: LABEL_0, LABEL_1, .. where it gives none.
std::vector<std::string> labels_of(const Json& config, const std::string& where);

/// The token that ends a text: the first id of eos_token_id that the tokenizer has, or "none".
std::string end_token(const HfFolder& folder, const Tokenizer& tokenizer, std::vector<std::string>& notes);

}  // namespace qkv
