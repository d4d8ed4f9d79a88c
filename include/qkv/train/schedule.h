// Learning-rate schedules.
#pragma once
#include <memory>

#include "qkv/base/config.h"
#include "qkv/base/registry.h"

namespace qkv {

/// The learning rate as a function of the step.
struct Schedule {
  static constexpr const char* kDefault = "constant";  ///< [schedule] type
  /// `config`: the [schedule] table; `lr`: the peak; `steps`: of the whole run.
  using Factory = std::unique_ptr<Schedule>(const Section& config, double lr, std::int64_t steps);
  virtual ~Schedule() = default;
  /// Of optimizer step 1, 2, ...
  virtual double rate(std::int64_t step) const = 0;
};

QKV_DECLARE_REGISTRY(Schedule);

std::unique_ptr<Schedule> make_schedule(const Section& config, double lr, std::int64_t steps);

}  // namespace qkv
