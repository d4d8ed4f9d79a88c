#include "qkv/autograd/gradcheck.h"

#include <algorithm>

#include "log/table.h"
#include "log/terminal_text.h"
#include "qkv/base/json.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"

namespace qkv {
namespace {

// All cases of one op.
struct OpResult {
  std::string op, worst;  // worst: label of the case with the largest error
  std::size_t cases = 0;
  Index elements = 0;
  double error = 0.0;
  bool passed() const { return error <= GradSuite::kBound; }
};

OpResult summary(const Op& op) {
  OpResult result;
  result.op = op.name;
  for (const GradResult& one : run_gradcheck(op)) {
    if (result.cases == 0 || one.max_relative_error > result.error) result.worst = one.label;
    result.error = std::max(result.error, one.max_relative_error);
    result.elements += one.elements;
    result.cases++;
  }
  return result;
}

struct Gradcheck : Verb {
  void setup(Options& options) override {
    options.add("op", &names, "ops; default: all");
    options.add("--json", &json, "print one JSON object");
  }
  int run() override {
    std::vector<std::string> known;
    for (const Op* op : registered_ops()) known.push_back(op->name);
    for (const std::string& name : names)
      if (!std::count(known.begin(), known.end(), name))
        fail(Fault::usage, "gradcheck: unknown op '{}'{}", name, suggest(name, known));
    std::vector<OpResult> results;
    for (const Op* op : registered_ops())
      if (names.empty() || std::count(names.begin(), names.end(), op->name)) results.push_back(summary(*op));
    console().print("{}", json ? object(results) : table(results));
    return std::all_of(results.begin(), results.end(), [](const OpResult& r) { return r.passed(); }) ? 0 : 1;
  }
  std::string example() const override { return "qkv gradcheck softmax layer_norm"; }

  static std::string object(const std::vector<OpResult>& results) {
    Json ops = Json::array();
    for (const OpResult& r : results)
      ops.push_back({{"op", r.op},
                     {"cases", r.cases},
                     {"elements", r.elements},
                     {"max_relative_error", json_number(r.error)},
                     {"worst_case", r.worst},
                     {"passed", r.passed()}});
    return dump_json({{"bound", GradSuite::kBound}, {"ops", ops}}) + "\n";
  }
  static std::string table(const std::vector<OpResult>& results) {
    Table table({"op", "cases", "elements", "max relative error", "bound", "result"});
    std::size_t passed = 0;
    for (const OpResult& r : results) {
      passed += r.passed();
      table.row(
          {r.op, std::to_string(r.cases), std::to_string(r.elements), fmt::format("{:.1e}", r.error),
           fmt::format("{:.0e}", GradSuite::kBound),
           r.passed() ? styled(Style::green, "PASS") : styled(Style::red, "FAIL") + " (" + r.worst + ")"});
    }
    return table.str(console().unicode()) +
           fmt::format("{} of {} ops pass: analytic against central differences in f64\n", passed,
                       results.size());
  }

  std::vector<std::string> names;
  bool json = false;
};

QKV_REGISTER(Verb, "gradcheck", Gradcheck, "compare the gradients of ops with central differences");

}  // namespace
}  // namespace qkv
