// One run's stream of text as its client sees it (STR-3 to STR-8): deltas in, numbered chunks, resets and
// exactly one done out. Pure: the driver gives every happening with its instant, then calls tick() once all
// that belongs to that instant has been given; only tick() decides the end, so that a cancel wins over
// whatever else came in the same tick.
//
// In an event loop: feed what a read, a timer or a cancel brings, `co_await loop.round_end()`, tick(); sleep
// until due() when nothing comes.
//
// Bounded: keeps at most output_max_chars code points (and the delta that passed it) twice over.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"
#include "foundation/time.h"
#include "policy/delta_batch.h"

namespace tidegate::policy {

struct stream_settings {
  batch_settings batch{};
  foundation::duration completion_grace = std::chrono::milliseconds{20};
  std::size_t output_max_chars = 32'000;  // code points; STR-7
  // Off: no chunks and no resets come out; text, limit, grace and end are the same (non-streamed runs).
  bool chunks = true;
};

enum class stream_terminal : std::uint8_t { completed, cancelled, error };
// "completed", as in skill:stream:done.
std::string_view name_of(stream_terminal t) noexcept;

// What goes to the client, in order.
struct stream_output {
  enum class kind : std::uint8_t { chunk, reset, done };
  kind what = kind::chunk;
  std::uint32_t attempt = 1;
  std::uint64_t seq = 0;  // chunk: from 1 in each attempt; reset: 0; done: the last chunk's + 1
  std::string text{};     // of the chunk
};

class run_stream {
 public:
  explicit run_stream(const stream_settings& settings) noexcept
      : settings_{settings}, batch_{settings.batch} {}

  // Text as it came, whole code points or not. What comes behind an end is dropped.
  void delta(std::string_view text, foundation::instant now, std::vector<stream_output>& out);
  // The provider's reply is whole. The run completes completion_grace later unless something ends it before.
  void upstream_ended(foundation::instant now) noexcept;
  // The run cannot go on. The first failure stands.
  void failed(foundation::failure why);
  // True: the run will end, or has ended, as cancelled. False: its end is out already.
  bool cancel() noexcept;
  // The reply begins anew (STR-8): what was pending is dropped, seq and text start over. False: an end has
  // been given, nothing begins any more.
  bool reset(std::vector<stream_output>& out);
  // Sends what is due and decides the end. After `done` has come out nothing ever follows.
  void tick(foundation::instant now, std::vector<stream_output>& out);

  // When tick() has something to do at the earliest; a past instant when it has now, `never` when only input
  // can bring something.
  foundation::instant due() const noexcept;
  // An end is given: upstream is of no more use. A driver aborts it when `delta` brought that about (STR-7).
  bool ending() const noexcept { return canceled_ || failure_.has_value(); }

  bool done() const noexcept { return terminal_.has_value(); }
  // Once done.
  std::optional<stream_terminal> terminal() const noexcept { return terminal_; }
  // Set when terminal is `error`.
  const std::optional<foundation::failure>& failure() const noexcept { return failure_; }
  // All chunks of the last attempt, without what is pending.
  const std::string& output() const noexcept { return output_; }
  std::uint32_t attempt() const noexcept { return attempt_; }
  std::uint64_t last_seq() const noexcept { return seq_; }
  // Of the last attempt, pending ones included.
  std::size_t chars() const noexcept { return chars_; }

 private:
  void flush(std::vector<stream_output>& out);
  void end(stream_terminal terminal, std::vector<stream_output>& out);
  bool accepts() const noexcept { return !done() && !ending(); }

  stream_settings settings_;
  delta_batch batch_;
  std::string output_;
  std::size_t chars_ = 0;
  std::uint32_t attempt_ = 1;
  std::uint64_t seq_ = 0;
  bool canceled_ = false;
  std::optional<foundation::failure> failure_;
  std::optional<foundation::instant> completes_;  // upstream has ended; when the grace is over
  std::optional<stream_terminal> terminal_;
};

}  // namespace tidegate::policy
