// What the trained model says of the examples it was not trained on.
#include <algorithm>

#include "inspect/mistakes.h"
#include "qkv/base/json.h"
#include "report/parts.h"

namespace qkv {

Json evaluation_json(const Experiment& e, Split split, std::size_t most, Problems& problems) {
  const std::optional<ClassAnswers> answers = class_answers(e, split);
  if (!answers) return nullptr;
  if (answers->examples < answers->all)
    problems.push_back(
        fmt::format("evaluation: shows the first {} of {} examples", answers->examples, answers->all));
  const Confusion& c = answers->confusion;
  Json classes = Json::array(), matrix = Json::array(), mistakes = Json::array();
  for (int g = 0; g < c.classes(); g++) {
    classes.push_back({{"label", c.labels()[static_cast<std::size_t>(g)]},
                       {"precision", json_number(c.precision(g))},
                       {"recall", json_number(c.recall(g))},
                       {"f1", json_number(c.f1(g))},
                       {"count", c.gold(g)}});
    Json row = Json::array();
    for (int p = 0; p < c.classes(); p++) row.push_back(c.count(g, p));
    matrix.push_back(std::move(row));
  }
  for (std::size_t i = 0; i < std::min(most, answers->mistakes.size()); i++) {
    const Mistake& one = answers->mistakes[i];
    mistakes.push_back({{"text", one.text},
                        {"label", one.label},
                        {"answer", one.answer},
                        {"probability", json_number(static_cast<float>(one.probability))},
                        {"right", json_number(static_cast<float>(one.right))}});
  }
  return {{"split", name_of(split)},
          {"examples", answers->examples},
          {"labels", c.labels()},
          {"accuracy", json_number(c.accuracy())},
          {"macro_f1", json_number(c.macro_f1())},
          {"classes", std::move(classes)},
          {"confusion", std::move(matrix)},
          {"wrong", answers->mistakes.size()},
          {"mistakes", std::move(mistakes)}};
}

}  // namespace qkv
