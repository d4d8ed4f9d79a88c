#include "base/communicator.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/clock.h"
#include "base/machine.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"

namespace qkv {
namespace {

struct Alone : Communicator {
  Alone() : Communicator(0, 1) {}
  void start(const std::vector<Piece>&, const std::vector<Piece>&) override {}
  bool progress() override { return true; }
  void finish() override {}
  void abort(int code) override { ::_exit(code); }
};

std::unique_ptr<Communicator>& of_process() {
  static std::unique_ptr<Communicator> ranks = std::make_unique<Alone>();
  return ranks;
}

int number_of(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text && all_digits(text) ? std::atoi(text) : otherwise;
}

// The CPUs of this process, shared with the other ranks that may use the same ones.
int threads_of(Communicator& ranks) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  ::sched_getaffinity(0, sizeof cpus, &cpus);
  std::string own(256, '\0');  // the host and its CPUs
  ::gethostname(own.data(), own.size() - 1);
  own.append(reinterpret_cast<const char*>(&cpus), sizeof cpus);
  const std::vector<std::string> places = ranks.all(own);
  return std::max(1, available_threads() / int(std::count(places.begin(), places.end(), own)));
}

using Pieces = std::vector<Communicator::Piece>;

}  // namespace

std::vector<std::size_t> Communicator::parts(std::size_t n, std::size_t bytes) const {
  const auto ranks = std::size_t(size_);
  std::vector<std::size_t> begins(ranks + 1);
  for (std::size_t r = 0; r <= ranks; r++) begins[r] = n * r / ranks * bytes;
  return begins;
}

void Communicator::gather(void* all, const std::vector<std::size_t>& begins) {
  Pieces in;
  for (std::size_t r = 0; r + 1 < begins.size(); r++)
    in.push_back({static_cast<char*>(all) + begins[r], begins[r + 1] - begins[r]});
  start(Pieces(in.size(), in[std::size_t(rank_)]), in);
  finish();
}

std::vector<std::string> Communicator::all(const std::string& own) {
  const auto n = std::size_t(size_), rank = std::size_t(rank_);
  std::vector<std::size_t> sizes(n), begins(n + 1);
  sizes[rank] = own.size();
  gather(sizes.data(), parts(n, sizeof sizes[0]));
  for (std::size_t r = 0; r < n; r++) begins[r + 1] = begins[r] + sizes[r];
  std::string bytes(begins[n], '\0');
  own.copy(bytes.data() + begins[rank], own.size());
  gather(bytes.data(), begins);
  std::vector<std::string> texts;
  for (std::size_t r = 0; r < n; r++) texts.push_back(bytes.substr(begins[r], sizes[r]));
  return texts;
}

// In two rounds, so that rank 0 does not send all to each: a part for each rank, then the parts of all.
void Communicator::broadcast(void* data, std::size_t bytes) {
  const std::vector<std::size_t> begins = parts(bytes);
  Pieces out(std::size_t(size_), Piece{nullptr, 0}), in = out;
  for (std::size_t r = 0; r < out.size(); r++) {
    const Piece piece{static_cast<char*>(data) + begins[r], begins[r + 1] - begins[r]};
    if (rank_ == 0) out[r] = piece;
    if (int(r) == rank_) in[0] = piece;
  }
  start(out, in);
  finish();
  gather(data, begins);
}

void Communicator::agree(const Error* own) {
  if (alone()) return;
  const std::vector<std::string> texts = all(own ? std::string(1, char(own->fault())) + own->what() : "");
  const auto first = std::find_if(texts.begin(), texts.end(), [](auto& text) { return !text.empty(); });
  if (first == texts.end()) return;
  const auto who = first - texts.begin();
  throw AgreedError((who > 0 ? fmt::format("rank {}: ", who) : "") + first->substr(1), Fault(first->front()));
}

// When a process dies, the network reports a broken connection to some of the others, and mpirun sends them
// SIGTERM, and SIGKILL a second later. Those that live still answer; the first of them reports the ones that
// do not. Others, which may also wait for that one, have a little more patience.
bool Communicator::wait_for(const std::vector<int>& missing, bool broken, double& silent_since) {
  constexpr double kPatience = 0.3, kMore = 0.15, kLongest = 5;
  if (reported_ || missing.empty() || !(broken || (stopping && stopping()))) return false;
  if (silent_since == 0) silent_since = steady_seconds();
  const double silent = steady_seconds() - silent_since;
  if (silent < kPatience + kMore * rank_) return false;
  for (int r = 0; r < rank_ && silent < kLongest; r++)
    if (!std::count(missing.begin(), missing.end(), r)) return false;
  reported_ = true;
  if (report)
    report(fmt::format(
        "train: all ranks must answer; got nothing from rank {} (if it has died, the job ends now, and "
        "--resume continues from the newest checkpoint)",
        fmt::join(missing, ", ")));
  return true;
}

Communicator& communicator() {
  return *of_process();
}

int started_ranks() {
  return std::max(1, number_of("OMPI_COMM_WORLD_SIZE", 1));
}

int started_rank() {
  return number_of("OMPI_COMM_WORLD_RANK", 0);
}

void start_communicator() {
  const std::string file = library_folder() + "/libqkv_mpi.so";
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    fail(Fault::usage,
         "mpirun: several processes need a qkv that is built with MPI; got {} processes, and {} (Debian: apt "
         "install libopenmpi-dev, then build again)",
         started_ranks(), ::dlerror());
  const auto make = reinterpret_cast<Communicator* (*)()>(::dlsym(library, "qkv_mpi_communicator"));
  if (!make) fail(Fault::runtime, "{}: must hold qkv_mpi_communicator; got {}", file, ::dlerror());
  of_process().reset(make());
  communicator().threads = threads_of(communicator());
}

void stop_communicator() {
  of_process() = std::make_unique<Alone>();
}

}  // namespace qkv
