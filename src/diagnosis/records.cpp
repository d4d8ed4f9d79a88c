// What metrics.jsonl tells of a run.
#include <algorithm>

#include "diagnosis/case.h"
#include "log/record_keys.h"

namespace qkv {

void read_records(RunCase& c) {
  const std::vector<Record>& train = c.log.train;
  std::vector<double> ratios, changes;
  const double limit = c.e.tables.train.grad_clip_norm;
  const std::size_t tail = std::max<std::size_t>(1, train.size() / 10);
  double sum = 0;
  for (std::size_t i = 0; i < train.size(); i++) {
    const double loss = train[i].number(key::loss);
    if (i == 0) c.first_loss = loss;
    // std::fmax passes over NaN.
    if (i > 0 && i <= std::max<std::size_t>(1, train.size() / 5))
      c.highest_early = std::fmax(c.highest_early, loss);
    if (i + tail >= train.size()) sum += loss;
    if (i > train.size() / 2) changes.push_back(std::fabs(loss - train[i - 1].number(key::loss)));
    if (limit > 0) ratios.push_back(train[i].number(key::grad_norm) / limit);
  }
  if (!train.empty()) {
    c.last_loss = sum / double(tail);
    c.jitter = median(changes) / c.last_loss;
    c.steps = train.back().step();
    c.epochs = train.back().number(key::epoch, 0);
  }
  if (!ratios.empty()) {
    c.clipped = double(std::count_if(ratios.begin(), ratios.end(), [](double r) { return r > 1; })) /
                double(ratios.size());
    c.clip_ratio = median(ratios);
  }
  for (const Record& record : c.log.eval) {
    if (record.text(key::split) != "val") continue;
    const double loss = record.number(key::loss);
    c.val_last = loss;
    for (const char* name : kAccuracies)
      if (record.has(name)) c.val.accuracy = record.number(name);
    if (std::isnan(c.val_best) || loss < c.val_best) c.val_best = loss, c.val_best_step = record.step();
  }
  c.val.loss = c.val_last;
  for (const Record& record : c.log.other) {
    if (record.type() == "spike") c.spikes++;
    if (record.type() == "nonfinite" && !c.nonfinite) c.nonfinite = &record;
  }
}

}  // namespace qkv
