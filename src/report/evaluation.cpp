// What the trained model says of the examples it was not trained on.
#include <algorithm>
#include <limits>
#include <numeric>

#include "model/finite.h"
#include "qkv/base/json.h"
#include "qkv/base/threads.h"
#include "qkv/ops/softmax.h"
#include "report/parts.h"

namespace qkv {
namespace {

constexpr std::size_t kExamples = 5000;
constexpr Index kBatch = 50;

// Probabilities [n, classes] of all texts.
Tensor predict(const Experiment& e, const std::vector<ProbeText>& texts, Index classes) {
  const Index n = static_cast<Index>(texts.size());
  Tensor all = Tensor::empty({n, classes});
  pool().run(static_cast<int>((n + kBatch - 1) / kBatch), [&](int i, int) {
    const Index begin = i * kBatch, size = std::min(kBatch, n - begin);
    const Batch batch = e.task->probe_batch(&texts[static_cast<std::size_t>(begin)], size);
    const Tensor p = softmax(finite_forward(*e.model, batch)).value();
    for (Index k = 0; k < p.size(); k++) all.data<float>()[begin * classes + k] = static_cast<float>(p.at(k));
  });
  return all;
}

Json classes_json(const Confusion& c) {
  Json list = Json::array();
  for (int g = 0; g < c.classes(); g++)
    list.push_back({{"label", c.labels()[static_cast<std::size_t>(g)]},
                    {"precision", json_number(c.precision(g))},
                    {"recall", json_number(c.recall(g))},
                    {"f1", json_number(c.f1(g))},
                    {"count", c.gold(g)}});
  return list;
}

}  // namespace

Json evaluation_json(Experiment& e, Split split, std::size_t most, Problems& problems) {
  const std::vector<std::string> labels = e.task->classes();
  const Index classes = static_cast<Index>(labels.size());
  if (classes == 0) return nullptr;
  std::vector<ProbeText> texts = e.task->probe_examples(split, std::numeric_limits<int>::max());
  if (texts.empty()) return nullptr;
  if (texts.size() > kExamples) {
    problems.push_back(fmt::format("evaluation: shows the first {} of {} examples", kExamples, texts.size()));
    texts.resize(kExamples);
  }
  const Tensor p = predict(e, texts, classes);
  Confusion confusion(labels);
  std::vector<int> answer, wrong;
  for (std::size_t i = 0; i < texts.size(); i++) {
    const float* row = p.data<float>() + static_cast<Index>(i) * classes;
    answer.push_back(static_cast<int>(std::max_element(row, row + classes) - row));
    confusion.add(texts[i].label, answer.back());
    if (answer.back() != texts[i].label) wrong.push_back(static_cast<int>(i));
  }
  auto sureness = [&](int i) {
    return p.at(i * classes + answer[static_cast<std::size_t>(i)]);
  };
  std::stable_sort(wrong.begin(), wrong.end(), [&](int a, int b) { return sureness(a) > sureness(b); });
  Json matrix = Json::array(), mistakes = Json::array();
  for (int g = 0; g < confusion.classes(); g++) {
    Json row = Json::array();
    for (int c = 0; c < confusion.classes(); c++) row.push_back(confusion.count(g, c));
    matrix.push_back(std::move(row));
  }
  const std::size_t count = wrong.size();
  wrong.resize(std::min(count, most));
  for (int i : wrong)
    mistakes.push_back({{"text", texts[static_cast<std::size_t>(i)].text},
                        {"label", texts[static_cast<std::size_t>(i)].label},
                        {"answer", answer[static_cast<std::size_t>(i)]},
                        {"probability", json_number(static_cast<float>(sureness(i)))},
                        {"right", json_number(static_cast<float>(
                                      p.at(i * classes + texts[static_cast<std::size_t>(i)].label)))}});
  return {{"split", name_of(split)},
          {"examples", texts.size()},
          {"labels", labels},
          {"accuracy", json_number(confusion.accuracy())},
          {"macro_f1", json_number(confusion.macro_f1())},
          {"classes", classes_json(confusion)},
          {"confusion", std::move(matrix)},
          {"wrong", count},
          {"mistakes", std::move(mistakes)}};
}

}  // namespace qkv
