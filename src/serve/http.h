// HttpServer: requests over HTTP with limits on their size, their time and their number. The handlers see
// only whole and valid ones.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace qkv {

struct HttpRequest {
  std::string method, path, body;
  std::map<std::string, std::string> query = {};
  /// By their names in lower case; of a header that is given twice, both values with a comma between them.
  std::map<std::string, std::string> headers = {};

  std::string header(const std::string& name) const { return find(headers, name); }
  std::string parameter(const std::string& name) const { return find(query, name); }

 private:
  static std::string find(const std::map<std::string, std::string>& map, const std::string& name) {
    const auto found = map.find(name);
    return found == map.end() ? "" : found->second;
  }
};

struct HttpResponse {
  int status = 200;
  std::string body = {}, type = "application/json; charset=utf-8";
  std::vector<std::pair<std::string, std::string>> headers = {};
};

struct HttpHandlers {
  /// Refuses a request by its headers, before its body is read, with another status than 200.
  std::function<HttpResponse(const HttpRequest&)> admit;
  /// GET and HEAD at any path, POST at those of `posts`. What it throws is a response of status 500.
  std::function<HttpResponse(const HttpRequest&)> answer;
  std::vector<std::string> posts = {};
};

class HttpServer {
 public:
  static constexpr std::size_t kMaxBody = std::size_t{1} << 16, kMaxConnections = 48;
  static constexpr int kReadSeconds = 10, kWriteSeconds = 30;

  /// Listens at an address; port 0 is any that is free. A runtime error where it cannot.
  HttpServer(const std::string& address, int port, HttpHandlers handlers);
  ~HttpServer();
  int port() const;
  /// Answers requests, each connection in a thread of its own, until the descriptor `stop` can be read; then
  /// waits for the answers that are being written.
  void run(int stop);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace qkv
