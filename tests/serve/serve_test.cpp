#include "serve/serve.h"

#include <filesystem>
#include <set>

#include "log/run_log.h"
#include "report/report.h"
#include "serve/client.h"
#include "serve/guard.h"
#include "train/small_run.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

constexpr const char* kScript = "<img src=x onerror=alert(1)>";

/// A folder with runs that have no models: NAME and its metrics.jsonl.
struct Folder {
  TemporaryFolder folder;
  std::string add(const std::string& name, int steps, bool ended = true) const {
    const std::string run = folder / name;
    make_directories(run);
    std::string log =
        R"({"type":"start","name":"x","task":"wsd","model":"encoder-classifier","metric":"loss","max_steps":)" +
        std::to_string(steps) + "}\n";
    for (int i = 1; i <= steps; i++) {
      log +=
          fmt::format("{{\"type\":\"train\",\"step\":{},\"loss\":{},\"time_s\":{}}}\n", i, 1.0 / i, 0.5 * i);
      if (i % 10 == 0)
        log += fmt::format("{{\"type\":\"eval\",\"split\":\"val\",\"step\":{},\"loss\":{},\"best\":true}}\n",
                           i, 2.0 / i);
    }
    if (ended) log += fmt::format("{{\"type\":\"end\",\"reason\":\"max_steps\",\"step\":{}}}\n", steps);
    write_file_atomic(run + "/metrics.jsonl", log);
    return run;
  }
};

std::string all_of(const Client& client, const std::string& run, Json& curves) {
  Json got = client.get("/api/curves?run=" + run).json();
  curves = got.at("curves");
  return fmt::format("&from={}&mark={}", got.at("to").get<std::int64_t>(), got.at("mark").get<std::string>());
}

}  // namespace

TEST_CASE("the table has what changed since, and says when runs come and go") {
  const Folder runs;
  runs.add("a", 20), runs.add("sweep/2-seeds/seed-1", 30, false), runs.add(kScript, 10);
  const Served server(Served::of(runs.folder.path));
  const Json first = server.get("/api/runs").json();
  CHECK(first.at("names") == Json{kScript, "a", "sweep/2-seeds/seed-1"});
  const Json a = first.at("runs").at(1), seed = first.at("runs").at(2);
  CHECK(a.at("state") == "finished");
  CHECK(a.at("step") == 20);
  CHECK(a.at("best_step") == 20);
  CHECK(a.at("best_value").get<double>() == doctest::Approx(0.1));
  CHECK(a.at("course").size() == 2);
  CHECK(seed.at("state") == "killed");
  CHECK(seed.at("time_s") == 15.0);
  const std::string since = "/api/runs?since=" + first.at("version").dump();
  CHECK(server.get(since).json().at("runs").empty());
  AppendFile(runs.folder / "sweep/2-seeds/seed-1/metrics.jsonl")
      .write_line(R"({"type":"train","step":31,"loss":0.5})");
  runs.add("new", 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(600));  // the folder is looked at so often
  const Json next = server.get(since).json();
  CHECK(next.at("names").size() == 4);
  REQUIRE(next.at("runs").size() == 2);
  CHECK(next.at("runs").at(0).at("name") == "new");
  CHECK(next.at("runs").at(1).at("step") == 31);
  fs::remove_all(runs.folder / "a");
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  CHECK(server.get(since).json().at("names") == Json{kScript, "new", "sweep/2-seeds/seed-1"});
}

TEST_CASE("curves come whole, then as they grow, and again after a resumption that cut lines") {
  const Folder runs;
  const std::string log = runs.add("run", 50, false) + "/metrics.jsonl";
  const Served server(Served::of(runs.folder.path));
  Json curves;
  std::string from = all_of(server, "run", curves);
  CHECK(curves == curves_json(read_run_log(runs.folder / "run")));
  AppendFile file(log);
  file.write_line(R"({"type":"train","step":51,"loss":0.25})");
  file.write(R"({"type":"train","step":52,"lo)");  // torn: it comes when it is whole
  Json grown = server.get("/api/curves?run=run" + from).json();
  CHECK(grown.at("again") == false);
  CHECK(grown.at("curves") == Json{{"loss", {{"train", {{"x", {51}}, {"y", {0.25}}, {"of", 1}}}}}});
  file.write("ss\":0.5}\n");
  from = fmt::format("&from={}&mark={}", grown.at("to").get<int>(), grown.at("mark").get<std::string>());
  grown = server.get("/api/curves?run=run" + from).json();
  CHECK(grown.at("curves").at("loss").at("train").at("x") == Json{52});
  truncate_after(log, 30);
  for (int i = 31; i < 80; i++)
    AppendFile(log).write_line(fmt::format("{{\"type\":\"train\",\"step\":{},\"loss\":9.5}}", i));
  from = fmt::format("&from={}&mark={}", grown.at("to").get<int>(), grown.at("mark").get<std::string>());
  grown = server.get("/api/curves?run=run" + from).json();
  CHECK(grown.at("again") == true);
  CHECK(grown.at("curves") == curves_json(read_run_log(runs.folder / "run")));
}

TEST_CASE("a log of many steps comes in parts, thinned, with every extreme") {
  const Folder runs;
  const std::string log = runs.add("long", 1, false) + "/metrics.jsonl";
  std::string lines;
  for (int i = 2; i <= 40000; i++)
    lines += fmt::format(
        "{{\"type\":\"train\",\"step\":{},\"loss\":{},\"lr\":0.001,\"grad_norm\":1.25,\"tokens\":{}}}\n", i,
        i == 20000 ? 77.5 : 1.0 / i, i * 64);
  AppendFile(log).write(lines);
  const Served server(Served::of(runs.folder.path));
  std::string from;
  std::set<double> values;
  int parts = 0;
  std::size_t points = 0;
  for (bool more = true; more; parts++) {
    const Json got = server.get("/api/curves?run=long" + from).json();
    for (const Json& y : got.at("curves").at("loss").at("train").at("y")) values.insert(y.get<double>());
    points += got.at("curves").at("loss").at("train").at("x").size();
    more = got.at("more").get<bool>();
    from =
        fmt::format("&from={}&mark={}", got.at("to").get<std::int64_t>(), got.at("mark").get<std::string>());
    CHECK(got.at("again") == false);
  }
  CHECK(parts >= 2);
  CHECK(points < 6000);
  CHECK(values.count(77.5) == 1);
  CHECK(*values.begin() == doctest::Approx(1.0 / 40000));
}

TEST_CASE("what is served about a run is what report says, and answers are those of predict") {
  const SmallData data;
  const std::string run = data.folder / "runs/small";
  {
    Session session(data.encoder());
    make_directories(run);
    write_file_atomic(run + "/config.resolved.toml", session.config.dump());
    session.train(run);
  }
  const Served server(Served::of(data.folder / "runs"));
  const Client page(server.serve->port(), server.token);
  Json report = server.get("/api/report?run=small").json();
  CHECK((report == parse_json(dump_json(report_data({run})), "report")));
  Json& expected = report["runs"][0];
  CHECK(server.get("/api/why?run=small").json() == expected.at("diagnosis"));
  for (const char* other : {"curves", "problems", "diagnosis"}) expected.erase(other);
  Json own = server.get("/api/run?run=small").json();
  own.erase("problems");
  CHECK((own == expected));
  CHECK(server.get("/report?run=small").status == 200);
  CHECK((server.get("/api/film?run=small").json() == report.at("film")));

  const std::string text = "they saw the [bank] with cash";
  const Json answer = page.post("/api/answer", dump_json({{"run", "small"}, {"text", text}})).json();
  const Experiment e = load_experiment(run);
  CHECK(dump_json(answer.at("prediction")) == dump_json(e.task->predict(*e.model, text)));
  CHECK(answer.at("words").size() == 6);
  CHECK(answer.at("target") == 3);
  CHECK(answer.at("attention").at(0).at("weights").size() == 2);
  for (const Json& row : answer.at("attention").at(0).at("weights").at(1)) {
    double sum = 0;
    for (const Json& weight : row) sum += weight.get<double>();
    CHECK(sum == doctest::Approx(1).epsilon(1e-3));
  }
  for (const auto& [body, part] : std::vector<std::pair<Json, std::string>>{
           {{{"run", "small"}, {"text", "no such word"}}, "target"},
           {{{"run", "small"}, {"text", text}, {"options", {{"temprature", 1}}}},
            "did you mean 'temperature'?"},
           {{{"run", "small"}, {"text", text}, {"options", {{"seed", "x"}}}}, "seed must be an integer"},
           {{{"run", "small"}, {"text", text}, {"options", {{"max_tokens", 100000}}}}, "at most"},
           {{{"run", "small"}, {"text", text}, {"options", {{"checkpoint", "../../small"}}}},
            "checkpoint must be"},
           {{{"run", "small"}, {"text", text}, {"options", {{"checkpoint", "step-9"}}}}, "step-9"},
           {{{"run", "small"}, {"text", 1}}, "types"},
           {{{"run", "small"}}, "types"},
           {{{"run", 7}}, "name of a run"},
           {{{"run", "smal"}, {"text", text}}, "one of the folder"}}) {
    const Reply reply = page.post("/api/answer", dump_json(body));
    CAPTURE(reply.body);
    CHECK(reply.status == 400);
    CHECK(reply.json().at("error").get<std::string>().find(part) != std::string::npos);
  }
}

TEST_CASE("requests of other hosts and origins, and changes without the page's token, are refused") {
  const Folder runs;
  runs.add("run", 5);
  const Served server(Served::of(runs.folder.path));
  const std::string own = fmt::format("http://127.0.0.1:{}", server.serve->port()),
                    json = "Content-Type: application/json\r\n";
  REQUIRE(server.token.size() == 32);
  for (const std::string good :
       {"Host: localhost\r\n", "Host: LOCALHOST:99\r\n", "Host: [::1]:8088\r\n", "Sec-Fetch-Site: none\r\n",
        "Sec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"})
    CHECK_MESSAGE(server.get("/api/runs", good).status == 200, good);
  CHECK(server.get("/api/runs", "Origin: " + own + "\r\n").status == 200);
  for (const std::string bad :
       {"Host: evil.example\r\n", "Host: localhost.evil.example\r\n", "Host: 127.0.0.1.evil.example\r\n",
        "Host: 127.0.0.1:80x\r\n", "Host: localhost\r\nHost: evil.example\r\n", "Host: \r\n",
        "Host: 192.168.0.7\r\n", "Host: user@localhost\r\n", "Origin: http://evil.example\r\n",
        "Origin: null\r\n", "Origin: http://127.0.0.1:1\r\n", "Origin: http://localhost\r\n",
        "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n"})
    CHECK_MESSAGE(server.get("/api/runs", bad).status == 403, bad);
  CHECK(server.send("GET /api/runs HTTP/1.0\r\n\r\n").status == 403);  // no host at all

  const std::string body = R"({"run": "run"})", token = "X-Qkv-Token: " + server.token + "\r\n";
  CHECK(server.post("/api/stop", body, json + token).status == 400);  // it does not train
  CHECK(server.post("/api/stop", body, json).status == 403);
  CHECK(server.post("/api/stop", body, json + "X-Qkv-Token: " + std::string(32, '0') + "\r\n").status == 403);
  CHECK(server.post("/api/stop", body, json + "X-Qkv-Token: " + server.token.substr(1) + "\r\n").status ==
        403);
  CHECK(server.post("/api/stop", body, json + token + "Origin: http://evil.example\r\n").status == 403);
  CHECK(server.post("/api/stop", body, "Content-Type: text/plain\r\n" + token).status == 415);
  CHECK(server.post("/api/stop", body, "Content-Type: multipart/form-data; boundary=x\r\n" + token).status ==
        415);
  CHECK(server.post("/api/stop", body, json + token + "Content-Encoding: gzip\r\n").status == 415);
  CHECK(server.post("/api/stop", body, json + token + "Transfer-Encoding: chunked\r\n").status == 415);
  CHECK(server.post("/api/runs", body, json + token).status == 404);
  CHECK(server.get("/api/stop").status == 405);
  CHECK(server.post("/api/stop", std::string(100'000, ' '), json + token).status == 413);
  CHECK(server.post("/api/stop", "[1]", json + token).status == 400);
  CHECK(server.post("/api/stop", std::string(1000, '['), json + token).status == 400);
  for (const std::string method : {"PUT", "DELETE", "OPTIONS", "PATCH"})
    CHECK(server.send(method + " /api/runs HTTP/1.1\r\n" + server.host() + "\r\n").status == 405);
  CHECK(server.send("HEAD / HTTP/1.1\r\n" + server.host() + "\r\n").body.empty());
  CHECK(server.page_token() == server.token);
  CHECK(Served(Served::of(runs.folder.path)).token != server.token);
}

TEST_CASE("an address that others can reach needs a token on every request") {
  const Folder runs;
  ServeOptions options{runs.folder.path, "0.0.0.0", 0, ""};
  for (const std::string token : {"", "short"}) {
    options.token = token;
    CHECK_THROWS_WITH_AS(Serve{options}, doctest::Contains("needs a --token of at least 16 characters"),
                         Error);
  }
  options.token = "0123456789abcdef";
  const Served server(options);
  CHECK(server.get("/api/runs").status == 401);
  CHECK(server.get("/").status == 401);
  CHECK(server.get("/?token=0123456789abcdeF").status == 401);
  CHECK(server.get("/api/runs", "Authorization: Bearer 0123456789abcde\r\n").status == 401);
  CHECK(server.get("/api/runs", "Authorization: Bearer 0123456789abcdef\r\n").status == 200);
  CHECK(server.get("/?token=0123456789abcdef", "Host: machine.example\r\n").status == 200);
  CHECK(server.get("/api/runs?token=0123456789abcdef", "Origin: http://evil.example\r\n").status == 403);
  CHECK(server.serve->url().find("?token=0123456789abcdef") != std::string::npos);
  CHECK(same_secret("abc", "abc"));
  for (const std::string other : {"", "ab", "abd", "abca", "abcabc"}) CHECK(!same_secret("abc", other));
  CHECK(!same_secret("", "abc"));
}

TEST_CASE("neither names nor links lead out of the folder") {
  const Folder runs, outside;
  const std::string secret = outside.add("secret", 3);
  runs.add("plain", 3);
  fs::create_directory_symlink(secret, runs.folder / "linked");
  fs::create_directory_symlink(outside.folder.path, runs.folder / "nested");
  make_directories(runs.folder / "log");
  fs::create_symlink(secret + "/metrics.jsonl", runs.folder / "log/metrics.jsonl");
  fs::create_symlink("/etc/passwd", runs.add("inner", 3) + "/result.json");
  fs::create_directory_symlink("plain", runs.folder / "same");  // stays within
  make_directories(runs.folder / "sweep");
  write_file_atomic(runs.folder / "sweep/picture.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
  write_file_atomic(outside.folder / "other.svg", "<svg/>");
  fs::create_symlink(outside.folder / "other.svg", runs.folder / "sweep/other.svg");
  const Served server(Served::of(runs.folder.path));
  CHECK(server.get("/api/runs").json().at("names") == Json{"inner", "log", "plain", "same"});
  CHECK(server.get("/api/run?run=plain").status == 200);
  for (const std::string& name :
       std::vector<std::string>{"linked", "nested/secret", "..", "../" + secret, secret, "plain/..",
                                "plain%2F..%2Fplain", "%2e%2e", "plain%00", "", "inner", "log"})
    for (const std::string path : {"/api/run", "/api/curves", "/api/film", "/report", "/api/report"}) {
      const Reply reply = server.get(path + "?run=" + name);
      CAPTURE((path + " " + name + " " + reply.body));
      CHECK(reply.status ==
            (name == "inner" && path == "/api/curves" ? 200 : 400));  // curves: of the log alone
    }
  for (const std::string path : {"/etc/passwd", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
                                 "/plain/metrics.jsonl", "//etc/passwd"})
    CHECK(server.get(path).status == 404);
  CHECK(server.get("/api/pictures").json() == Json{{"pictures", {"sweep/picture.svg"}}});
  CHECK(server.get("/picture?file=sweep/picture.svg").status == 200);
  for (const std::string file : {"sweep/other.svg", "../other.svg", "plain/metrics.jsonl", "/etc/passwd",
                                 "sweep/../sweep/picture.svg"})
    CHECK(server.get("/picture?file=" + file).status == 404);
}

TEST_CASE("the page runs only its own script, and JSON is nothing else") {
  const Folder runs;
  runs.add(kScript, 5);
  const Served server(Served::of(runs.folder.path));
  const Reply page = server.get("/"), again = server.get("/"), json = server.get("/api/runs");
  const std::size_t at = page.head.find("script-src 'nonce-");
  REQUIRE(at != std::string::npos);
  const std::string nonce = page.head.substr(at + 18, 32);
  CHECK(again.head.find(nonce) == std::string::npos);
  const std::string script = fmt::format("<script nonce=\"{}\"", nonce);
  int scripts = 0;
  for (std::size_t tag = 0; (tag = page.body.find("<script", tag)) != std::string::npos; tag++, scripts++)
    CHECK(page.body.substr(tag, script.size()) == script);
  CHECK(scripts == 2);
  CHECK(page.head.find("unsafe") == std::string::npos);
  CHECK(page.head.find("frame-ancestors 'none'") != std::string::npos);
  for (const Reply& reply : {page, json}) {
    CHECK(reply.head.find("X-Content-Type-Options: nosniff") != std::string::npos);
    CHECK(reply.head.find("Cache-Control: no-store") != std::string::npos);
    CHECK(reply.head.find("Cross-Origin-Resource-Policy: same-origin") != std::string::npos);
    CHECK(reply.head.find("Access-Control") == std::string::npos);
  }
  CHECK(json.head.find("Content-Type: application/json") != std::string::npos);
  CHECK(page.body.find(runs.folder.path) == std::string::npos);
}

TEST_CASE("a server needs a folder of runs and a free port") {
  const Folder runs;
  CHECK_THROWS_WITH_AS(Serve{Served::of(runs.folder / "nowhere")},
                       doctest::Contains("must be a folder of runs; it does not exist"), Error);
  CHECK_THROWS_WITH_AS(Serve{Served::of(runs.add("one", 1))}, doctest::Contains("got a run"), Error);
  const Served server(Served::of(runs.folder.path));
  CHECK_THROWS_WITH_AS((Serve{{runs.folder.path, "127.0.0.1", server.serve->port(), ""}}),
                       doctest::Contains("must be able to listen"), Error);
  CHECK(server.get("/api/runs").json().at("runs").size() == 1);
}

}  // namespace qkv::test
