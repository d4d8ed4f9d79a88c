// What a checkpoint keeps of a run, and how a run goes on from one.
#pragma once
#include "qkv/train/training.h"

namespace qkv {

/// Writes a checkpoint of the present state into the run directory, unless it is there already, and removes
/// those that [checkpoint] does not keep. Without a run directory: nothing.
void save_checkpoint(Training& t, bool best);

/// Continues from the newest whole checkpoint of the run directory and says which damaged ones it passed
/// over; false when there is no checkpoint yet. Throws a data error when all are damaged, a usage error when
/// the data is not that of the checkpoint.
bool resume(Training& t);

/// Takes weights, optimizer and state of a checkpoint. A usage error where it was trained on other data.
void restore(Training& t, const std::string& checkpoint);

/// Takes the initial values that train.init_from names, if it does; a line that says which. For runs that
/// start, not for resumed ones. A usage error where the weights are those of another vocabulary.
std::string warm_start(Experiment& e, const std::string& from);

}  // namespace qkv
