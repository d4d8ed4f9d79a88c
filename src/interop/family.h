// Family: how a kind of model of Hugging Face's transformers and one here are the same: tables of names and
// layouts, each read in both directions. One file per family.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "qkv/base/json.h"
#include "qkv/nn/parameter.h"

namespace qkv {

/// What a value of config.json must be: a positive integer, a finite number of at least 0, true or false, or
/// one of some names.
enum class KeyKind { count, number, flag, name };

/// A key of a config here and the key of config.json ("rope_parameters.rope_type" for a member of an object)
/// that means the same.
/// - Both: the value goes from one to the other. Where it is absent or null there, it is `value`, or with
///   [4, "n_embd"] four times that; without one it must be given. Of rows with the same `ours`, the first
///   is read and all are written.
///   Where null there is not the same as absent, it is `null`.
/// - Only `ours`: what models of the family are, `value`.
/// - Only `theirs`: what must be so there where it is given, `value`.
struct KeyRow {
  std::string ours, theirs;
  KeyKind kind = KeyKind::name;
  Json value = {};
  std::vector<std::pair<std::string, Json>> names = {};  ///< (ours, theirs); of equals, the first is written
  std::vector<std::string> also = {};                    ///< other keys with the same meaning, read only
  Json null = {};
};

/// A tensor of the file: parameters here, the rows of one below those of the other. `*` is a number.
struct TensorRow {
  std::vector<std::string> ours;
  std::string theirs;
  bool transposed = false;  ///< [in, out], as Conv1D has it
  std::string also = {};    ///< another name of the tensor: written too, and read where `theirs` is missing
};

struct Family {
  std::string model_type, architecture, bare;  ///< "gpt2", "GPT2LMHeadModel", "GPT2Model"
  std::string prefix;                          ///< of tensors, which files of the bare model lack
  std::vector<KeyRow> keys = {};
  std::vector<TensorRow> tensors = {};
  std::vector<std::string> buffers = {};  ///< tensors that are no parameters; `*` stands for any text
  std::vector<std::string> others = {};   ///< tensors of other heads, which are left out with a note
  /// Tensors that files may hold beside the parameter that they are equal to.
  std::vector<std::pair<std::string, std::string>> copies = {};
  /// Endings of names in old files, and what they are today.
  std::vector<std::pair<std::string, std::string>> endings = {};
  std::vector<std::string> ignored = {};  ///< keys of config.json that do not change what the model computes

  /// The key of config.json for a key here; "" without.
  std::string key_for(const std::string& ours) const;
};

Family gpt2();
Family llama();
Family mistral();
/// Masked language models and classifiers: BERT and DistilBERT.
std::vector<Family> bert_families();
/// All of them. A model is written as the first that it fits.
const std::vector<Family>& families();

/// Keys here, dotted, with values as TOML.
using KeyValues = std::vector<std::pair<std::string, std::string>>;

/// What config.json says in terms of a config here. Adds to `problems` what cannot be said, and keys that the
/// family does not know.
KeyValues keys_here(const Family& family, const Json& config, std::vector<std::string>& problems);

/// config.json of a model, from its resolved keys [task] type and [model]. Adds to `problems` what the family
/// cannot say.
Json keys_there(const Family& family, const KeyValues& keys, std::vector<std::string>& problems);

/// A tensor of a file, and which parameters it holds.
struct Placed {
  std::string theirs;
  Shape shape;
  std::vector<std::string> ours;
  bool transposed;
  std::string also;
  bool copy;  ///< read only to be compared
};

/// The tensors of a file that hold these parameters. A parameter without counterpart is a usage error.
std::vector<Placed> layout(const Family& family, const std::vector<NamedTensor>& parameters);

}  // namespace qkv
