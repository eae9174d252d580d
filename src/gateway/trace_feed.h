// Terminal runs on their way into the trace store (TRC-4): gathered while the store is busy and handed over
// together, so that their cost is shared. A run never waits for it and never fails by it (TRC-5).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "observe/log.h"
#include "storage/trace_store.h"

namespace tidegate::gateway {

class trace_feed {
 public:
  // Runs that may wait, and the bytes of their texts; beyond either a trace is given up, which is logged.
  static constexpr std::size_t pending_max = 4'096;
  static constexpr std::size_t pending_bytes_max = std::size_t{16} << 20;

  // Both must outlive flush().
  trace_feed(storage::trace_store& store, const observe::logger& log);
  // Any thread; never waits.
  void keep(storage::trace_record trace);
  // Waits until all that was kept is stored or given up on. After the last keep().
  void flush();

 private:
  struct parts;
  static void hand_over(const std::shared_ptr<parts>& shared);
  std::shared_ptr<parts> parts_;
};

}  // namespace tidegate::gateway
