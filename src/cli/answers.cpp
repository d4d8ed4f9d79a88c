#include "cli/answers.h"

#include "data/lines.h"
#include "qkv/base/error.h"
#include "qkv/base/json.h"
#include "qkv/log/console.h"

namespace qkv {

int answer_each(const std::vector<std::string>& texts, bool json,
                const std::function<void(const std::string& text)>& answer, const std::string& prompt) {
  int code = 0;
  auto try_one = [&](const std::string& text, const char* what, std::size_t number) {
    try {
      LineReader::check(text);
      answer(text);
    } catch (const Error& e) {
      if (e.fault() != Fault::data && e.fault() != Fault::usage) throw;
      code = 3;
      if (!json) console().error("{} {}: {}", what, number, e.what());
      console().print("{}\n", json ? dump_json({{what, number}, {"error", e.what()}}) : "");
    }
  };
  if (texts.size() == 1) {
    answer(texts[0]);
    return 0;
  }
  for (std::size_t i = 0; i < texts.size() && !console().out_closed(); i++)
    try_one(texts[i], "argument", i + 1);
  if (!texts.empty()) return code;
  LineReader lines;
  std::size_t number = 0;
  auto ask = [&] {
    if (console().live() && !prompt.empty()) console().print("{}", prompt);
    return true;
  };
  for (std::string line; ask() && lines.next(line) && !console().out_closed();)
    try_one(line, "line", ++number);
  return code;
}

}  // namespace qkv
