#include "serve/guard.h"

#include <sys/random.h>

#include "qkv/base/error.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// "localhost" of "LocalHost:8088", "[::1]" of "[::1]:8088"; "" of what is no host.
std::string name_of_host(const std::string& host) {
  const std::size_t bracket = host.find(']'),
                    colon = host.find(':', bracket == std::string::npos ? 0 : bracket);
  const std::string name = lower_ascii(host.substr(0, colon));
  const bool port = colon == std::string::npos || all_digits(host.substr(colon + 1));
  const bool known =
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-_[]:") == std::string::npos;
  return port && known ? name : "";
}

}  // namespace

bool is_local(const std::string& address) {
  return address == "127.0.0.1" || address == "localhost" || address == "::1";
}

std::string random_token() {
  unsigned char bytes[16];
  if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
    fail(Fault::runtime, "serve: the system must give random bytes; got none");
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

bool same_secret(const std::string& a, const std::string& b) {
  unsigned different = a.size() != b.size();
  for (std::size_t i = 0; i < a.size(); i++)
    different |= static_cast<unsigned>(a[i]) ^ static_cast<unsigned>(b.empty() ? ~a[i] : b[i % b.size()]);
  return different == 0;
}

HttpResponse refused(int status, const std::string& text) {
  return {status, dump_json({{"error", text}})};
}

HttpResponse Guard::admit(const HttpRequest& request) const {
  const std::string host = request.header("host"), name = name_of_host(host);
  const bool own = name == "localhost" || name == "127.0.0.1" || name == "[::1]";
  if (name.empty() || (local && !own))
    return refused(403, "the host of a request must be localhost or 127.0.0.1");
  const std::string origin = request.header("origin"), site = request.header("sec-fetch-site");
  const bool opened =
      request.method == "GET" && request.header("sec-fetch-mode") == "navigate" &&
      request.header("sec-fetch-dest") == "document";  // a link was followed; nobody else reads it
  const bool same = origin.empty() || lower_ascii(origin) == "http://" + lower_ascii(host) ||
                    lower_ascii(origin) == "https://" + lower_ascii(host);  // behind a proxy
  if (!same || (!site.empty() && site != "same-origin" && site != "none" && !opened))
    return refused(403, "a request must come from the page of this server");
  if (!token.empty()) {
    const std::string sent = request.header("authorization");
    const std::string given = starts_with(sent, "Bearer ") ? sent.substr(7) : request.parameter("token");
    if (!same_secret(given, token)) return refused(401, "a request must have the token of the server");
  }
  if (request.method != "POST") return {};
  if (!same_secret(request.header("x-qkv-token"), page_token))
    return refused(
        403, "a change must have the token of the page (reload it: the server may have been started again)");
  const std::string type = lower_ascii(request.header("content-type"));
  if (type.substr(0, type.find(';')) != "application/json" || !request.header("content-encoding").empty() ||
      !request.header("transfer-encoding").empty() || request.header("content-length").empty())
    return refused(415, "a change must be plain JSON of a stated length");
  return {};
}

}  // namespace qkv
