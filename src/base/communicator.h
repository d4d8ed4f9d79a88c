// Communicator: the processes ("ranks") that train one model together. By default there is one, which knows
// of no others; `mpirun -n 4 qkv train ...` makes four of them (src/mpi).
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "qkv/base/error.h"

namespace qkv {

/// The error that all ranks throw after one of them has told it (see Communicator::agree).
struct AgreedError : Error {
  using Error::Error;
};

/// All ranks call the same members in the same order (`progress` at any time), each from one thread.
class Communicator {
 public:
  struct Piece {
    void* data;
    std::size_t bytes;
  };

  Communicator(int rank, int size) : rank_(rank), size_(size) {}
  virtual ~Communicator() = default;
  int rank() const { return rank_; }
  int size() const { return size_; }
  bool alone() const { return size_ == 1; }
  /// Where the part of each rank begins, and the last one ends, of n things of so many bytes each.
  std::vector<std::size_t> parts(std::size_t n, std::size_t bytes = 1) const;

  /// Begins to send out[r] to each rank r and to fill in[r] with what that rank sends here; both know its
  /// size. Pieces for oneself are left alone.
  virtual void start(const std::vector<Piece>& out, const std::vector<Piece>& in) = 0;
  /// Goes on with what was started, without waiting; whether all of it is done.
  virtual bool progress() = 0;
  /// Waits for all that was started.
  virtual void finish() = 0;
  /// Ends the processes of all ranks.
  [[noreturn]] virtual void abort(int code) = 0;

  /// Of `all`, rank r has filled the bytes [begins[r], begins[r + 1]); the others' parts are filled in.
  void gather(void* all, const std::vector<std::size_t>& begins);
  /// The texts of all ranks, by rank.
  std::vector<std::string> all(const std::string& own);
  /// Rank 0 tells the others these bytes.
  void broadcast(void* data, std::size_t bytes);
  /// Throws in all ranks, as an AgreedError, what the first rank gives that gives an error.
  void agree(const Error* own = nullptr);

  /// Workers for this rank: the CPUs it may use, shared with the other ranks that may use the same ones; 0 of
  /// one that is alone.
  int threads = 0;
  /// Whether others wait for what this rank computes next: then an error here ends all processes. Else it is
  /// told to the others by `agree`.
  bool computing = false;
  /// Whether a signal has asked this process to stop.
  bool (*stopping)() = nullptr;
  /// Shows the user an error that does not come from here.
  void (*report)(const std::string& text) = nullptr;

 protected:
  /// For implementations, called again and again while nothing comes from these ranks: reports ranks that
  /// seem to have died, and returns true when it has, for the others to be told. `silent_since` is 0 at the
  /// first call of a wait.
  bool wait_for(const std::vector<int>& missing, bool broken, double& silent_since);

 private:
  int rank_, size_;
  bool reported_ = false;
};

/// That of this process.
Communicator& communicator();

/// The number of processes that mpirun has started together with this one, and which of them this is.
int started_ranks();
int started_rank();
/// Joins them, through libqkv_mpi.so, which lies beside the library. A usage error where qkv has none.
void start_communicator();
/// The ranks go apart.
void stop_communicator();

}  // namespace qkv
