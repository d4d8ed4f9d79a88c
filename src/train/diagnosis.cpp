#include "train/diagnosis.h"

#include <cmath>

#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {

constexpr std::size_t kShown = 3;

static std::string quoted(const std::vector<std::string>& names) {
  return fmt::format("parameter{} '{}'", names.size() > 1 ? "s" : "", join(names, "', '"));
}

std::string Diagnosis::example_list() const {
  std::string text;
  for (std::size_t i = 0; i < examples.size() && i < kShown; i++)
    text += (i ? ", " : "") + std::to_string(examples[i].number);
  if (examples.size() > kShown) text += fmt::format(" and {} more", examples.size() - kShown);
  return text;
}

std::string Diagnosis::summary() const {
  if (finite()) return "all values are finite";
  std::string text = value;
  if (pass == "reduce")
    text += " where gradients are added up";
  else if (pass == "update")
    text += " after the update of the optimizer";
  else
    text += fmt::format(" from op '{}' ({}{}{})", source.op, pass, source.layer.empty() ? "" : ", ",
                        source.layer);
  if (!parameters.empty()) text += ", " + quoted(parameters);
  if (!examples.empty() && examples.size() == batch && batch > 1) return text + ", every example";
  if (!examples.empty()) text += ", training example " + example_list();
  return text;
}

std::string Diagnosis::text() const {
  // fabs: none is negative, but for the sign that a NaN happens to have.
  std::string out = fmt::format("step {}: loss {:.6g}, gradient norm {:.6g}\n", step, std::fabs(loss),
                                std::fabs(grad_norm));
  for (const std::string& line : checked_from) out += "  " + line + "\n";
  if (finite()) {
    out += "  every value is finite, forward and backward\n";
    if (!parameters.empty())
      out += fmt::format("  largest gradient: {} in op '{}'{}, {}\n", quoted(parameters), source.op,
                         source.layer.empty() ? "" : " of " + source.layer, where);
    out += "  examples with the largest gradients:\n";
  } else {
    out += fmt::format("  first value that is not finite: {}\n", summary());
    out += fmt::format("    {}\n", where);
    for (const std::string& input : inputs) out += "    " + input + "\n";
    if (examples.empty()) out += "  no single example causes it\n";
  }
  for (std::size_t i = 0; i < examples.size() && i < (finite() ? 2 : 1) * kShown; i++) {
    const Example& e = examples[i];
    out += fmt::format("    example {}: loss {:.4g}, gradient norm {:.4g}{}{}\n", e.number, std::fabs(e.loss),
                       std::fabs(e.grad_norm), e.text.empty() ? "" : "  ", e.text);
  }
  return out;
}

Json Diagnosis::json() const {
  Json list = Json::array();
  for (const Example& e : examples)
    list.push_back({{"example", e.number},
                    {"text", e.text},
                    {"loss", json_number(e.loss)},
                    {"grad_norm", json_number(e.grad_norm)}});
  return {{"step", step},
          {"finite", finite()},
          {"loss", json_number(loss)},
          {"grad_norm", json_number(grad_norm)},
          {"pass", pass},
          {"op", source.op},
          {"layer", source.layer},
          {"value", value},
          {"where", where},
          {"inputs", inputs},
          {"parameters", parameters},
          {"examples", list},
          {"replayed", checked_from}};
}

}  // namespace qkv
