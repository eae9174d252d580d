// The story of one exchange: resolve, choose a target, make a leg, relay, report, answer. Sequencing only:
// each step's thinking lives in policy/ and protocol/dialect. Knows callers by `reply_sink` and providers by
// runtime::upstream_client, so that a test tells the whole story without a socket, on simulated time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"
#include "foundation/random.h"
#include "gateway/core.h"
#include "gateway/record_log.h"
#include "gateway/story.h"
#include "protocol/dialect/dialect.h"
#include "runtime/async/cancel.h"
#include "runtime/async/task.h"
#include "runtime/client/upstream.h"
#include "runtime/loop.h"

namespace tidegate::gateway {

// What the caller sees. False from a write: the caller has gone; no more writes then.
class reply_sink {
 public:
  virtual ~reply_sink() = default;
  // `headers`: lines "name: value\r\n".
  virtual runtime::task<bool> whole(int status, std::string_view headers, std::string_view body) = 0;
  virtual runtime::task<bool> begin_stream(int status, std::string_view headers) = 0;
  virtual runtime::task<bool> write(std::string_view bytes) = 0;
  virtual runtime::task<bool> end_stream() = 0;
  // The stream ends without its end.
  virtual void break_off() = 0;
  // The request's bytes are no longer needed.
  virtual void release_request() = 0;
  virtual runtime::cancel_source& gone() = 0;
  virtual void set_deadline(instant when) = 0;
};

enum class endpoint : std::uint8_t { generate, embeddings, count_tokens };

struct call {
  endpoint what = endpoint::generate;
  dialect::dialect_id dialect = dialect::dialect_id::openai_chat;
  surface from = surface::other;
  std::string body;
  std::string dialect_headers;  // the caller's own header lines of its dialect, to be passed to a target that
                                // speaks it
  std::string query;            // "?beta=true", passed on to a target of the same dialect
  std::string run_id;
  std::string trace_id;
  caller who;
  instant arrived;
  std::optional<duration> timeout;  // x-tidegate-timeout-ms; of a session run its whole time limit
  // A session run's own part of the story; null for /v1. `asked` then says model, stream and max_tokens ahead
  // of the body, which the story composes when the run starts.
  story* session = nullptr;
  dialect::request_summary asked{};
};

// What one loop lends its exchanges.
struct loop_services {
  runtime::loop& loop;
  runtime::upstream_client& upstream;
  foundation::random_source& random;
  record_log& records;
};

// Runs the call to its one terminal. Always answers through `reply`, unless the caller has gone. `request` is
// used up; it and all else given must outlive the task.
runtime::task<void> run_exchange(core& shared, loop_services& services, call& request, reply_sink& reply);

// A refusal before any exchange began (authentication, overload, unknown path): answered in the caller's
// dialect.
runtime::task<void> refuse(core& shared, dialect::dialect_id dialect, surface from,
                           const foundation::failure& why, std::string_view run_id, std::string_view trace_id,
                           record_log& records, reply_sink& reply);

// As refuse, for callers that nobody knows: not on the record (decision 0008).
runtime::task<void> turn_away(core& shared, dialect::dialect_id dialect, surface from,
                              const foundation::failure& why, std::string_view run_id,
                              std::string_view trace_id, reply_sink& reply);

// A run that ends before any exchange began, on the record and told to nobody.
void record_refusal(core& shared, surface from, const foundation::failure& why, std::string_view run_id,
                    std::string_view trace_id, record_log& records);

// The window of a client key is full (RL-1).
foundation::failure key_limit_failure(std::uint32_t per_minute, duration retry_after);
// What callers are told once the journal has stopped (DEG-2).
foundation::failure journal_failure();

}  // namespace tidegate::gateway
