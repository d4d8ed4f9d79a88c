// Import: a run directory from a folder of Hugging Face.
#pragma once
#include <string>
#include <vector>

namespace qkv {

struct Imported {
  std::string run, architecture;
  std::vector<std::string> notes;  ///< what the user should know
};

/// Makes the run directory `out` (which must not exist), or without one runs/NAME, of a folder with
/// config.json, model.safetensors (or shards and their index) and tokenizer.json. It has one checkpoint, of
/// step 0. What the folder says wrongly, or models here cannot say, is a data error; then nothing is written.
Imported import_folder(const std::string& folder, const std::string& out,
                       const std::vector<std::string>& command);

}  // namespace qkv
