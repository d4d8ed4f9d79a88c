#include "qkv/nn/recurrent.h"

#include <doctest/doctest.h>

#include <cmath>

#include "nn/layer_check.h"

using namespace qkv;
using namespace qkv::test;

TEST_CASE("a recurrent layer names its parameters, and starts them as the header says") {
  ParameterStore store(1, Dtype::f64);
  const Recurrent lstm(Scope(store) / "a", "lstm", 3, 4, true);
  CHECK(names(store) == std::vector<std::string>{"a.W_ih", "a.W_hh", "a.b_ih", "a.W_ih_reverse",
                                                 "a.W_hh_reverse", "a.b_ih_reverse"});
  CHECK(named(store, "a.W_ih").shape() == Shape{16, 3});
  CHECK(lstm.out_width() == 8);
  const Tensor bias = named(store, "a.b_ih");
  for (Index i = 0; i < 16; i++) {
    if (i >= 4 && i < 8)
      CHECK(bias.at(i) == 1.0);
    else
      CHECK(std::abs(bias.at(i)) <= 0.5);
  }
  ParameterStore other(1, Dtype::f64);
  const Recurrent gru(Scope(other) / "b", "gru", 3, 4);
  CHECK(names(other) == std::vector<std::string>{"b.W_ih", "b.W_hh", "b.b_ih", "b.b_hh"});
  CHECK(gru.out_width() == 4);
  CHECK(message([&] {
          Recurrent(Scope(other) / "c", "lst", 3, 4);
        }).find("cell must be rnn, lstm or gru; got 'lst'") != std::string::npos);
}

TEST_CASE("gradients of recurrent layers, in both directions") {
  const Tensor x = normal({2, 3, 3}, Dtype::f64),
               lengths = Tensor::from({2}, std::vector<std::int32_t>{3, 2});
  for (const char* cell : {"rnn", "lstm", "gru"})
    for (const bool both : {false, true}) {
      CAPTURE(std::string(cell));
      ParameterStore store(1, Dtype::f64);
      const Recurrent layer(Scope(store), cell, 3, 2, both);
      randomize(store);
      CHECK(layer(x, lengths).shape() == Shape{2, 3, both ? 4 : 2});
      CHECK(gradient_error(store, [&] { return layer(x, lengths); }) < 1e-6);
    }
}
