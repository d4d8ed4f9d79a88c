// Communicator over MPI. A shared object of its own, loaded only where mpirun has started several processes:
// qkv itself needs no MPI.
#define OMPI_SKIP_MPICXX
#include <mpi.h>
#include <sched.h>

#include <algorithm>

#include "base/clock.h"
#include "base/communicator.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr int kData = 1, kGoodbye = 2;  // tags

void check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING + 1] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail(Fault::runtime, "{}: must succeed; got {}", what, text);
}

int ask(int (*f)(MPI_Comm, int*)) {
  int value = 0;
  check(f(MPI_COMM_WORLD, &value), "MPI");
  return value;
}

class Mpi : public Communicator {
 public:
  Mpi() : Communicator(ask(MPI_Comm_rank), ask(MPI_Comm_size)) {
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm near;  // the ranks of this machine
    check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &near), "MPI");
    int neighbours = 0;
    MPI_Comm_size(near, &neighbours);
    MPI_Comm_free(&near);
    if (neighbours < size()) block_ = 60000;
  }
  ~Mpi() override { MPI_Finalize(); }

  void start(const std::vector<Piece>& out, const std::vector<Piece>& in) override {
    for (int i = 1; i < size(); i++) {  // not all to the same rank first
      const int from = (rank() + size() - i) % size();
      each_block(in[static_cast<std::size_t>(from)], from, [&](char* data, int bytes, MPI_Request* request) {
        return MPI_Irecv(data, bytes, MPI_BYTE, from, kData, MPI_COMM_WORLD, request);
      });
    }
    for (int i = 1; i < size(); i++) {
      const int to = (rank() + i) % size();
      each_block(out[static_cast<std::size_t>(to)], to, [&](char* data, int bytes, MPI_Request* request) {
        return MPI_Isend(data, bytes, MPI_BYTE, to, kData, MPI_COMM_WORLD, request);
      });
    }
  }

  bool progress() override {
    const int count = static_cast<int>(requests_.size());
    int done = 0;
    if (MPI_Testall(count, requests_.data(), &done, MPI_STATUSES_IGNORE) != MPI_SUCCESS) broken_ = true;
    if (!done || broken_) return false;
    requests_.clear(), owners_.clear();
    return true;
  }

  void finish() override {
    constexpr double kSpin = 50e-6, kLook = 0.05;
    const double start = steady_seconds();
    double look = start + kLook, silent_since = 0;
    while (!progress()) {
      const double now = steady_seconds();
      if (now > start + kSpin) ::sched_yield();
      if (now < look) continue;
      look = now + kLook;
      int goodbye = 0;
      MPI_Iprobe(MPI_ANY_SOURCE, kGoodbye, MPI_COMM_WORLD, &goodbye, MPI_STATUS_IGNORE);
      if (goodbye || !wait_for(missing(), broken_, silent_since)) continue;
      say_goodbye();
      if (broken_) MPI_Abort(MPI_COMM_WORLD, 1);
    }
  }

  void abort(int code) override {
    say_goodbye();
    MPI_Abort(MPI_COMM_WORLD, code);
    std::abort();
  }

 private:
  // Tells the others that what ends all is reported.
  void say_goodbye() {
    for (int r = 0; r < size(); r++) {
      MPI_Request request;
      if (r != rank()) MPI_Isend(nullptr, 0, MPI_BYTE, r, kGoodbye, MPI_COMM_WORLD, &request);
    }
  }

  template <class F>
  void each_block(const Piece& piece, int owner, F start) {
    for (std::size_t at = 0; at < piece.bytes; at += block_) {
      const std::size_t bytes = std::min(block_, piece.bytes - at);
      requests_.push_back(MPI_REQUEST_NULL), owners_.push_back(owner);
      if (start(static_cast<char*>(piece.data) + at, static_cast<int>(bytes), &requests_.back()))
        broken_ = true, lost_.push_back(owner);
    }
  }

  // The ranks to or from which something is still under way.
  std::vector<int> missing() {
    std::vector<int> ranks = lost_;
    for (std::size_t i = 0; i < requests_.size(); i++) {
      int done = 0;
      if (MPI_Request_get_status(requests_[i], &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || !done)
        ranks.push_back(owners_[i]);
    }
    std::sort(ranks.begin(), ranks.end());
    ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
    return ranks;
  }

  std::vector<MPI_Request> requests_;
  std::vector<int> owners_;
  // Bytes sent at once: MPI counts in int. To other machines so few that MPI does not first ask the receiver,
  // which may be computing.
  std::size_t block_ = std::size_t{1} << 30;
  bool broken_ = false;    // the network has reported an error: perhaps of a rank that is dead
  std::vector<int> lost_;  // where an exchange could not begin
};

}  // namespace
}  // namespace qkv

extern "C" __attribute__((visibility("default"))) qkv::Communicator* qkv_mpi_communicator() {
  int level = 0;
  qkv::check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level), "MPI_Init_thread");
  return new qkv::Mpi;
}
