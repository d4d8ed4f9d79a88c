// Wall-clock time of the parts of a run.
#pragma once
#include "base/clock.h"

namespace qkv {

/// Adds the seconds of its life.
class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total), start_(steady_seconds()) {}
  ~Stopwatch() { total_ += steady_seconds() - start_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& total_;
  double start_;
};

}  // namespace qkv
