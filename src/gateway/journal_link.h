// One loop's line to the journal. Records of a round leave together at its end; who waits for them is resumed
// in the loop when the writer thread says how far it has come. Loop thread only, save for the listener's
// part.
#pragma once

#include <coroutine>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string_view>
#include <vector>

#include "gateway/record_log.h"
#include "journal/journal.h"
#include "runtime/loop.h"

namespace tidegate::gateway {

struct stage_durability {
  journal::durability start = journal::durability::process;
  journal::durability end = journal::durability::power;
};

// The journal must be closed before this goes: its writer may be calling.
class journal_link final : public record_log, private journal::commit_listener {
 public:
  journal_link(runtime::loop& loop, journal::journal& to, stage_durability wanted);
  void append(stage s, std::string_view payload) override;
  runtime::task<bool> durable(stage s) override;
  bool stopped() const noexcept override { return journal_.stopped(); }

 private:
  class commit_wait;
  // A batch that the journal has not answered for yet, and who waits for it.
  struct sent_batch {
    std::uint64_t cookie;
    std::vector<commit_wait*> waiting;
  };
  // Two lines: what ends runs asks for more than what starts them, and must not make starts wait for it.
  struct line {
    journal::batch pending;
    journal::durability wanted = journal::durability::process;
    std::uint64_t sent = 0;  // cookie of the last batch handed over
    std::deque<sent_batch> open;
    // Cookies of batches that were not taken, the newest `refused_max` of them.
    std::deque<std::uint64_t> refused;
  };
  struct news {
    std::uint64_t cookie;
    bool taken;
  };
  static constexpr std::size_t refused_max = 4'096;

  line& line_of(stage s) noexcept { return s == stage::end ? end_ : start_; }
  void hand_over();
  void hand_over(line& l, std::uint64_t tag);
  void hear(const news& told);
  // Writer thread, or within append().
  void committed(std::uint64_t cookie) noexcept override { tell({cookie, true}); }
  void failed(std::uint64_t cookie) noexcept override { tell({cookie, false}); }
  void tell(news told) noexcept;

  runtime::loop& loop_;
  journal::journal& journal_;
  line start_;
  line end_;
  std::mutex mutex_;
  std::vector<news> told_;  // guarded by mutex_
};

}  // namespace tidegate::gateway
