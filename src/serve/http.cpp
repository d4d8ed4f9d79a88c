#include "serve/http.h"

// As the library of Debian was built: the layout of its classes depends on these.
#define CPPHTTPLIB_OPENSSL_SUPPORT
#define CPPHTTPLIB_ZLIB_SUPPORT
#define CPPHTTPLIB_BROTLI_SUPPORT
#include <httplib.h>
#include <poll.h>

#include "base/clock.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// Waits until a descriptor is ready; false after so many seconds.
bool wait_for(int descriptor, short events, double seconds) {
  pollfd one{descriptor, events, 0};
  const double end = steady_seconds() + seconds;
  for (double left = seconds; left > 0; left = end - steady_seconds()) {
    const int ready = ::poll(&one, 1, static_cast<int>(left * 1000) + 1);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
  return false;
}

// A connection: a whole request has so much time and so many bytes, whatever it consists of.
class Connection : public httplib::Stream {
 public:
  explicit Connection(int socket) : socket_(socket), end_(steady_seconds() + HttpServer::kReadSeconds) {}

  bool is_readable() const override { return at_ < buffer_.size() || wait(POLLIN); }
  bool is_writable() const override { return wait(POLLOUT); }
  ssize_t read(char* to, std::size_t size) override {
    if (at_ == buffer_.size()) {
      if (left_ == 0 || !wait(POLLIN)) return -1;
      buffer_.resize(std::min<std::size_t>(left_, 4096));
      at_ = 0;
      const ssize_t got = ::recv(socket_, &buffer_[0], buffer_.size(), 0);
      buffer_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
      left_ -= buffer_.size();
      if (got <= 0) return got;
    }
    size = std::min(size, buffer_.size() - at_);
    std::memcpy(to, &buffer_[at_], size);
    at_ += size;
    return static_cast<ssize_t>(size);
  }
  ssize_t write(const char* from, std::size_t size) override {
    if (!writes_) end_ = steady_seconds() + HttpServer::kWriteSeconds;
    writes_ = true;
    for (std::size_t at = 0; at < size;) {
      if (!wait(POLLOUT)) return -1;
      const ssize_t sent = ::send(socket_, from + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) return -1;
      at += static_cast<std::size_t>(std::max<ssize_t>(0, sent));
    }
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

  // Lets the client read the response although not all that it sent was read.
  void end() {
    ::shutdown(socket_, SHUT_WR);
    char rest[4096];
    for (int i = 0; i < 64 && wait_for(socket_, POLLIN, 0.5); i++)
      if (::recv(socket_, rest, sizeof rest, 0) <= 0) break;
  }

 private:
  bool wait(short events) const { return wait_for(socket_, events, end_ - steady_seconds()); }

  int socket_;
  double end_;
  bool writes_ = false;
  std::size_t left_ = HttpServer::kMaxBody + (std::size_t{1} << 15), at_ = 0;
  std::string buffer_;
};

HttpRequest request_of(const httplib::Request& from) {
  HttpRequest request{from.method, from.path, from.body};
  for (auto& [name, value] : from.params) request.query.emplace(name, value);
  for (auto& [name, value] : from.headers) {
    const auto [one, fresh] = request.headers.emplace(lower_ascii(name), value);
    if (!fresh) one->second += "," + value;
  }
  return request;
}

void put(const HttpResponse& from, httplib::Response& to) {
  to.status = from.status;
  for (auto& [name, value] : from.headers) to.set_header(name, value);
  to.set_content(from.body, from.type);
}

}  // namespace

struct HttpServer::Parts : httplib::Server {
  using Verdict = httplib::Server::HandlerResponse;

  explicit Parts(HttpHandlers given) : handlers(std::move(given)) {
    const auto answer = [this](const httplib::Request& request, httplib::Response& response) {
      HttpResponse ours{500, R"({"error": "internal error"})"};
      try {
        if (request.body.size() <= kMaxBody) ours = handlers.answer(request_of(request));
        if (request.body.size() > kMaxBody) ours = {413, R"({"error": "the body is too large"})"};
      } catch (...) {  // the answer is that there was an error
      }
      put(ours, response);
    };
    set_pre_routing_handler([this, answer](const httplib::Request& request, httplib::Response& response) {
      HttpResponse refusal = handlers.admit(request_of(request));
      const bool reads = request.method == "GET" || request.method == "HEAD",
                 posts = request.method == "POST";
      if (refusal.status == 200 && !reads && !posts) refusal = {405, R"({"error": "use GET or POST"})"};
      if (refusal.status == 200 && posts) {
        const bool known = std::count(handlers.posts.begin(), handlers.posts.end(), request.path) > 0;
        if (known) return Verdict::Unhandled;
        refusal = {404, R"({"error": "there is nothing to change here"})"};
      }
      if (refusal.status != 200)
        put(refusal, response);
      else
        answer(request, response);
      return Verdict::Handled;
    });
    for (const std::string& path : handlers.posts) Post(path, answer);
    set_payload_max_length(kMaxBody);
    set_socket_options([](int socket) {  // the default would let another server listen at the same port
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
  }
  ~Parts() override {
    if (svr_sock_ >= 0) ::close(svr_sock_);
  }
  int listener() const { return svr_sock_; }

  void converse(int socket) {
    Connection connection(socket);
    bool closed = false;
    try {
      process_request(connection, true, closed, [](httplib::Request& request) {
        request.ranges.clear();                    // a response is whole
        request.headers.erase("Accept-Encoding");  // and as it is: packing costs more than it saves here
      });
    } catch (...) {  // a request that cannot be read gets no answer
    }
    connection.end();
  }

  HttpHandlers handlers;
  int port = 0;
  std::mutex mutex;
  std::condition_variable fewer;
  std::set<int> open;  // sockets
};

HttpServer::HttpServer(const std::string& address, int port, HttpHandlers handlers)
    : parts_(std::make_unique<Parts>(std::move(handlers))) {
  parts_->port =
      port > 0 ? (parts_->bind_to_port(address, port) ? port : -1) : parts_->bind_to_any_port(address);
  const int listener = parts_->listener();
  if (parts_->port < 0 || ::listen(listener, 128) != 0 || ::fcntl(listener, F_SETFL, O_NONBLOCK) != 0)
    fail(Fault::runtime, "serve: must be able to listen at {} port {}; got {} (another --port, or 0 for any)",
         address, port, errno ? std::strerror(errno) : "no such address");
}

HttpServer::~HttpServer() = default;

int HttpServer::port() const {
  return parts_->port;
}

void HttpServer::run(int stop) {
  Parts& p = *parts_;
  pollfd both[] = {{stop, POLLIN, 0}, {p.listener(), POLLIN, 0}};
  while (::poll(both, 2, -1) >= 0 || errno == EINTR) {
    if (both[0].revents) break;
    if (!both[1].revents) continue;
    const int socket = ::accept4(p.listener(), nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) {
      if (errno == EMFILE || errno == ENFILE) ::poll(both, 1, 20);
      continue;
    }
    std::unique_lock<std::mutex> lock(p.mutex);
    if (p.open.size() >= kMaxConnections) {
      ::close(socket);
      continue;
    }
    p.open.insert(socket);
    const auto work = [&p, socket] {
      p.converse(socket);
      const std::lock_guard<std::mutex> one(p.mutex);
      p.open.erase(socket);
      ::close(socket);
      p.fewer.notify_all();
    };
    try {
      std::thread(work).detach();
    } catch (const std::system_error&) {  // no thread: no answer
      p.open.erase(socket);
      ::close(socket);
    }
  }
  std::unique_lock<std::mutex> lock(p.mutex);
  for (const int socket : p.open) ::shutdown(socket, SHUT_RD);
  p.fewer.wait(lock, [&] { return p.open.empty(); });
}

}  // namespace qkv
