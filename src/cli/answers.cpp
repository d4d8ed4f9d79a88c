#include "cli/answers.h"

#include <filesystem>

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

void Subject::add(Options& options, const std::string& json_help) {
  options.add("--checkpoint", &checkpoint, "best, last or step-000100");
  options.add("--set", &sets, "override a key of the config");
  options.add("--json", &json, json_help);
}

void Subject::print(const Json& answer, const std::string& text) const {
  if (json)
    print_json(answer);
  else
    console().print("{}", text);
}

void print_json(const Json& value) {
  console().print("{}\n", dump_json(value));
}

void remove_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (error) fail(Fault::runtime, "{}: cannot be removed; got {}", folder, error.message());
}

Table table_of(const Json& rows, const std::vector<Column>& columns) {
  std::vector<std::string> cells;
  for (const Column& column : columns) cells.push_back(column.heading);
  Table table(cells);
  for (const Json& row : rows) {
    cells.clear();
    for (const Column& column : columns) {
      const Json value = row.value(column.key, Json(""));
      cells.push_back(value.is_null()     ? "-"
                      : value.is_string() ? value.get<std::string>()
                      : value.is_number_float()
                          ? fmt::format(fmt::runtime(column.format), value.get<double>())
                          : dump_json(value));
    }
    table.row(cells);
  }
  return table;
}

}  // namespace qkv
