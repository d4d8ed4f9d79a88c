// The program serves while another one trains.
#include "cli/process.h"
#include "serve/client.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

struct Program {
  explicit Program(const std::string& folder)
      : process({"serve", "runs", "--port", "0", "--json"}, {folder}),
        client(started(process)),
        page(client.page_token()) {}
  static Json first_line(Process& process) {
    for (int i = 0; i < 1000 && process.running(); i++) {
      const std::string out = process.output();
      if (ends_with(out, "\n")) return parse_json(trim(out), "output");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    FAIL("it does not serve: " << process.wait().err);
    return {};
  }
  static Client started(Process& process) { return Client(first_line(process).at("port").get<int>()); }
  Json run(const std::string& name) const {
    const Json all = client.get("/api/runs").json();
    for (const Json& one : all.at("runs"))
      if (one.at("name") == name) return one;
    return {{"state", "unknown"}, {"step", 0}};
  }
  /// Waits until `met`; the state of the run then.
  Json wait_for(const std::string& name, const std::function<bool(const Json&)>& met) const {
    Json last;
    for (int i = 0; i < 1500; i++) {
      last = run(name);
      if (met(last)) return last;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    FAIL("waited in vain: " << dump_json(last));
    return last;
  }
  Reply change(const std::string& what, const Json& body) const {
    return client.post("/api/" + what, dump_json(body),
                       "Content-Type: application/json\r\nX-Qkv-Token: " + page + "\r\n");
  }

  Process process;
  Client client;
  std::string page;
};

}  // namespace

TEST_CASE(
    "a training is followed, stopped as by Ctrl-C, continued from the page, and then as if nothing had "
    "been") {
  const SmallData data;
  const std::string config = data.encoder();
  make_directories(data.folder / "runs");
  Program server(data.folder.path);
  Process trainer(
      {"-q", "train", config, "--set", "train.max_steps=1000000", "--set", "checkpoint.keep_last=2", "--set",
       "schedule.type=\"constant\"", "--set", "eval.every=100000"},
      {data.folder.path});
  server.wait_for("small", [](const Json& run) { return run["state"] == "training" && run["step"] > 20; });
  CHECK(server.change("extend", {{"run", "small"}, {"max_steps", 2000000}})
            .json()
            .at("error")
            .get<std::string>()
            .find("in training") != std::string::npos);
  CHECK(server.change("stop", {{"run", "small"}}).status == 200);
  CHECK(trainer.wait().code == 130);
  const Json stopped =
      server.wait_for("small", [](const Json& run) { return run["state"] == "interrupted"; });
  const auto step = stopped.at("step").get<std::int64_t>();
  CHECK(server.change("stop", {{"run", "small"}}).status == 400);

  for (const Json& wrong : {Json(step), Json(-1), Json(2'000'000'000), Json("5"), Json(1.5)})
    CHECK(server.change("extend", {{"run", "small"}, {"max_steps", wrong}}).status == 400);
  CHECK(server.change("extend", {{"run", "small"}, {"max_steps", step + 30}}).status == 200);
  const Json more = server.wait_for("small", [](const Json& run) { return run["state"] == "finished"; });
  CHECK(more.at("step") == step + 30);
  CHECK(more.at("max_steps") == step + 30);

  // What cannot go on says why.
  write_file_atomic(data.folder / "runs/small/config.resolved.toml", "broken");
  int status = 400;
  for (int i = 0; i < 500 && status == 400; i++) {  // until the process, whose run has ended, has ended too
    status = server.change("extend", {{"run", "small"}, {"max_steps", step + 60}}).status;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  CHECK(status == 200);
  Json faults;
  for (int i = 0; i < 500 && faults.empty(); i++) {
    faults = server.client.get("/api/runs").json().at("faults");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  CHECK(faults.value("small", "").find("config.resolved.toml") != std::string::npos);

  server.process.send(SIGINT);
  const Finished end = server.process.wait();
  CHECK(end.code == 0);
  CHECK(end.err.empty());
}

TEST_CASE("arrows that are drawn in the page become a file and a run that is trained with them") {
  const SmallData data;
  const std::string folder = data.folder.path, file = data.folder / "runs/small-drawn.jsonl";
  CHECK(run_qkv({"-q", "train", data.encoder()}, {folder}).code == 0);
  Program server(folder);
  const Json text = {{"text", "near a [bank] with reeds"}, {"arrows", {{2, 4}, {2, 1, 0.5}}}};
  const Json asked = {{"run", "small"}, {"texts", {text}}, {"weight", 0.5}, {"heads", {"0.1"}}};
  for (const char* member : {"texts", "weight", "heads", "run"}) {
    Json wrong = asked;
    wrong[member] = Json::array({Json::object()});
    CHECK(server.change("draw", wrong).status == 400);
    wrong.erase(member);
    CHECK(server.change("draw", wrong).status == 400);
  }
  CHECK(!exists(file));
  CHECK(server.change("draw", asked).json().at("run") == "small-drawn");
  server.wait_for("small-drawn", [](const Json& run) { return run["state"] == "finished"; });
  CHECK(read_file(file) == dump_json(text) + "\n");
  const std::string run = data.folder / "runs/small-drawn";
  CHECK(read_file(run + "/data/attention_loss-file.jsonl") == read_file(file));
  const std::string config = read_file(run + "/config.resolved.toml");
  CHECK(has(config, "heads = [\"0.1\"]"));
  CHECK(has(config, "weight = 0.5"));
  CHECK(has(read_file(run + "/metrics.jsonl"), "\"attention_loss\":"));

  // The second one has a name of its own. What does not fit the model says why.
  Json other = asked;
  other["texts"][0]["arrows"] = {{2, 50}};
  CHECK(server.change("draw", other).json().at("run") == "small-drawn-2");
  Json faults;
  for (int i = 0; i < 500 && faults.empty(); i++) {
    faults = server.client.get("/api/runs").json().at("faults");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  CHECK(has(faults.value("small", ""), "positions in [0, 5); got"));
  CHECK(!exists(data.folder / "runs/small-drawn-2"));
}

}  // namespace qkv::test
