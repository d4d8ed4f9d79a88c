#include "qkv/log/metrics.h"

#include <doctest/doctest.h>

#include <cmath>

#include "qkv/base/error.h"

using namespace qkv;

TEST_CASE("a record keeps its values in the order and with the type they were given") {
  const Record record =
      Record("eval").add("split", "val").add("step", 100).add("loss", 0.1f).add("f1", 0.9).add("best", true);
  CHECK(record.type() == "eval");
  CHECK(record.step() == 100);
  CHECK(record.size() == 5);
  CHECK(record.begin()->name == "split");
  CHECK(std::holds_alternative<float>(*record.find("loss")));
  CHECK(std::holds_alternative<double>(*record.find("f1")));
  CHECK(record.flag("best"));
  CHECK(record.text("split") == "val");
  CHECK(record.number("loss") == doctest::Approx(0.1));
}

TEST_CASE("a missing value or one of another kind is distinguished from a number") {
  const Record record = Record("train").add("name", "x").add("on", true);
  CHECK(record.step() == -1);
  CHECK(std::isnan(record.number("loss")));
  CHECK(record.number("name", 7) == 7);
  CHECK(record.number("on", 7) == 7);
  CHECK(record.text("loss").empty());
  CHECK_FALSE(record.flag("name"));
}

TEST_CASE("a name given twice in a record is an error") {
  CHECK_THROWS_WITH_AS(Record("train").add("loss", 1).add("loss", 2),
                       "record: a name must be given once; got 'loss' twice in 'train'", Error);
}

TEST_CASE("every sink gets each record in the order of adding") {
  struct Collect : MetricSink {
    explicit Collect(std::string& log, char mark) : log(log), mark(mark) {}
    void write(const Record& record) override { log += mark + record.type() + " "; }
    void flush() override { log += "flush "; }
    std::string& log;
    char mark;
  };
  std::string log;
  MetricSinks sinks;
  sinks.add(std::make_unique<Collect>(log, '1'));
  sinks.add(std::make_unique<Collect>(log, '2'));
  sinks.write(Record("start"));
  sinks.write(Record("end"));
  sinks.flush();
  CHECK(log == "1start 2start 1end 2end flush flush ");
}
