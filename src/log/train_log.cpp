#include "log/train_log.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "log/number_text.h"
#include "log/record_keys.h"
#include "log/terminal_text.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr double kShowSeconds = 30;

// Lines of the header: a label, then keys of the record and how their values read.
struct HeaderRow {
  const char* label;
  std::vector<std::pair<std::string_view, const char*>> items;
};
const HeaderRow kHeader[] = {
    {"model",
     {{key::model, "{}"},
      {key::parameters, "{} parameters"},
      {key::trained_parameters, "{} trained"},
      {key::dtype, "{}"}}},
    {"data",
     {{key::train_examples, "train {}"},
      {key::val_examples, "val {}"},
      {key::test_examples, "test {}"},
      {key::vocab_size, "vocabulary {}"}}},
    {"train",
     {{key::max_steps, "{} steps"},
      {key::batch_size, "batch {}"},
      {key::optimizer, "{}"},
      {key::metric, "best by {}"}}},
    {"machine", {{key::threads, "{} threads"}, {key::shards, "{} shards"}, {key::seed, "seed {}"}}},
    {"results", {{key::run_dir, "{}"}}}};

std::string value_text(const MetricValue& value) {
  if (auto* text = std::get_if<std::string>(&value)) return *text;
  if (auto* flag = std::get_if<bool>(&value)) return *flag ? "yes" : "no";
  if (auto* integer = std::get_if<std::int64_t>(&value)) return grouped(*integer);
  double number = 0;
  is_number(value, &number);
  return metric_text(number);
}

// "  loss 0.6123"; what is not finite is red.
std::string column(std::string_view name, double value) {
  std::string text = pad_left(metric_text(value), 6);
  if (!std::isfinite(value)) text = styled(Style::red, text);
  return fmt::format("  {} {}", name, text);
}

// Two decimals are enough to see clipping and spikes.
std::string grad_column(double norm) {
  return norm >= 0.01 && norm < 1000 ? fmt::format("  grad {:6.2f}", norm) : column("grad", norm);
}

// All numbers and texts but the known ones.
std::string other_columns(const Record& record, std::initializer_list<std::string_view> known = {}) {
  std::string result;
  for (const auto& [name, value] : record) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    double number = 0;
    const bool real = is_number(value, &number) && !std::holds_alternative<std::int64_t>(value);
    result += real ? column(name, number) : fmt::format("  {} {}", name, value_text(value));
  }
  return result;
}

// For a terminal: without the last columns that would make it two lines. The file and the bar have them.
std::string fitting(std::vector<std::string> columns, const Console& console) {
  while (console.live() && columns.size() > 3 && visible_width(join(columns, "")) > console.width())
    columns.pop_back();
  return join(columns, "");
}

}  // namespace

void ConsoleSink::write(const Record& record) {
  if (record.type() == "start") return start(record);
  if (record.type() == "train") return train(record);
  if (record.type() == "eval") return eval(record);
  if (record.type() == "end") return end(record);
  if (record.type() == "norms" || record.type() == "sample" || record.type() == "circuits")
    return;  // too long to be read
  const bool warning = record.type() == "spike" || record.type() == "nonfinite";
  const std::string line = record.type() + other_columns(record);
  warning ? console_.warn("{}", line) : console_.info("{}", line);
}

void ConsoleSink::start(const Record& record) {
  metric_ = record.has(key::metric) ? record.text(key::metric) : "loss";
  run_dir_ = record.text(key::run_dir);
  max_steps_ = record.integer(key::max_steps);
  first_step_ = record.integer(key::resumed_from);
  first_time_ = record.number(key::time_s, 0);
  prefix_width_ = visible_width(train_prefix(Record("train", 0).add(key::epoch, 0)));

  std::string title = "qkv";
  for (const std::string_view key : {key::version, key::name, key::task})
    if (record.has(key)) title += (key == key::version ? " " : "  ") + value_text(*record.find(key));
  console_.info("{}", styled(Style::bold, title));
  for (const HeaderRow& row : kHeader) {
    std::vector<std::string> items;
    for (const auto& [key, format] : row.items)
      if (const MetricValue* value = record.find(key)) {
        const bool plain = key == key::seed;  // without commas
        items.push_back(fmt::format(fmt::runtime(format),
                                    plain ? std::to_string(record.integer(key)) : value_text(*value)));
      }
    if (!items.empty()) console_.info("  {}  {}", pad_right(row.label, 7), join(items, ", "));
  }
  if (record.has(key::resumed_from)) console_.info("resumed at step {}", first_step_);

  progress_ = std::make_unique<Progress>("train", first_step_, max_steps_, console_);
}

std::string ConsoleSink::train_prefix(const Record& record) const {
  const std::string total = max_steps_ > 0 ? fmt::format("/{}", max_steps_) : "";
  const std::size_t width = total.empty() ? 6 : total.size() - 1;
  std::string prefix = fmt::format("step {:>{}}{}", record.step(), width, total);
  if (record.has(key::epoch)) prefix += fmt::format("  epoch {:4.1f}", record.number(key::epoch));
  return prefix;
}

// The mean speed so far, which includes evaluations and checkpoints; a resumed run counts from where it went
// on.
std::string ConsoleSink::eta(const Record& record) const {
  const double seconds = record.number(key::time_s, 0) - first_time_;
  const std::int64_t steps = record.step() - first_step_, left = max_steps_ - record.step();
  if (seconds <= 0 || steps <= 0 || left <= 0) return {};
  return "  eta " + clock_text(double(left) * seconds / double(steps));
}

void ConsoleSink::train(const Record& record) {
  std::vector<std::string> columns{train_prefix(record)};
  prefix_width_ = visible_width(columns[0]);
  if (record.has(key::loss)) columns.push_back(column("loss", record.number(key::loss)));
  columns.push_back(other_columns(record, {key::step, key::epoch, key::loss, key::lr, key::grad_norm,
                                           key::tokens, key::tokens_per_s, key::step_ms, key::time_s}));
  if (record.has(key::lr)) columns.push_back(fmt::format("  lr {:.2e}", record.number(key::lr)));
  if (record.has(key::grad_norm)) columns.push_back(grad_column(record.number(key::grad_norm)));
  if (record.has(key::tokens_per_s))
    columns.push_back(fmt::format("  {:>6} tok/s", short_count(record.number(key::tokens_per_s))));
  columns.push_back(eta(record));

  console_.file_message(join(columns, ""));
  pending_ = fitting(columns, console_);
  const double time = record.number(key::time_s, 0);
  if (!shown_at_ || time - *shown_at_ >= kShowSeconds || console_.enabled(Level::debug)) {
    show_pending();
    shown_at_ = time;
  }
  train_postfix_ = "loss " + metric_text(record.number(key::loss));
  if (record.has(key::lr)) train_postfix_ += fmt::format(" lr {:.1e}", record.number(key::lr));
  update_postfix();
}

void ConsoleSink::eval(const Record& record) {
  show_pending();
  const std::string split(record.text(key::split));
  std::vector<std::string> columns{
      pad_right(fmt::format("eval  {}  step {}", split, record.step()), prefix_width_)};
  if (record.has(key::loss)) columns.push_back(column("loss", record.number(key::loss)));
  columns.push_back(
      other_columns(record, {key::split, key::step, key::epoch, key::loss, key::best, key::time_s}));
  const double value = record.number(metric_);
  if (record.flag(key::best)) {
    best_step_ = record.step();
    best_value_ = value;
    columns.push_back("  " + styled(Style::green, "* best"));
  } else if (best_step_ >= 0) {
    columns.push_back("  " + styled(Style::dim, fmt::format("(best: step {})", best_step_)));
  }
  eval_postfix_ = fmt::format("{} {} {}", split, metric_, metric_text(value));
  update_postfix();
  console_.file_message(join(columns, ""));
  console_.terminal_message(fitting(columns, console_));
}

void ConsoleSink::end(const Record& record) {
  show_pending();
  progress_.reset();
  const std::string_view reason = record.text(key::reason);
  const std::string at =
      fmt::format("step {}{}", record.step(), max_steps_ > 0 ? fmt::format("/{}", max_steps_) : "");
  const double seconds = record.number(key::time_s, -1);
  const std::string time = seconds >= 0 ? ", " + clock_text(seconds) : "";
  const double tokens = record.number(key::tokens, 0);
  const std::string amount =
      tokens > 0 && seconds > 0
          ? fmt::format(", {} tokens, {} tok/s", short_count(tokens), short_count(tokens / seconds))
          : "";

  if (reason == "diverged")
    console_.warn("diverged at {}{}: the loss or a gradient is not finite", at, time);
  else if (reason == "interrupted")
    console_.warn("interrupted at {}{}{}", at, time, amount);
  else
    console_.info("{} at {}{}{}", reason == "early_stop" ? "stopped early" : "finished", at, time, amount);
  if (reason == "interrupted" && !run_dir_.empty()) console_.info("continue with: qkv resume {}", run_dir_);
  const std::int64_t best_step = record.integer(key::best_step, best_step_);
  if (best_step >= 0) {
    const double best = record.number(key::best_value, best_value_);
    console_.info("  best     {}", styled(Style::green, fmt::format("{} {} at step {}", metric_,
                                                                    metric_text(best), best_step)));
  }
  if (record.has(key::checkpoint)) console_.info("  weights  {}", record.text(key::checkpoint));
  if (!run_dir_.empty()) console_.info("  results  {}", run_dir_);
}

void ConsoleSink::show_pending() {
  if (!pending_.empty()) console_.terminal_message(pending_);
  pending_.clear();
}

void ConsoleSink::update_postfix() {
  const bool both = !train_postfix_.empty() && !eval_postfix_.empty();
  if (progress_) progress_->postfix(train_postfix_ + (both ? " | " : "") + eval_postfix_);
}

}  // namespace qkv
