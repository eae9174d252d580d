// One loop's line to the journal. Records of a round leave together at its end; who waits for them is resumed
// in the loop when the writer thread says how far it has come. Loop thread only, save for the listener's
// part.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
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
  // Two lines: what ends runs asks for more than what starts them, and must not make starts wait for it.
  struct line {
    journal::batch pending;
    journal::durability wanted = journal::durability::process;
    std::uint64_t sent = 0;              // cookie of the last batch handed over
    std::atomic<std::uint64_t> done{0};  // written by the journal's thread
    struct waiter {
      std::uint64_t cookie;
      std::coroutine_handle<> handle;
    };
    std::vector<waiter> waiting;  // in order of their cookies
  };
  class commit_wait;

  line& line_of(stage s) noexcept { return s == stage::end ? end_ : start_; }
  void hand_over();
  void hand_over(line& l, std::uint64_t tag);
  void resume_committed();
  void resume_committed(line& l);
  void committed(std::uint64_t cookie) noexcept override;
  void failed(std::uint64_t cookie) noexcept override;
  void wake_loop() noexcept;

  runtime::loop& loop_;
  journal::journal& journal_;
  line start_;
  line end_;
  std::atomic<bool> failed_{false};
  std::atomic<bool> posted_{false};
};

}  // namespace tidegate::gateway
