#include <doctest/doctest.h>

#include "qkv/autograd/capture.h"
#include "tensors.h"

using namespace qkv;

TEST_CASE("an intervention changes what passes while it lives; the innermost acts last") {
  const Var x = Tensor::full({2}, 1.0);
  CHECK_FALSE(Intervention::current());
  CHECK(test::share_buffer(Intervention::apply("layer", "qkv", x).value(), x.value()));
  {
    std::vector<std::string> names;
    const Intervention outer([&](const std::string& name, const Var&) {
      names.push_back(name);
      return Var(Tensor::full({2}, 2.0));
    });
    CHECK(Intervention::apply("layer", "qkv", x).value().at(0) == 2.0);
    {
      const Intervention inner([](const std::string&, const Var&) { return Var(Tensor::full({2}, 3.0)); });
      CHECK(Intervention::apply("", "static", x).value().at(0) == 3.0);
    }
    CHECK(Intervention::apply("", "static", x).value().at(0) == 2.0);
    CHECK(Intervention::apply("", "static", Tensor::symbolic({2})).is_symbolic());
    CHECK(names == std::vector<std::string>{"layer.qkv", "static", "static"});
  }
  CHECK_FALSE(Intervention::current());
}
