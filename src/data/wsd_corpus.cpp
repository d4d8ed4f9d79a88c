#include "data/wsd_corpus.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_map>

#include "base/file.h"
#include "data/lines.h"
#include "data/split.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

std::string file_name(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

// The ids of labels by their names.
class LabelIds {
 public:
  explicit LabelIds(const std::vector<std::string>& labels) : labels_(labels) {
    for (std::size_t i = 0; i < labels.size(); i++) ids_.emplace(labels[i], int(i));
  }
  int at(const std::string& label, const std::string& where) const {
    const auto found = ids_.find(label);
    if (found == ids_.end())
      fail(Fault::data, "{}: label must be known; got {}{}", where, in_quotes(label),
           suggest(label, labels_));
    return found->second;
  }

 private:
  const std::vector<std::string>& labels_;
  std::unordered_map<std::string, int> ids_;
};

// A decimal number below 10^9, or -1.
int parse_integer(const std::string& text) {
  return all_digits(text) && text.size() <= 9 ? std::stoi(text) : -1;
}

// ---- the CoarseWSD-20 layout

// classes_map.txt: label -> name, in the order of the labels as numbers.
std::map<int, std::string> read_classes(const std::string& path) {
  const Json json = read_json(path, {std::size_t{1} << 20, 2});
  if (!json.is_object() || json.empty())
    fail(Fault::data, "{}: must be a JSON object from label to name; got {}", path,
         in_quotes(dump_json(json)));
  std::map<int, std::string> classes;
  std::set<std::string> names;
  for (const auto& item : json.items()) {
    const int label = parse_integer(item.key());
    if (label < 0)
      fail(Fault::data, "{}: labels must be unsigned integers; got {}", path, in_quotes(item.key()));
    if (!item.value().is_string() || item.value() == "")
      fail(Fault::data, "{}: names must be strings; got {}", path, in_quotes(dump_json(item.value())));
    auto name = item.value().get<std::string>();
    if (!names.insert(name).second || !classes.emplace(label, name).second)
      fail(Fault::data, "{}: labels and names must be unique; got {}: {} twice", path, label,
           in_quotes(name));
  }
  return classes;
}

// "<target position>\t<tokens separated by single spaces>"
WsdExample parse_tokens(const std::string& line, const std::string& where) {
  const auto fields = qkv::split(line, '\t');
  if (fields.size() != 2)
    fail(Fault::data, "{}: a line must be position<TAB>tokens; got {} tabs", where, fields.size() - 1);
  const int position = parse_integer(fields[0]);
  if (position < 0)
    fail(Fault::data, "{}: target position must be an unsigned integer; got {}", where, in_quotes(fields[0]));
  WsdExample example;
  // Positions count every single space. Where an upstream tokenizer left an empty token, it is dropped.
  std::vector<std::string> tokens = qkv::split(fields[1], ' ');
  const auto target = std::size_t(position);
  if (target >= tokens.size() || tokens[target].empty())
    fail(Fault::data, "{}: target position must be that of a token in [0, {}); got {}", where, tokens.size(),
         position);
  for (std::size_t i = 0; i < tokens.size(); i++) {
    if (i == target) example.target = int(example.words.size());
    if (!tokens[i].empty()) example.words.push_back(std::move(tokens[i]));
  }
  return example;
}

}  // namespace

WsdExample parse_wsd_sentence(std::string_view text, const std::string& where) {
  const std::size_t open = text.find('['), close = text.find(']');
  const auto brackets = std::count(text.begin(), text.end(), '[');
  if (brackets != 1 || std::count(text.begin(), text.end(), ']') != 1 || close < open)
    fail(Fault::data, "{}: a sentence must have one [target]; got {} in {}", where,
         brackets == 0   ? "none"
         : brackets == 1 ? "an unmatched bracket"
                         : fmt::format("{}", brackets),
         in_quotes(text));
  // The sentence is cut without its brackets; then the target must be exactly one of the tokens.
  std::string plain(text);
  plain.erase(close, 1).erase(open, 1);
  const std::string_view target(plain.data() + open, close - open - 1);
  WsdExample example;
  bool found = false;
  for (std::string_view token : split_text(plain)) {
    if (token.data() == target.data() && token.size() == target.size()) {
      example.target = int(example.words.size());
      found = true;
    }
    example.words.emplace_back(token);
  }
  if (!found)
    fail(Fault::data, "{}: target must be one whole word; got {} in {}", where, in_quotes(target),
         in_quotes(text));
  return example;
}

static WsdCorpus read_wsd_tsv(const std::string& path, const WsdReadOptions& options) {
  WsdCorpus corpus;
  const LabelIds known(options.labels);
  std::vector<std::string> names;  // of each example
  for_lines(path, [&](const std::string& line, const std::string& where) {
    const auto fields = qkv::split(line, '\t');
    if (fields.size() != 2)
      fail(Fault::data, "{}: a line must be label<TAB>sentence; got {} tabs", where, fields.size() - 1);
    if (fields[0].empty() || trim(fields[0]) != fields[0])
      fail(Fault::data, "{}: label must be a name without white space around it; got {}", where,
           in_quotes(fields[0]));
    if (!options.labels.empty()) known.at(fields[0], where);
    corpus.examples.push_back(parse_wsd_sentence(fields[1], where));
    corpus.examples.back().id = file_name(where);
    names.push_back(fields[0]);
  });
  if (names.empty()) fail(Fault::data, "{}: must have at least one sentence; got only empty lines", path);
  corpus.labels = options.labels;
  if (corpus.labels.empty()) {
    const std::set<std::string> distinct(names.begin(), names.end());
    corpus.labels.assign(distinct.begin(), distinct.end());
  }
  const LabelIds ids(corpus.labels);
  for (std::size_t i = 0; i < names.size(); ++i) corpus.examples[i].label = ids.at(names[i], path);
  return corpus;
}

static WsdCorpus read_wsd_folder(const std::string& folder, const WsdReadOptions& options) {
  const std::string data = options.part + ".data.txt", gold = folder + "/" + options.part + ".gold.txt";
  const auto classes = read_classes(folder + "/classes_map.txt");
  const auto sentences = read_lines(folder + "/" + data), golds = read_lines(gold);
  if (sentences.size() != golds.size())
    fail(Fault::data, "{}: must have one label for each of the {} lines of {}; got {}", gold,
         sentences.size(), data, golds.size());
  WsdCorpus corpus;
  corpus.labels = options.labels;
  std::vector<std::string> known;
  for (const auto& [label, name] : classes) {
    known.push_back(std::to_string(label));
    if (options.labels.empty()) corpus.labels.push_back(name);
  }
  const std::string name = file_name(std::filesystem::path(folder + "/x").parent_path().string());
  const LabelIds ids(corpus.labels);
  LineProblems problems;
  for (std::size_t i = 0; i < sentences.size(); ++i)
    problems.attempt([&] {
      const std::string where = fmt::format("{}:{}", gold, i + 1), line = fmt::format("/{}:{}", data, i + 1);
      const auto found = classes.find(parse_integer(golds[i]));
      if (found == classes.end())
        fail(Fault::data, "{}: label must be in classes_map.txt; got {}{}", where, in_quotes(golds[i]),
             suggest(golds[i], known));
      WsdExample example = parse_tokens(sentences[i], folder + line);
      example.label = ids.at(found->second, where);
      example.id = name + line;
      corpus.examples.push_back(std::move(example));
    });
  problems.finish();
  return corpus;
}

WsdCorpus read_wsd(const std::string& path, const WsdReadOptions& options) {
  return is_directory(path) ? read_wsd_folder(path, options) : read_wsd_tsv(path, options);
}

}  // namespace qkv
