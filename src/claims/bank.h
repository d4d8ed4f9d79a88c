// The models of the bank data that several claims look at.
#pragma once
#include "claims/claim.h"

namespace qkv {

/// Test split: the order twins, two lines in a row with the same cue words and different senses.
inline std::vector<std::string> bank_sets(const std::string& max_epochs) {
  return {"train.max_epochs=" + max_epochs, "data.test=\"" + shipped_config("data/bank/order.tsv") + "\""};
}

/// bank.toml in half its width and without character n-grams. Strong weight decay and smoothed labels
/// (Mueller et al., 2019) draw the vectors of one sense together.
inline const TrainedModel& learned_bank(Evidence& e) {
  std::vector<std::string> sets = bank_sets("14");
  for (const char* set : {"model.d_model=64", "model.ffn.d_ff=128", "model.attention.n_head=4",
                          "model.dropout=0.1", "model.embedding=\"learned\"", "data.ngram_buckets=0",
                          "optimizer.lr=4e-3", "optimizer.weight_decay=3.0", "train.label_smoothing=0.2"})
    sets.push_back(set);
  return e.trained().shipped("bank.toml", sets);
}

/// Examples of a split whose class has this name, as one batch.
inline Batch examples_of(const TrainedModel& model, Split split, const std::string& label) {
  Task& task = *model.experiment.task;
  const std::vector<std::string> classes = task.classes();
  std::vector<int> all(static_cast<std::size_t>(task.examples(split))), chosen;
  for (std::size_t i = 0; i < all.size(); i++) all[i] = static_cast<int>(i);
  Batch batch;
  task.collate(split, all.data(), static_cast<Index>(all.size()), nullptr, batch);
  for (std::size_t i = 0; i < all.size(); i++) {
    const double id = batch.at("label").at(static_cast<Index>(i));
    if (classes[static_cast<std::size_t>(id)] == label) chosen.push_back(all[i]);
  }
  task.collate(split, chosen.data(), static_cast<Index>(chosen.size()), nullptr, batch);
  return batch;
}

}  // namespace qkv
