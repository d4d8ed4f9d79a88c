// What TensorBoard gets of a run besides its records: its config, and the word vectors.
#pragma once
#include <string>

#include "log/tensorboard.h"
#include "qkv/train/experiment.h"

namespace qkv {

/// The values by which the HParams plug-in compares runs: numbers, words and switches of the config, without
/// its paths and lists. `resumed_from`: the step of the checkpoint, or -1 for a new run.
TensorboardSink::Run tensorboard_run(const Experiment& experiment, const std::string& run,
                                     std::int64_t resumed_from);

/// Writes projector_config.pbtxt and projector/{vectors,words}.tsv into a run directory: the rows of
/// `embed.weight` [V, d] (f32 or f64) and the words that they stand for, the first `most` of them. Nothing
/// where the model has no such table or its rows no words.
void write_projector(const std::string& run, const Experiment& experiment, Index most = 10000);

}  // namespace qkv
