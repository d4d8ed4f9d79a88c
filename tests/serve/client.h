// A server in a thread of its own, and a client that can send it anything.
#pragma once
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "serve/serve.h"

namespace qkv::test {

struct Reply {
  int status = 0;  ///< 0: the connection was closed without an answer
  std::string head = {}, body = {};
  Json json() const { return parse_json(body, "reply"); }
};

class Client {
 public:
  explicit Client(int port, std::string page_token = "") : port_(port), token_(std::move(page_token)) {}

  /// What comes back for these bytes.
  Reply send(const std::string& bytes) const {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(socket >= 0);
    const timeval patience{20, 0};
    ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port_));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(socket, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t n = ::send(socket, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) break;  // refused before it was read to its end
      at += static_cast<std::size_t>(n);
    }
    ::shutdown(socket, SHUT_WR);
    std::string all;
    char part[4096];
    for (ssize_t n = 0; (n = ::recv(socket, part, sizeof part, 0)) > 0;)
      all.append(part, static_cast<std::size_t>(n));
    ::close(socket);
    Reply reply;
    const std::size_t end = all.find("\r\n\r\n");
    if (!starts_with(all, "HTTP/1.1 ") || end == std::string::npos) return reply;
    reply.status = std::atoi(all.c_str() + 9);
    reply.head = all.substr(0, end);
    reply.body = all.substr(end + 4);
    return reply;
  }
  std::string host() const { return fmt::format("Host: 127.0.0.1:{}\r\n", port_); }
  Reply get(const std::string& path, const std::string& headers = "") const {
    return send("GET " + path + " HTTP/1.1\r\n" + (headers.find("Host:") == std::string::npos ? host() : "") +
                headers + "\r\n");
  }
  Reply post(const std::string& path, const std::string& body) const {
    return post(path, body, "Content-Type: application/json\r\nX-Qkv-Token: " + token_ + "\r\n");
  }
  Reply post(const std::string& path, const std::string& body, const std::string& headers) const {
    return send(fmt::format("POST {} HTTP/1.1\r\n{}{}Content-Length: {}\r\n\r\n{}", path, host(), headers,
                            body.size(), body));
  }
  /// The token of the page, as a browser gets it.
  std::string page_token() const {
    const std::string page = get("/").body, mark = R"("token":")";
    const std::size_t at = page.find(mark);
    return at == std::string::npos ? "" : page.substr(at + mark.size(), 32);
  }

 private:
  int port_;
  std::string token_;
};

struct Served : Client {
  explicit Served(const ServeOptions& options) : Served(std::make_unique<Serve>(options)) {}
  ~Served() {
    const std::uint64_t one = 1;
    CHECK(::write(stop, &one, sizeof one) == sizeof one);
    thread.join();
    ::close(stop);
  }
  static ServeOptions of(const std::string& folder) { return {folder, "127.0.0.1", 0, ""}; }

  int stop;
  std::unique_ptr<Serve> serve;
  std::thread thread;
  std::string token;

 private:
  explicit Served(std::unique_ptr<Serve> made)
      : Client(made->port()),
        stop(::eventfd(0, EFD_CLOEXEC)),
        serve(std::move(made)),
        thread([this] { serve->run(stop); }) {
    token = page_token();
  }
};

}  // namespace qkv::test
