// A slow network for the kernel that has no netem: loaded before MPI, it has each exchange of qkv (a wait by
// MPI_Testall) take QKV_TEST_DELAY_US microseconds longer.
#define OMPI_SKIP_MPICXX
#include <mpi.h>
#include <unistd.h>

#include <cstdlib>

extern "C" int MPI_Testall(int count, MPI_Request* requests, int* done, MPI_Status* statuses) {
  const int code = PMPI_Testall(count, requests, done, statuses);
  static const char* const delay = std::getenv("QKV_TEST_DELAY_US");
  if (*done && count > 0 && delay) ::usleep(static_cast<useconds_t>(std::atoi(delay)));
  return code;
}
