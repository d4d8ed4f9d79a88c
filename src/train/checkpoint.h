// Checkpoint: a folder that holds everything a run needs to go on or to be used, each file with a checksum.
//
//   checkpoints/step-000500/  model.safetensors  optimizer.safetensors  state.json  tokenizer.json
//                             config.resolved.toml  checksums.txt
//   checkpoints/last, best    relative links, or text files with the name where there are no links
#pragma once
#include <memory>

#include "qkv/base/json_fwd.h"
#include "qkv/data/tokenizer.h"
#include "qkv/tensor/safetensors.h"

namespace qkv {

/// The name of a checkpoint's folder: "step-000500".
std::string step_name(std::int64_t step);

/// Identifies the checkpoints of a run; "" for runs of before there was such.
std::string id_of_run(const std::string& run);

struct CheckpointData {
  std::int64_t step = 0;
  std::vector<NamedTensor> weights, optimizer;
  const Json* state = nullptr;
  const Tokenizer* tokenizer = nullptr;
  std::string config;  ///< text of config.resolved.toml
};

/// Writes `run/checkpoints/step-N`: into a temporary folder that is synced and renamed, so that a reader
/// never sees half of one. Then the link `last`, and `best` if asked. Throws a runtime error (full disk, ...)
/// that leaves the older checkpoints as they were.
void write_checkpoint(const std::string& run, const CheckpointData& data, bool best);

/// Points the links `last` and `best` at these steps, as a checkpoint's state gives them after a crash;
/// `best` goes where that is -1.
void point_links(const std::string& run, std::int64_t last, std::int64_t best);

/// Removes checkpoints but the newest `keep_last` up to the one `last` points to and the one `best` points
/// to, and left-over temporary folders.
void prune_checkpoints(const std::string& run, std::int64_t keep_last, bool keep_best);

struct Checkpoint {
  std::string folder, config_file;
  std::vector<NamedTensor> weights, optimizer;  // optimizer only when asked
  std::shared_ptr<const Json> state;            // state.json
  std::shared_ptr<Tokenizer> tokenizer;
};

/// state.json of a checkpoint folder. Another version, run or step than the folder's is a data error.
Json read_checkpoint_state(const std::string& folder);

/// Reads a checkpoint folder. Checksums are compared first; damage is a data error that names the file.
Checkpoint read_checkpoint(const std::string& folder, bool with_optimizer = false);

struct Training;
/// Takes the weights that a checkpoint of this run holds.
void load_stored(const Training& training, const Checkpoint& checkpoint);

/// The folder of a run's checkpoint "best", "last" or "step-000100"; `run` may be that folder itself. The
/// best one of a run that has evaluated nothing is the last. Throws a data error when there is none.
std::string find_checkpoint(const std::string& run, const std::string& which);

/// All whole checkpoints of a run, oldest first: (step, folder).
std::vector<std::pair<std::int64_t, std::string>> list_checkpoints(const std::string& run);

/// The newest whole one that is not later than `most`: (step, folder), or (0, "") where there is none.
std::pair<std::int64_t, std::string> whole_checkpoint(const std::string& run, std::int64_t most);

/// What is wrong with the files of a checkpoint folder by their checksums, one line each.
std::vector<std::string> checkpoint_problems(const std::string& folder);

}  // namespace qkv
