#include "serve/malformed.h"

namespace qkv::test {

TEST_CASE("hundreds of malformed requests leave the server running") {
  check_survives(400, 1);
}

TEST_CASE("connections that say nothing, and more than there may be, hold nobody up") {
  TemporaryFolder folder;
  const Served server(Served::of(folder.path));
  std::vector<int> silent;
  for (int i = 0; i < 40; i++) {
    silent.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(server.serve->port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(silent.back(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
    CHECK(::send(silent.back(), "GET /", 5, MSG_NOSIGNAL) == 5);
  }
  CHECK(server.get("/api/runs").status == 200);
  for (const int socket : silent) ::close(socket);
  CHECK(server.get("/api/runs").status == 200);
}

}  // namespace qkv::test
