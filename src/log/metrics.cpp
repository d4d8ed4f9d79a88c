#include "qkv/log/metrics.h"

#include "qkv/base/error.h"

namespace qkv {

Record& Record::reset(std::string_view type) {
  type_.assign(type);
  size_ = 0;
  return *this;
}

MetricValue& Record::append(std::string_view name) {
  if (has(name))
    fail(Fault::runtime, "record: a name must be given once; got '{}' twice in '{}'", name, type_);
  if (size_ == metrics_.size()) metrics_.emplace_back();
  Metric& metric = metrics_[size_++];
  metric.name.assign(name);
  return metric.value;
}

void Record::set_text(MetricValue& slot, std::string_view text) {
  if (auto* old = std::get_if<std::string>(&slot)) {
    old->assign(text);
  } else {
    slot = std::string(text);
  }
}

const MetricValue* Record::find(std::string_view name) const {
  for (const Metric& metric : *this)
    if (metric.name == name) return &metric.value;
  return nullptr;
}

double Record::number(std::string_view name, double otherwise) const {
  const MetricValue* value = find(name);
  double number = otherwise;
  if (value != nullptr) is_number(*value, &number);
  return number;
}

std::int64_t Record::integer(std::string_view name, std::int64_t otherwise) const {
  const MetricValue* value = find(name);
  const auto* integer = value == nullptr ? nullptr : std::get_if<std::int64_t>(value);
  return integer == nullptr ? otherwise : *integer;
}

std::string_view Record::text(std::string_view name) const {
  const MetricValue* value = find(name);
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string>(value);
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

bool Record::flag(std::string_view name) const {
  const MetricValue* value = find(name);
  const auto* flag = value == nullptr ? nullptr : std::get_if<bool>(value);
  return flag != nullptr && *flag;
}

bool is_number(const MetricValue& value, double* number) {
  return std::visit(
      [number](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, bool>) {
          return false;
        } else {
          if (number != nullptr) *number = static_cast<double>(v);
          return true;
        }
      },
      value);
}

}  // namespace qkv
