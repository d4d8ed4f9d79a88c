#include "cli/answers.h"

#include <filesystem>

#include "data/lines.h"
#include "log/terminal_text.h"

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

void print_json(const Json& value) {
  console().print("{}\n", dump_json(value));
}

void print_answer(bool json, const Json& answer, const std::string& text) {
  console().result(json ? dump_json(answer) + "\n" : text);
}

std::string paragraph(const std::string& mark, const std::string& text, int columns) {
  const int indent = visible_width(mark);
  std::string result, begin = mark;
  for (const std::string& line : wrapped(text, columns - indent)) {
    result += begin + line + "\n";
    begin = pad_right("", indent);
  }
  return result;
}

void remove_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (error) fail(Fault::runtime, "{}: cannot be removed; got {}", folder, error.message());
}

std::string table_text(const Json& rows, const std::vector<Column>& columns, int max_cell) {
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
  return table.str(console().unicode(), max_cell);
}

std::vector<Column> columns_of(const std::string& text) {
  std::vector<Column> columns;
  for (const std::string& part : split(text, '|')) {
    const std::string whole(trim(part)), names = whole.substr(0, whole.find(':'));
    const std::string key = names.substr(names.find('=') + 1), format = whole.substr(names.size());
    columns.push_back({names.substr(0, names.find('=')), key, "{" + format + "}"});
  }
  return columns;
}

}  // namespace qkv
