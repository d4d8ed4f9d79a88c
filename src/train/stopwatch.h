// Wall-clock time of the parts of a run.
#pragma once
#include <chrono>

namespace qkv {

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Adds the seconds of its life.
class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total), start_(seconds_now()) {}
  ~Stopwatch() { total_ += seconds_now() - start_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& total_;
  double start_;
};

}  // namespace qkv
