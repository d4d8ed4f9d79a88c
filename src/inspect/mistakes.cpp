#include "inspect/mistakes.h"

#include <algorithm>
#include <limits>

#include "model/finite.h"
#include "qkv/base/threads.h"
#include "qkv/ops/reduce.h"

namespace qkv {

// Probabilities [n, classes] of all texts.
static Tensor predict(const Experiment& e, const std::vector<ProbeText>& texts, Index classes) {
  constexpr Index kBatch = 50;
  const Index n = static_cast<Index>(texts.size());
  Tensor all = Tensor::empty({n, classes});
  pool().run(static_cast<int>((n + kBatch - 1) / kBatch), [&](int i, int) {
    const Index begin = i * kBatch, size = std::min(kBatch, n - begin);
    const Batch batch = e.task->probe_batch(&texts[static_cast<std::size_t>(begin)], size);
    all.rows(begin, size).copy_from(softmax(finite_forward(*e.model, batch)).value().to(Dtype::f32));
  });
  return all;
}

std::optional<ClassAnswers> class_answers(const Experiment& e, Split split) {
  const std::vector<std::string> labels = e.task->classes();
  const Index classes = static_cast<Index>(labels.size());
  if (classes == 0) return std::nullopt;
  std::vector<ProbeText> texts = e.task->probe_examples(split, std::numeric_limits<int>::max());
  if (texts.empty()) return std::nullopt;
  ClassAnswers result;
  result.all = texts.size();
  texts.resize(std::min(texts.size(), ClassAnswers::kMaxExamples));
  result.examples = texts.size();
  result.confusion = Confusion(labels);
  const Tensor p = predict(e, texts, classes);
  for (std::size_t i = 0; i < texts.size(); i++) {
    const float* row = p.data<float>() + static_cast<Index>(i) * classes;
    const int answer = static_cast<int>(std::max_element(row, row + classes) - row), label = texts[i].label;
    result.confusion.add(label, answer);
    if (answer != label) result.mistakes.push_back({texts[i].text, label, answer, row[answer], row[label]});
  }
  std::stable_sort(result.mistakes.begin(), result.mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.probability > b.probability; });
  return result;
}

}  // namespace qkv
