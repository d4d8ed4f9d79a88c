// The range test of the learning rate (Smith 2017): the rate rises exponentially while the model trains.
#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "cli/answers.h"
#include "log/charts.h"
#include "qkv/base/threads.h"
#include "train/train_step.h"

namespace qkv {
namespace {

constexpr double kBeta = 0.95;  // of the running mean of the loss

struct LrRange : Verb {
  void setup(Options& options) override {
    options.add("config", &config, "config file").required = true;
    options.add("--from", &from, "first rate").shows_default = true;
    options.add("--to", &to, "last rate").shows_default = true;
    Option& count = options.add("--steps", &steps, "optimizer steps");
    count.range = {20, 1'000'000};
    count.shows_default = true;
    options.add("--svg", &svg, "write the curve to this file");
    options.add("--set", &sets, "override a key of the config");
    options.add("--json", &json, "print one JSON object");
  }

  int run() override {
    if (!(from > 0 && from < to))
      fail(Fault::usage, "lr-range: --from must be above 0 and below --to; got {:g} and {:g}", from, to);
    const bool finite = train();
    if (rates.size() < 2)
      fail(Fault::diverged, "lr-range: the loss must be finite at first; got {} such steps", rates.size());
    conclude(finite);
    if (!svg.empty()) write_file_atomic(svg, picture());
    const auto known = [](double rate) {
      return rate > 0 ? Json(rate) : Json();
    };
    print_answer(json,
                 {{"rates", rates},
                  {"losses", losses},
                  {"means", means},
                  {"steepest", known(steepest)},
                  {"diverges", known(diverges)},
                  {"suggested", known(suggested)},
                  {"by", by}},
                 text());
    return 0;
  }
  std::string example() const override { return "qkv lr-range configs/bank.toml --svg rates.svg"; }

 private:
  // Fills rates and losses, until the mean is half as much again as at first; false where a loss was not
  // finite.
  bool train() {
    Experiment e = build_experiment(Section::load(config, sets));
    set_threads(static_cast<int>(e.run.threads));
    Training training = prepare_training(e);
    warm_start(training);
    double mean = 0, weight = 0;
    for (std::int64_t i = 0; i < steps; i++) {
      const double rate = from * std::pow(to / from, static_cast<double>(i) / static_cast<double>(steps - 1));
      const StepReport& report = training.one_step->make(i + 1, rate);
      if (!report.finite) return false;
      mean = kBeta * mean + (1 - kBeta) * report.loss, weight = kBeta * weight + 1 - kBeta;
      rates.push_back(rate), losses.push_back(report.loss), means.push_back(mean / weight);
      if (means.back() > 1.5 * means.front()) break;
    }
    return true;
  }

  // The steepest descent before the lowest mean, over a twentieth of the steps; and where half of what was
  // gained there is lost again. The lower of the one and a tenth of the other is suggested.
  void conclude(bool finite) {
    const auto span = static_cast<std::ptrdiff_t>(std::max<std::size_t>(1, rates.size() / 20));
    const auto begin = means.begin(), lowest = std::min_element(begin, means.end());
    const auto rate_at = [&](auto at) {
      return rates[static_cast<std::size_t>(at - begin)];
    };
    double most = 0;
    for (auto at = begin; lowest - at >= span; ++at)
      if (const double fall = at[0] - at[span]; fall > most) most = fall, steepest = rate_at(at + span / 2);
    const double half = (*begin + *lowest) / 2;
    const auto lost = std::find_if(lowest, means.end(), [&](double loss) { return loss > half; });
    diverges = lost != means.end() ? rate_at(lost) : finite ? 0 : rates.back();
    const bool is_tenth = steepest > 0 && diverges > 0 && diverges / 10 < steepest;
    suggested = is_tenth ? diverges / 10 : steepest;
    by = suggested == 0 ? "the loss does not fall"
         : is_tenth     ? "a tenth of the rate at which the loss diverges"
                        : "steepest descent of the loss";
  }

  std::string picture() const {
    LineChart chart{"training loss by learning rate", "learning rate", "training loss"};
    chart.curves = {{"each step", rates, losses}, {"running mean", rates, means}};
    chart.colours = {"c7", "accent"};
    chart.log_x = chart.fit_last = true;
    for (auto [name, rate, colour] :
         {std::tuple{"diverges", diverges, "bad"}, {"suggested", suggested, "good"}})
      if (rate >= rates.front()) chart.marks.push_back({fmt::format("{} {:.2g}", name, rate), rate, colour});
    return line_chart(chart).str();
  }

  std::string text() const {
    Curve curve{"running mean of the training loss", {}, means};
    for (double rate : rates) curve.x.push_back(std::log10(rate));
    PlotOptions o;
    o.x_label = "log10 of the rate";
    o.unicode = console().unicode(), o.color = console().out_color();
    const auto line = [](const char* what, double rate, const std::string& more = "") {
      return fmt::format("{:17} {}{}\n", what, rate > 0 ? fmt::format("{:.2g}", rate) : "none", more);
    };
    return plot({curve}, o) + line("steepest descent", steepest) + line("diverges", diverges) +
           line("suggested", suggested, ": " + by);
  }

  std::string config, svg, by;
  std::vector<std::string> sets;
  double from = 1e-6, to = 1;
  std::int64_t steps = 200;
  bool json = false;
  std::vector<double> rates, losses, means;
  double steepest = 0, diverges = 0, suggested = 0;  // rates; 0: none
};

QKV_REGISTER(Verb, "lr-range", LrRange, "train while the learning rate rises, and suggest one");

}  // namespace
}  // namespace qkv
