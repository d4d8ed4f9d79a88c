// The checkpoint of a run with adapters holds these, and refers to the weights that they change.
#pragma once
#include "qkv/train/training.h"
#include "train/checkpoint.h"

namespace qkv {

/// What `train.init_from` names: a .safetensors file, or the best checkpoint of a run.
BaseWeights base_from(const std::string& from);
/// The member "base" of state.json in the checkpoints of `run`; `scale` is that of the adapters.
Json base_json(const BaseWeights& base, double scale, const std::string& run);

/// Throws a data error where the state of a checkpoint refers to weights that are gone, or are others now.
void check_base(const std::string& folder, const Json& state);
/// The weights below the adapters of a checkpoint, and in `found` where they were. Throws as `check_base`.
std::vector<NamedTensor> base_weights(const Checkpoint& checkpoint, BaseWeights& found);

/// Drops what train.init_except names, and copies in the others. With adapters, the weights that stay as they
/// are must all be there. The number of tensors taken.
int take_initial(Training& t, std::vector<NamedTensor>& weights, const std::string& where);

/// All weights of a checkpoint, with its adapters in them where it has such.
std::vector<NamedTensor> whole_weights(const Checkpoint& checkpoint);
/// Loads these.
void load_whole(const Checkpoint& checkpoint, ParameterStore& store);

}  // namespace qkv
