// Requests as no browser would send them.
#pragma once
#include "base/file.h"
#include "base/temporary_folder.h"
#include "qkv/base/random.h"
#include "serve/client.h"

namespace qkv::test {

/// A request that is wrong in one of many ways.
inline std::string malformed(std::uint64_t seed, const Client& client, const std::string& token) {
  Stream dice(seed, "malformed");
  const auto up_to = [&](std::uint64_t n) {
    return std::size_t(dice.below(n));
  };
  const auto noise = [&](std::size_t n) {
    std::string text;
    while (text.size() < n) text += char(up_to(256));
    return text;
  };
  const std::string host = client.host(),
                    own = "X-Qkv-Token: " + token + "\r\nContent-Type: application/json\r\n";
  const char* paths[] = {"/",
                         "/api/runs",
                         "/api/curves?run=run",
                         "/api/run?run=run",
                         "/api/film?run=run",
                         "/report?run=run",
                         "/picture?file=x",
                         "/api/stop",
                         "/api/extend",
                         "/api/answer"};
  const std::string path = paths[up_to(10)];
  std::string whole = "GET " + path + " HTTP/1.1\r\n" + host + "\r\n";
  const std::string body = dump_json({{"run", "run"}, {"max_steps", 5}, {"text", "x"}});
  std::string post =
      fmt::format("POST {} HTTP/1.1\r\n{}{}Content-Length: {}\r\n\r\n{}", path, host, own, body.size(), body);
  std::string& text = up_to(2) ? whole : post;
  switch (up_to(16)) {
    case 0:
      return noise(up_to(3000));
    case 1:
      return text.substr(0, up_to(text.size()));
    case 2:
      return text.insert(up_to(text.size()), noise(1 + up_to(8)));
    case 3:
      return text.erase(up_to(text.size()), 1 + up_to(8));
    case 4:
      text[up_to(text.size())] = char(up_to(256));
      return text;
    case 5:
      return "GET /" + std::string(up_to(20000), "a%/.?&="[up_to(7)]) + " HTTP/1.1\r\n" + host + "\r\n";
    case 6:
      return "GET / HTTP/1.1\r\n" + host + "X: " + std::string(up_to(20000), 'x') + "\r\n\r\n";
    case 7: {
      std::string many = "GET / HTTP/1.1\r\n" + host;
      for (std::size_t i = up_to(3000); i > 0; i--) many += "A: b\r\n";
      return many + "\r\n";
    }
    case 8:
      return "GET /api/runs HTTP/1.1\r\n" + host +
             "Range: bytes=" + std::string(up_to(7000), "0-,9"[up_to(4)]) + "\r\n\r\n";
    case 9:
      return fmt::format("POST /api/stop HTTP/1.1\r\n{}{}Content-Length: {}\r\n\r\n{}", host, own, noise(3),
                         body);
    case 10:
      return fmt::format("POST /api/stop HTTP/1.1\r\n{}{}Content-Length: 99999999999999999999\r\n\r\n{}",
                         host, own, body);
    case 11:
      return fmt::format(
          "POST /api/answer HTTP/1.1\r\n{}{}Transfer-Encoding: chunked\r\n\r\nfffffffffff\r\n{}", host, own,
          noise(500));
    case 12: {
      const std::string inner = std::string(up_to(5000), "[{\"1"[up_to(4)]) + noise(up_to(50));
      return fmt::format("POST {} HTTP/1.1\r\n{}{}Content-Length: {}\r\n\r\n{}", path, host, own,
                         inner.size(), inner);
    }
    case 13:
      return fmt::format("GET /api/curves?run=run&from={}&mark={} HTTP/1.1\r\n{}\r\n",
                         up_to(2) ? "-1" : "99999999999999999", up_to(999), host);
    case 14:
      return "GET /api/run?run=" + std::string(1 + up_to(400), "%.\\/"[up_to(4)]) + " HTTP/1.1\r\n" + host +
             "Expect: 100-continue\r\nConnection: Upgrade, keep-alive\r\nUpgrade: h2c\r\n\r\n";
    default:
      return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + noise(up_to(100));
  }
}

/// A server that gets `n` of them still answers, and has no more files open than before.
inline void check_survives(int n, std::uint64_t seed) {
  TemporaryFolder folder;
  make_directories(folder / "run");
  write_file_atomic(folder / "run/metrics.jsonl",
                    "{\"type\":\"start\"}\n{\"type\":\"train\",\"step\":1,\"loss\":2}\n");
  const Served server(Served::of(folder.path));
  const auto files = [] {
    return entries_of("/proc/self/fd").size();
  };
  const std::size_t before = files();
  int refused = 0, closed = 0;
  for (int i = 0; i < n; i++) {
    const Reply reply = server.send(malformed(seed + std::uint64_t(i), server, server.token));
    refused += reply.status >= 400, closed += reply.status == 0;
    CHECK_MESSAGE(reply.status != 500, std::to_string(seed + std::uint64_t(i)));
  }
  CHECK(refused > n / 4);
  MESSAGE(n << " malformed requests: " << refused << " refused, " << closed << " closed");
  CHECK(server.get("/api/runs").json().at("names") == Json{"run"});
  for (int i = 0; i < 100 && files() > before; i++)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(files() <= before);
}

}  // namespace qkv::test
