// What time it is.
#pragma once

namespace qkv {

/// Seconds since some moment in the past; never goes back.
double steady_seconds();
/// Seconds since 1970.
double epoch_seconds();
/// Seconds of CPU time that this thread has used.
double thread_cpu_seconds();

}  // namespace qkv
