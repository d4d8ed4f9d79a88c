#include "serve/malformed.h"

namespace qkv::test {

TEST_CASE("10,000 malformed requests leave the server running") {
  check_survives(10000, 1000);
}

}  // namespace qkv::test
