// Claims and gradient checks: numbers with their bounds.
#include <algorithm>

#include "claims/claim.h"
#include "cli/answers.h"
#include "log/terminal_text.h"
#include "qkv/autograd/gradcheck.h"

namespace qkv {
namespace {

std::string verdict_text(bool passed) {
  return passed ? styled(Style::green, "PASS") : styled(Style::red, "FAIL");
}

// The claim, then what was measured, each number beside its bound.
std::string text_of(const Verdict& verdict) {
  const int columns = std::max(60, console().out_width()), width = std::min(66, columns - 28);
  std::string text = paragraph(verdict_text(verdict.passed) + "  ",
                               styled(Style::bold, verdict.claim) + ": " + verdict.statement, columns);
  for (const Finding& one : verdict.findings) {
    std::vector<std::string> lines = wrapped(one.what, width);
    const std::string last = lines.back();
    lines.pop_back();
    for (const std::string& line : lines) text += "      " + line + "\n";
    text += fmt::format("      {} {:>11.5g}  {:>2} {:.5g}{}\n", pad_right(last, width), one.value,
                        sign_of(one.relation), one.bound, one.passed() ? "" : "  " + verdict_text(false));
  }
  return text;
}

Json json_of(const Verdict& verdict) {
  Json findings = Json::array();
  for (const Finding& one : verdict.findings)
    findings.push_back({{"what", one.what},
                        {"value", json_number(one.value)},
                        {"relation", sign_of(one.relation)},
                        {"bound", one.bound},
                        {"passed", one.passed()}});
  return {{"claim", verdict.claim},
          {"statement", verdict.statement},
          {"passed", verdict.passed},
          {"seconds", json_number(verdict.seconds)},
          {"findings", findings}};
}

struct Claims : Verb {
  void setup(Options& options) override {
    options.add("claim,--only", &names, "claims; default: all");
    options.add("--seed", &seed, "seed of everything random");
    options.add("--json", &json, "print one JSON object");
  }
  int run() override {
    for (const std::string& name : names)
      if (!Registry<Claim>::instance().contains(name)) {
        const std::string hint = suggest(name, Registry<Claim>::instance().names());
        fail(Fault::usage, "claims: unknown claim {}{}", in_quotes(name),
             hint.empty() ? " (see qkv list claims)" : hint);
      }
    std::size_t passed = 0;
    double seconds = 0;
    Json list = Json::array();
    check_claims(names.empty() ? claim_names() : names, seed, [&](const Verdict& one) {
      if (!json) console().print("{}", text_of(one));
      passed += one.passed, seconds += one.seconds;
      list.push_back(json_of(one));
    });
    const bool all = passed == list.size();
    print_answer(
        json, {{"seed", seed}, {"passed", all}, {"claims", list}},
        fmt::format("{} of {} claims pass with seed {}, in {:.1f} s\n", passed, list.size(), seed, seconds));
    return all ? 0 : 1;
  }
  std::string example() const override { return "qkv claims bank-grows-money scaled-scores"; }

  std::vector<std::string> names;
  std::uint64_t seed = 1;
  bool json = false;
};

QKV_REGISTER(Verb, "claims", Claims, "check statements about attention: numbers with their bounds");

// ---- gradcheck

// All cases of one op; the worst is that with the largest error.
Json summary(const Op& op) {
  std::string worst;
  Index cases = 0, elements = 0;
  double error = 0;
  for (const GradResult& one : run_gradcheck(op)) {
    if (cases == 0 || one.max_relative_error > error) worst = one.label;
    error = std::max(error, one.max_relative_error);
    elements += one.elements;
    cases++;
  }
  return {{"op", op.name},        {"cases", cases},
          {"elements", elements}, {"max_relative_error", json_number(error)},
          {"worst_case", worst},  {"passed", error <= GradSuite::kBound}};
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
    Json ops = Json::array();
    for (const Op* op : registered_ops())
      if (names.empty() || std::count(names.begin(), names.end(), op->name)) ops.push_back(summary(*op));
    const auto passed =
        std::count_if(ops.begin(), ops.end(), [](const Json& op) { return op["passed"] == true; });
    const auto all = static_cast<std::ptrdiff_t>(ops.size());
    print_answer(json, {{"bound", GradSuite::kBound}, {"ops", ops}},
                 fmt::format("{}{} of {} ops pass: analytic against central differences in f64\n", table(ops),
                             passed, all));
    return passed == all ? 0 : 1;
  }
  std::string example() const override { return "qkv gradcheck softmax layer_norm"; }

  static std::string table(Json ops) {
    for (Json& op : ops) {
      op["bound"] = GradSuite::kBound;
      const bool passed = op["passed"].get<bool>();
      op["result"] = verdict_text(passed) + (passed ? "" : " (" + op["worst_case"].get<std::string>() + ")");
    }
    return table_text(
        ops, "op | cases | elements | max relative error=max_relative_error:.1e | bound:.0e | result");
  }

  std::vector<std::string> names;
  bool json = false;
};

QKV_REGISTER(Verb, "gradcheck", Gradcheck, "compare the gradients of ops with central differences");

}  // namespace
}  // namespace qkv
