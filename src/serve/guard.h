// Guard: which requests are those of the page that this server gave out.
#pragma once
#include <string>

#include "serve/http.h"

namespace qkv {

struct Guard {
  bool local = true;       ///< only this machine can reach the server
  std::string token = {};  ///< that every request must have, as a header or a parameter; "": none
  std::string page_token;  ///< that changes must have, in a header

  /// Status 200, or a refusal: of requests to a host of another name (a name that an attacker gave the
  /// address), from pages of other origins, without a token, and of changes that are no JSON.
  HttpResponse admit(const HttpRequest& request) const;
};

/// Whether a server at this address can be reached from this machine only.
bool is_local(const std::string& address);
/// 32 hexadecimal digits that nobody can guess.
std::string random_token();
/// Compares in a time that does not depend on where they differ.
bool same_secret(const std::string& a, const std::string& b);
/// {"error": text}
HttpResponse refused(int status, const std::string& text);

}  // namespace qkv
