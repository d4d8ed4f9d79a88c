#include <algorithm>

#include "diagnosis/cause.h"
#include "qkv/base/text.h"

namespace qkv {

static void rare_classes(const RunCase& c, Suspicion& s) {
  constexpr double kShare = 0.1;  // of the classes
  const Json labels = c.survey.value("train", Json::object()).value("labels", Json::object());
  std::vector<std::string> rare;
  for (const auto& [label, n] : labels.items())
    if (n.get<double>() <= 1) rare.push_back(in_quotes(label));
  if (rare.empty()) return;
  const double share = double(rare.size()) / double(labels.size());
  s.score = share > kShare ? 0.65 + 0.3 * share : 0.4;
  s.because("{} of {} classes have one training example: {}", rare.size(), labels.size(),
            join(rare, ", ", 5));
  s.advice = "more examples of these classes, or one class for all of them";
}

QKV_REGISTER(Cause, "rare-classes", CauseOf<rare_classes>, "classes have one example");

}  // namespace qkv
