#include "serve/serve.h"

#include <algorithm>
#include <filesystem>
#include <mutex>

#include "base/clock.h"
#include "base/file.h"
#include "qkv/version.h"
#include "report/report.h"
#include "serve/guard.h"
#include "serve/models.h"
#include "serve/run_data.h"
#include "serve/trainings.h"
#include "train/run_list.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr std::size_t kPictureBytes = std::size_t{1} << 23;
constexpr double kFollow = 0.25, kRefresh = 0.5;  // seconds between two looks at what goes on, and at all
constexpr double kShare = 0.005;  // of the time at most: looks at a folder of many runs are fewer

HttpResponse json_response(const Json& json) {
  return {200, dump_json(json)};
}

std::uint64_t number_of(const HttpRequest& request, const std::string& name) {
  const std::string text = request.parameter(name);
  if (text.empty()) return 0;
  if (!all_digits(text) || text.size() > 18)
    fail(Fault::usage, "{} must be a number; got {}", name, in_quotes(text));
  return std::stoull(text);
}

}  // namespace

struct Serve::Parts {
  explicit Parts(const ServeOptions& given)
      : options(given),
        list(given.folder, true),
        guard{is_local(given.address), given.token, random_token()} {
    if (!guard.local && options.token.size() < 16)
      fail(Fault::usage,
           "serve: --address {} lets other machines in and needs a --token of at least 16 characters; got {} "
           "(127.0.0.1 needs none)",
           options.address, options.token.size());
    if (is_run(options.folder))
      fail(Fault::usage, "{0}: must be a folder of runs; got a run (its folder is {1})", options.folder,
           fs::path(fs::absolute(options.folder).lexically_normal()).parent_path().string());
    HttpHandlers handlers;
    handlers.admit = [this](const HttpRequest& request) {
      return with_headers(guard.admit(request));
    };
    handlers.answer = [this](const HttpRequest& request) {
      return with_headers(answer(request));
    };
    handlers.posts = posts;
    server = std::make_unique<HttpServer>(options.address, options.port, std::move(handlers));
  }

  static HttpResponse with_headers(HttpResponse response) {
    const bool page = starts_with(response.type, "text/html");
    response.headers.insert(response.headers.end(), {{"X-Content-Type-Options", "nosniff"},
                                                     {"Cache-Control", "no-store"},
                                                     {"Referrer-Policy", "no-referrer"},
                                                     {"Cross-Origin-Resource-Policy", "same-origin"},
                                                     {"X-Frame-Options", "DENY"}});
    if (!page && response.type != "image/svg+xml")
      response.headers.emplace_back("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    return response;
  }

  HttpResponse answer(const HttpRequest& request) {
    using Handler = HttpResponse (Parts::*)(const HttpRequest&);
    static const std::map<std::string, Handler> handlers{{"/", &Parts::page},
                                                         {"/report", &Parts::report},
                                                         {"/picture", &Parts::picture},
                                                         {"/api/runs", &Parts::runs},
                                                         {"/api/curves", &Parts::curves},
                                                         {"/api/run", &Parts::run},
                                                         {"/api/film", &Parts::film},
                                                         {"/api/report", &Parts::data},
                                                         {"/api/why", &Parts::why},
                                                         {"/api/pictures", &Parts::pictures},
                                                         {"/api/answer", &Parts::asked},
                                                         {"/api/stop", &Parts::stop},
                                                         {"/api/extend", &Parts::extend},
                                                         {"/api/draw", &Parts::draw}};
    const auto found = handlers.find(request.path);
    if (found == handlers.end()) return refused(404, "there is no such page");
    const bool changes = std::count(posts.begin(), posts.end(), request.path) > 0;
    if (changes != (request.method == "POST")) return refused(405, changes ? "use POST" : "use GET");
    try {
      return (this->*found->second)(request);
    } catch (const Error& e) {
      const bool theirs = e.fault() == Fault::usage || e.fault() == Fault::data;
      return refused(theirs ? 400 : 500, e.what());
    } catch (const Json::exception&) {
      return refused(400, "the members of the request, or of a file of the run, must be of other types");
    } catch (const std::exception& e) {
      return refused(500, e.what());
    }
  }

  // ---- runs

  void refresh() {  // with `mutex`
    const double now = steady_seconds();
    if (now >= next_refresh) {
      list.refresh();
      followed = steady_seconds();
      next_refresh = followed + std::max(kRefresh, (followed - now) / kShare);
    } else if (now - followed >= kFollow) {
      list.follow();
      followed = steady_seconds();
    }
  }

  // The directory of a run of the folder, or its `file`. Only names that the list has lead to one, and no
  // link of what is named may lead out of the folder.
  std::string path_of(const std::string& name, const std::string& file = "") {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!list.find(name)) refresh();
    const RunSummary* run = list.find(name);
    if (!run)
      fail(Fault::usage, "run: must be one of the folder {}; got {}", options.folder, in_quotes(name));
    const auto check = [&](const fs::path& path) {
      if (fs::is_symlink(path) && !list.holds(path.string()))
        fail(Fault::usage, "{}: {} must not lead out of the folder", name, path.filename().string());
    };
    std::error_code error;
    if (!file.empty())
      check(run->path + "/" + file);
    else
      for (fs::recursive_directory_iterator at(run->path, error), end; !error && at != end;
           at.increment(error))
        check(at->path());
    return file.empty() ? run->path : run->path + "/" + file;
  }
  std::string path_of(const HttpRequest& request) { return path_of(request.parameter("run")); }

  // {"version", "faults", "runs": [those that changed since], "names": [all], where runs came or went}
  HttpResponse runs(const HttpRequest& request) {
    const std::uint64_t since = number_of(request, "since");
    const std::lock_guard<std::mutex> lock(mutex);
    refresh();
    Json result = {{"version", list.version()}, {"faults", continuations.faults()}, {"runs", Json::array()}};
    for (const RunSummary* run : list.runs())
      if (run->version > since) result["runs"].push_back(summary_json(*run));
    if (since == 0 || list.names() > since) {
      result["names"] = Json::array();
      for (const RunSummary* run : list.runs()) result["names"].push_back(run->name);
    }
    return json_response(result);
  }

  HttpResponse curves(const HttpRequest& request) {
    return json_response(curves_since(path_of(request.parameter("run"), "metrics.jsonl"),
                                      number_of(request, "from"), request.parameter("mark")));
  }

  // The entry of a run in the data of a report, without the curves.
  HttpResponse run(const HttpRequest& request) {
    RunLogReader reader(path_of(request));
    reader.poll();
    RunLog log = reader.log();
    log.name = request.parameter("run");
    Problems problems;
    Json one = run_json(log, problems);
    one.erase("curves");
    for (std::string& problem : problems) problem = without_folders(problem);
    one["problems"] = problems;
    return json_response(one);
  }

  HttpResponse film(const HttpRequest& request) {
    Problems problems;
    return json_response(film_json(path_of(request), problems));
  }

  // ---- pages and pictures

  static HttpResponse html(Json data) {
    const std::string nonce = random_token();
    HttpResponse response{200, report_page(data, nonce), "text/html; charset=utf-8"};
    response.headers.emplace_back("Content-Security-Policy", page_policy(nonce) + "; frame-ancestors 'none'");
    return response;
  }

  HttpResponse page(const HttpRequest&) {
    const std::string name =
        fs::path(fs::absolute(options.folder).lexically_normal() / "").parent_path().filename().string();
    return html({{"version", kVersion},
                 {"serve", {{"folder", name}, {"token", guard.page_token}, {"access", options.token}}}});
  }
  HttpResponse report(const HttpRequest& request) { return html(models.report(path_of(request))); }
  HttpResponse data(const HttpRequest& request) { return json_response(models.report(path_of(request))); }
  HttpResponse why(const HttpRequest& request) { return json_response(models.diagnosis(path_of(request))); }

  HttpResponse pictures(const HttpRequest&) { return json_response({{"pictures", pictures_of(list)}}); }
  HttpResponse picture(const HttpRequest& request) {
    const std::vector<std::string> found = pictures_of(list);
    const std::string name = request.parameter("file");
    if (!std::count(found.begin(), found.end(), name))
      return refused(404, "there is no such picture in the folder");
    HttpResponse response{200, read_file(options.folder + "/" + name, kPictureBytes), "image/svg+xml"};
    response.headers.emplace_back("Content-Security-Policy",
                                  "default-src 'none'; style-src 'unsafe-inline'; sandbox");
    return response;
  }

  // ---- changes

  static Json body_of(const HttpRequest& request) {
    Json body = parse_json(request.body, "request", {HttpServer::kMaxBody, 8}, Fault::usage);
    if (!body.is_object() || !body.contains("run") || !body["run"].is_string())
      fail(Fault::usage, "request: must be an object with the name of a run; got {}",
           in_quotes(request.body));
    return body;
  }

  HttpResponse asked(const HttpRequest& request) {
    const Json body = body_of(request);
    const Json options_given = body.value("options", Json::object());
    return json_response(models.answer(path_of(body["run"].get<std::string>()),
                                       body.at("text").get<std::string>(), options_given));
  }

  HttpResponse stop(const HttpRequest& request) {
    stop_training(path_of(body_of(request)["run"].get<std::string>()));
    return json_response({{"stopping", true}});
  }

  HttpResponse extend(const HttpRequest& request) {
    const Json body = body_of(request);
    const std::string name = body["run"].get<std::string>(), path = path_of(name);
    const Json steps = body.at("max_steps");
    if (!steps.is_number_integer())
      fail(Fault::usage, "extend: max_steps must be an integer; got {}", dump_json(steps));
    const std::lock_guard<std::mutex> lock(mutex);
    list.refresh();
    const RunSummary* run = list.find(name);
    continuations.start(name, path, run ? run->steps : 0, steps.get<std::int64_t>());
    return json_response({{"started", true}});
  }

  HttpResponse draw(const HttpRequest& request) {
    const Json body = body_of(request);
    const std::string name = body["run"].get<std::string>(), path = path_of(name);
    std::string lines;
    for (const Json& one : body.at("texts"))
      lines += dump_json(Json{{"text", one.at("text")}, {"arrows", one.at("arrows")}}) + "\n";
    const std::lock_guard<std::mutex> lock(mutex);
    const std::string drawn = continuations.draw(name, path, lines, body.at("weight").get<double>(),
                                                 body.at("heads").get<std::vector<std::string>>());
    return json_response({{"run", name.substr(0, name.rfind('/') + 1) + drawn}});
  }

  const std::vector<std::string> posts{"/api/answer", "/api/stop", "/api/extend", "/api/draw"};
  ServeOptions options;
  std::mutex mutex;  // of all below but the models
  RunList list;
  double followed = -1, next_refresh = 0;  // seconds
  Continuations continuations;
  Models models;
  Guard guard;
  std::unique_ptr<HttpServer> server;
};

Serve::Serve(const ServeOptions& options) : parts_(std::make_unique<Parts>(options)) {}
Serve::~Serve() = default;

int Serve::port() const {
  return parts_->server->port();
}

std::string Serve::url() const {
  const std::string& address = parts_->options.address;
  const std::string host = address.find(':') == std::string::npos ? address : "[" + address + "]";
  const std::string& token = parts_->options.token;
  return fmt::format("http://{}:{}/{}", host, port(), token.empty() ? "" : "?token=" + token);
}

void Serve::run(int stop) {
  parts_->server->run(stop);
}

std::size_t Serve::trainings() {
  return parts_->continuations.running();
}

}  // namespace qkv
