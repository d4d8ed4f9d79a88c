#include "log/jsonl.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "log/capture.h"
#include "log/read_metrics.h"
#include "qkv/base/error.h"
#include "qkv/base/json.h"

using namespace qkv;
using namespace qkv::test;

namespace {

std::string line(const Record& record) {
  return dump_json(json_of(record));
}

std::string train(int step) {
  return line(Record("train", step).add("loss", 0.5f)) + "\n";
}
std::string eval(int step) {
  return line(Record("eval").add("split", "val").add("step", step)) + "\n";
}
const std::string kStart = "{\"type\":\"start\",\"name\":\"x\"}\n";
const std::string kEnd = "{\"type\":\"end\",\"reason\":\"max_steps\",\"step\":4}\n";

// The text of a file after the cut.
std::string cut(const std::string& text, std::int64_t step) {
  TemporaryFile file;
  file.write(text);
  truncate_after(file.path, step);
  return file.text();
}

}  // namespace

TEST_CASE("a metrics line has the keys in order and floats as people write them") {
  CHECK(
      line(Record("train")
               .add("step", 100)
               .add("epoch", 1.2f)
               .add("loss", 0.1f)
               .add("lr", 0.001)
               .add("tokens", std::int64_t{5120000000})
               .add("tokens_per_s", 91000.0f)) ==
      R"({"type":"train","step":100,"epoch":1.2,"loss":0.1,"lr":0.001,"tokens":5120000000,"tokens_per_s":91000.0})");
  CHECK(line(Record("eval").add("split", "val").add("step", 1).add("best", true)) ==
        R"({"type":"eval","split":"val","step":1,"best":true})");
}

TEST_CASE("non-finite values are strings and text is escaped") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  CHECK(line(Record("x").add("a", NAN).add("b", kInfinity).add("c", -double(kInfinity))) ==
        R"({"type":"x","a":"NaN","b":"Infinity","c":"-Infinity"})");
  CHECK(line(Record("x").add("f1 \"bass\"", "a\n\\\"b\" ключ")) ==
        R"({"type":"x","f1 \"bass\"":"a\n\\\"b\" ключ"})");
  CHECK_NOTHROW(parse_metrics_line(line(Record("x").add("t", "\xFF\x01")), "here"));
}

TEST_CASE("every float reads back to the same bits") {
  for (float value : {0.1f, 1e-45f, 3.4e38f, 16777217.0f, -0.0f, 1.0f / 3}) {
    const Record record = parse_metrics_line(line(Record("x").add("v", value)), "here");
    CHECK(static_cast<float>(record.number("v")) == value);
    CHECK(std::holds_alternative<double>(*record.find("v")));
  }
}

TEST_CASE("a record reads back with names, order and values") {
  const std::string text =
      R"({"type":"eval","split":"val","step":3,"loss":"NaN","f1":"-Infinity","best":false})";
  const Record record = parse_metrics_line(text, "here");
  CHECK(line(record) == text);
  CHECK(std::isnan(record.number("loss")));
  CHECK(record.integer("step") == 3);
  CHECK(parse_metrics_line(R"({"type":"x","list":[1,2],"n":null})", "here").text("list") == "[1,2]");
}

TEST_CASE("the file has one line per record and starts once") {
  TemporaryFile file;
  {
    JsonlSink sink(file.path);
    sink.write(Record("start").add("name", "x"));
    sink.write(Record("train", 1).add("loss", 0.5f));
    sink.flush();
    CHECK(file.text() == kStart + train(1));  // nothing waits in a buffer
  }
  JsonlSink resumed(file.path);
  resumed.write(Record("start").add("name", "x").add("resumed_from", 1));
  resumed.write(Record("train", 2).add("loss", 0.5f));
  CHECK(file.text() == kStart + train(1) + train(2));
}

TEST_CASE("a full disk or a missing folder is an error with path and reason") {
  JsonlSink full("/dev/full");
  CHECK_THROWS_WITH_AS(full.write(Record("start")), doctest::Contains("/dev/full"), Error);
  CHECK_THROWS_WITH_AS(full.write(Record("start")), doctest::Contains("No space left on device"), Error);
  CHECK_THROWS_WITH_AS(JsonlSink("/proc/no/metrics.jsonl"), doctest::Contains("/proc/no/metrics.jsonl"),
                       Error);
}

TEST_CASE("resuming cuts later steps, the end line and a torn line") {
  const std::string kept = kStart + train(1) + train(2) + eval(2);
  CHECK(cut(kept + train(3) + train(4) + eval(4) + kEnd, 2) == kept);
  CHECK(cut(kept + kEnd, 2) == kept);
  CHECK(cut(kept + kEnd, 100) == kept);
  CHECK(cut(kept + "{\"type\":\"tra", 2) == kept);
  CHECK(cut(kept + std::string(100, '\0'), 2) == kept);
  CHECK(cut(kept + train(3) + "garbage\n" + train(4), 2) == kept);
  CHECK(cut(kept, 2) == kept);
  CHECK(cut(kept, 0) == kStart);
  CHECK(cut("", 2).empty());
  CHECK(cut("{\"typ", 2).empty());
}

TEST_CASE("a last line that lost only its newline gets it back") {
  CHECK(cut(kStart + train(1).substr(0, train(1).size() - 1), 1) == kStart + train(1));
  CHECK(cut(kStart + train(2).substr(0, train(2).size() - 1), 1) == kStart);
}

TEST_CASE("cutting a file that is not there does nothing") {
  CHECK_NOTHROW(truncate_after("/tmp/qkv_there_is_no_such_file", 1));
}

TEST_CASE("a damaged line before the checkpoint is an error that names it, and nothing is cut") {
  TemporaryFile file;
  const std::string text = kStart + "{\"type\":tra\n" + train(1);
  file.write(text);
  CHECK_THROWS_WITH_AS(truncate_after(file.path, 1), doctest::Contains((file.path + ":2: ").c_str()), Error);
  CHECK(file.text() == text);
}

TEST_CASE("reading leaves out a torn last line and names a bad one") {
  TemporaryFile file;
  file.write(kStart + train(1) + "{\"type\":\"tra");
  CHECK(read_metrics(file.path).size() == 2);
  file.write(kStart + "[1]\n" + train(1));
  try {
    read_metrics(file.path);
    FAIL("the bad line was accepted");
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::data);
    CHECK(error.what() == file.path + ":2: a line must be an object with a text 'type'; got '[1]'");
  }
  CHECK_THROWS_WITH_AS(read_metrics("/proc/no"), "/proc/no: cannot be read; got No such file or directory",
                       Error);
}

TEST_CASE("a reader follows a file that grows") {
  TemporaryFile file;
  file.write(kStart);
  MetricsReader reader(file.path);
  Record record;
  CHECK(reader.next(record));
  CHECK_FALSE(reader.next(record));
  CHECK_FALSE(reader.torn());
  AppendFile writer(file.path);
  writer.write("{\"type\":\"train\",");
  CHECK_FALSE(reader.next(record));
  CHECK(reader.torn());
  writer.write("\"step\":7}\n");
  CHECK(reader.next(record));
  CHECK(record.step() == 7);
}
