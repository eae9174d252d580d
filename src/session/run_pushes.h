// The payloads of a run's pushes and of its reply (requirements sections 4 and 5), as JSON text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"
#include "foundation/time.h"
#include "policy/run_stream.h"
#include "policy/scheduler.h"
#include "policy/tool_rounds.h"
#include "protocol/dialect/canonical.h"
#include "protocol/json/json.h"

namespace tidegate::session {

// executionId and runId are the same but for later candidates, which have runs of their own.
struct run_ids {
  std::string execution;
  std::string run;
  std::string trace;
};

struct failover_note {
  std::string from;
  std::string to;
  std::string_view reason;
};

// TRC-5: the run is good, its trace could not be kept.
struct degradation {
  std::string run_id;
  std::string trace_id;
  std::string cause_code;
  std::string cause_message;
};

// What a run, or its candidates together, came to.
struct run_totals {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t session_total = 0;
  std::int64_t micro_usd = 0;
  bool priced = false;  // every call had a price (USE-1)
};

struct done_push {
  policy::stream_terminal terminal = policy::stream_terminal::completed;
  std::string_view output;
  const foundation::failure* error = nullptr;  // with code CANCELED for a cancelled run
  std::string_view model;
  run_totals totals;
  bool used = false;               // some call was made: `result` is told
  std::string_view finish_reason;  // "" for none
  std::span<const policy::tool_call> tool_calls;
  const policy::tool_error* tool_error = nullptr;
  const degradation* degraded = nullptr;
};

std::string_view finish_name(protocol::dialect::finish_reason reason);  // "" for none

std::string chunk_payload(const run_ids& ids, std::uint64_t seq, std::string_view text,
                          foundation::wall_time ts);
std::string reset_payload(const run_ids& ids, std::uint32_t attempt, foundation::wall_time ts);
std::string done_payload(const run_ids& ids, const done_push& done, foundation::wall_time ts);
std::string queue_payload(const run_ids& ids, policy::run_status status, std::size_t position,
                          std::size_t queued, std::size_t global_running, foundation::wall_time ts);
std::string failover_payload(const run_ids& ids, const failover_note& note, foundation::wall_time ts);
std::string tool_started_payload(const run_ids& ids, int round, std::span<const policy::tool_call> calls,
                                 foundation::wall_time ts);
std::string tool_completed_payload(const run_ids& ids, int round,
                                   std::span<const policy::answered_call> answers, bool has_next_round,
                                   foundation::milliseconds took, foundation::wall_time ts);
std::string tool_failed_payload(const run_ids& ids, int round, const policy::tool_error& error,
                                foundation::wall_time ts);

// Members of replies and pushes alike, appended to an open object.
void write_tool_calls(protocol::json::writer& w, std::span<const policy::tool_call> calls);
void write_tool_error(protocol::json::writer& w, const policy::tool_error& error);
void write_degradation(protocol::json::writer& w, const degradation& d);
void write_failover(protocol::json::writer& w, const failover_note& note);
void write_usage(protocol::json::writer& w, const run_totals& totals);

}  // namespace tidegate::session
