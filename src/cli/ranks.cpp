// How a verb runs in the processes that mpirun has started: one reports for all.
#include "base/communicator.h"
#include "cli/answers.h"
#include "cli/training.h"
#include "qkv/log/console.h"

namespace qkv {
namespace {

// An error while others wait for this rank ends all of them. Else they learn of it, and all throw it.
int run_or_agree(const std::function<int()>& work) {
  Communicator& ranks = communicator();
  int code = 1;
  try {
    return work();
  } catch (const AgreedError&) {
    throw;
  } catch (const Error& e) {
    if (!ranks.computing) ranks.agree(&e);
    code = exit_code_of([]() -> int { throw; });
  } catch (...) {
    code = exit_code_of([]() -> int { throw; });
  }
  ranks.abort(code);
  return code;
}

}  // namespace

int run_in_ranks(const std::string& verb, const std::function<int()>& work) {
  if (started_ranks() == 1) return work();
  int code = 0;
  try {
    if (verb != "train" && verb != "resume")
      fail(Fault::usage, "mpirun: must start one process of a verb other than train and resume; got {} of {}",
           started_ranks(), verb);
    start_communicator();
    communicator().report = [](const std::string& text) {
      console().error("{}", text);
    };
    if (started_rank() > 0) console().configure({-1});
    code = run_or_agree(work);
  } catch (const AgreedError&) {  // told by rank 0; before it has, mpirun must see nothing that failed
    stop_communicator();
    if (started_rank() == 0) throw;
    return 0;
  } catch (const Error& e) {
    stop_communicator();
    if (started_rank() == 0) throw;
    return e.exit_code();
  }
  stop_communicator();
  return code;
}

}  // namespace qkv
