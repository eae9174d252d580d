// Bounds the write-ahead log beside readers that never rest. The log begins anew only at a moment when nobody
// reads: when it has grown past its bound, no read begins until those under way have ended and the writer has
// brought all of it into the file.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

#include "foundation/time.h"

namespace tidegate::storage::sqlite {

class read_gate {
 public:
  // Before a read: waits while the gate is closed, until `by` at most. False: it was closed until then, and
  // the read must not begin. A writer that has nothing to write opens no gate, and the log does not grow
  // then: nobody waits for it longer than `unattended`.
  bool enter(const foundation::clock& time, foundation::instant by);
  void leave();

  // The writer's, behind each commit: closes it where the log is past its bound. True: nobody reads, and the
  // log may begin anew; then `open`.
  bool close(bool log_is_long);
  void open();

 private:
  static constexpr foundation::milliseconds unattended{250};
  std::mutex mutex_;
  std::condition_variable change_;
  // Guarded by mutex_.
  std::size_t reading_ = 0;
  bool closed_ = false;
};

}  // namespace tidegate::storage::sqlite
