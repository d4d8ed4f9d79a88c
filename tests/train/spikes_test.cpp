#include <doctest/doctest.h>

#include <cmath>

#include "train/run_logger.h"

using namespace qkv;

namespace {

// Losses that fall from 4 to 2 with some noise, gradient norms near 1.
double loss_at(int i) {
  return 2 + 2 * std::exp(-i / 100.0) + 0.1 * std::sin(12.9 * i);
}
double norm_at(int i) {
  return std::exp(0.5 * std::sin(7.7 * i));
}

}  // namespace

TEST_CASE("ordinary losses and gradients are no spikes, high ones are") {
  SpikeState state;
  for (int i = 0; i < 1000; i++) CHECK_FALSE(look_for_spike(state, loss_at(i), norm_at(i), 8));
  SpikeState at = state;
  const Spike loss = look_for_spike(at, 5, 1, 8);
  CHECK(loss.loss);
  CHECK_FALSE(loss.gradient);
  CHECK(loss.usual_loss == doctest::Approx(2).epsilon(0.05));
  const Spike next = look_for_spike(at, 5, 1, 8);  // the first one does not hide the second
  CHECK(next.loss);
  const Spike gradient = look_for_spike(at, 2, 100, 8);
  CHECK(gradient.gradient);
  CHECK(gradient.usual_grad_norm == doctest::Approx(1).epsilon(0.3));
}

TEST_CASE("a run that has learned everything has no spikes from small losses, nor has its beginning") {
  SpikeState state;
  CHECK_FALSE(look_for_spike(state, 1, 1, 8));
  CHECK_FALSE(look_for_spike(state, 100, 100, 8));  // too early to tell
  state = {};
  for (int i = 0; i < 500; i++) {
    const double loss = 0.7 * std::exp(-i / 20.0) + (i % 40 == 0 ? 0.15 : 1e-4);
    CHECK_FALSE(look_for_spike(state, loss, 1.0, 8).loss);
  }
}
