// Serve: the live page about the runs of a folder, and what it asks for. Requests under /api are answered
// with JSON; docs/serve.md lists them.
#pragma once
#include <memory>
#include <string>

namespace qkv {

struct ServeOptions {
  std::string folder = "runs", address = "127.0.0.1";
  int port = 8088;         ///< 0: any that is free
  std::string token = {};  ///< that requests must have; needed for an address that others can reach
};

class Serve {
 public:
  /// Listens. A data error where there is no such folder, a usage error for an address without a token.
  explicit Serve(const ServeOptions& options);
  ~Serve();
  int port() const;
  /// Where the page is, with the token if there is one.
  std::string url() const;
  /// Answers requests until the descriptor `stop` can be read.
  void run(int stop);
  /// Trainings that were continued here and still run.
  std::size_t trainings();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace qkv
