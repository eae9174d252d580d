// Puts load on one URL over connections of its own and reports what came back. One thread: that of run().
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>

#include "foundation/time.h"
#include "load/report.h"
#include "load/request.h"
#include "load/schedule.h"

namespace tidegate::load {

struct plan {
  target to;
  request_shape shape;
  schedule when = schedule::closed_loop(std::chrono::seconds{10});
  // Closed loop: how many callers. Open loop: the most connections; calls beyond wait, and the wait counts.
  std::uint64_t connections = 16;
  duration call_timeout = std::chrono::seconds{60};
  // Calls under way when the time is over get this long to end.
  duration grace = std::chrono::seconds{5};
};

// Called a few times a second; false ends the run early.
using progress = std::function<bool(const report&)>;

// Fails only where nothing could be tried: an unknown host, no TLS. A server that refuses is an error in the
// report.
std::expected<report, std::string> run(plan what, const foundation::clock& time, const progress& on_progress);

}  // namespace tidegate::load
