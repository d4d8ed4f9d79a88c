#include <doctest/doctest.h>
#include "log/tensorboard.h"

#include <cmath>

#include "base/temporary_folder.h"
#include "has.h"
#include "log/event_reader.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"

using namespace qkv;
using namespace qkv::test;

namespace {

std::string message_of(std::string_view bytes) {
  try {
    event_records(bytes, "x");
  } catch (const Error& e) {
    CHECK(e.fault() == Fault::data);
    return e.what();
  }
  return "";
}

const EventValue* find(const std::vector<Event>& events, const std::string& tag) {
  for (const Event& event : events)
    for (const EventValue& value : event.values)
      if (value.tag == tag) return &value;
  return nullptr;
}

}  // namespace

TEST_CASE("event file: CRC-32C of the published vectors (RFC 3720, B.4)") {
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xE3069283u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAu);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62A8AB43u);
  std::string rising;
  for (int i = 0; i < 32; i++) rising += static_cast<char>(i);
  CHECK(crc32c(rising) == 0x46DD794Eu);
}

TEST_CASE("event file: the bytes of a record and of a scalar are those that TensorBoard reads") {
  // TensorFlow writes this record around the version, which starts each of its files (without a time here).
  const std::string version = std::string("\x1a\x0d", 2) + "brain.Event:2";
  const std::string record = event_record(version);
  CHECK(record.substr(0, 8) == std::string("\x0f\0\0\0\0\0\0\0", 8));
  CHECK(record.size() == 12 + version.size() + 4);
  CHECK(record.substr(12, version.size()) == version);
  TemporaryFolder folder;
  std::string path;
  {
    EventFile file(folder.path);
    path = file.path();
    file.scalar("loss", 300, 0.5);
  }
  // Behind the time: step = 300, summary { value { tag = "loss", simple_value = 0.5 } }.
  const std::string expected = std::string("\x10\xac\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\0\0\0\x3f", 18);
  const std::string bytes = read_file(path);
  CHECK(bytes.substr(bytes.size() - 4 - expected.size(), expected.size()) == expected);
}

TEST_CASE("event file: what is written reads back; each resumption begins a new file") {
  TemporaryFolder folder;
  {
    EventFile file(folder.path);
    file.scalar("train/loss", 7, 0.125);
    file.text("samples/1", 8, "bank = money\n");
    file.histogram("weight/W_Q", 9, histogram_of({0.0, 0.5, 2.0, 2.0, NAN, INFINITY}, 4));
    file.session_start("run", {{"optimizer.lr", "0.001"}, {"train.spike", "true"}, {"model.type", "lstm"}},
                       {"val/loss"});
    file.session_end(true);
  }
  { EventFile(folder.path).restart(8); }
  const std::vector<std::string> files = event_files(folder.path);
  REQUIRE(files.size() == 2);
  const std::vector<Event> log = read_events(files[0]);
  REQUIRE(log.size() == 7);
  CHECK(log[0].file_version == "brain.Event:2");
  CHECK(log[0].wall_time > 1.6e9);
  CHECK(log[1].step == 7);
  CHECK(find(log, "train/loss")->scalar == 0.125);
  CHECK(find(log, "samples/1")->plugin == "text");
  CHECK(find(log, "samples/1")->text == "bank = money\n");
  const EventValue* weights = find(log, "weight/W_Q");
  CHECK(weights->plugin == "histograms");
  CHECK(weights->histogram.left == std::vector<double>{0, 0.5, 1, 1.5});
  CHECK(weights->histogram.right == std::vector<double>{0.5, 1, 1.5, 2});
  CHECK(weights->histogram.count == std::vector<double>{1, 1, 0, 2});
  CHECK(find(log, "_hparams_/session_start_info")->plugin == "hparams");
  CHECK(log.back().values[0].tag == "_hparams_/session_end_info");
  const std::vector<Event> second = read_events(files[1]);
  REQUIRE(second.size() == 2);
  CHECK(second[1].restart);
  CHECK(second[1].step == 8);
}

TEST_CASE("event file: every flipped bit is found, every cut is reported") {
  TemporaryFolder folder;
  std::string path;
  {
    EventFile file(folder.path);
    path = file.path();
    file.scalar("train/loss", 7, 0.125);
    file.text("samples/1", 8, "bank = money");
  }
  const std::string whole = read_file(path);
  const std::size_t records = event_records(whole, path).events.size();
  CHECK(records == 3);
  for (std::size_t i = 0; i < whole.size(); i++)
    for (int bit = 0; bit < 8; bit++) {
      std::string bytes = whole;
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << bit));
      CAPTURE(i);
      CHECK(has(message_of(bytes), "the checksum of its"));
    }
  int torn = 0;
  for (std::size_t size = 0; size < whole.size(); size++)
    torn += event_records({whole.data(), size}, "x").torn;
  CHECK(torn == static_cast<int>(whole.size()) - static_cast<int>(records));
}

TEST_CASE("tensorboard: records become scalars under the name of their split, what is odd becomes a text") {
  TemporaryFolder folder;
  {
    TensorboardSink sink(folder.path, {"mine", {{"model.type", "lstm"}}, {"val/loss"}, -1});
    sink.write(Record("start"));
    sink.write(Record("train", 10).add("loss", 0.5f).add("tokens", 100));
    sink.write(Record("eval").add("split", "val").add("step", 10).add("loss", 0.25f).add("best", true));
    sink.write(Record("norms", 10).add("weight/W_Q", 2.0f));
    sink.write(Record("spike", 11).add("loss", 9.0f));
    sink.text("samples/1", 10, "two\nlines");
    sink.write(Record("end", 12).add("reason", "max_steps"));
  }
  const std::vector<Event> log = read_events(event_files(folder.path).at(0));
  CHECK(find(log, "train/loss")->scalar == 0.5);
  CHECK(find(log, "train/tokens")->scalar == 100);
  CHECK(find(log, "val/loss")->scalar == 0.25);
  CHECK(find(log, "val/best") == nullptr);
  CHECK(find(log, "train/step") == nullptr);
  CHECK(find(log, "norm/weight/W_Q")->scalar == 2);
  CHECK(has(find(log, "events")->text, "\"type\":\"spike\""));
  CHECK(find(log, "samples/1")->text == "    two\n    lines");
  CHECK(has(find(log, "config")->text, "| model.type | lstm |"));
  CHECK(log.back().values[0].tag == "_hparams_/session_end_info");
}
