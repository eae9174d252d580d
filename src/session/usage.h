// What session runs used and cost (USE-1, COST-3): rows at the end of every call, lists and totals. One
// instance serves all loops.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "foundation/error.h"
#include "gateway/exchange.h"
#include "gateway/record_log.h"
#include "gateway/usage_record.h"
#include "observe/log.h"
#include "policy/access.h"
#include "runtime/async/task.h"
#include "storage/usage_store.h"

namespace tidegate::session {

class usage_book {
 public:
  // Calls that the store has refused wait for the next one; beyond it the oldest are given up (logged).
  static constexpr std::size_t backlog_max = 10'000;
  // Of them, those that are handed to the store at once.
  static constexpr std::size_t batch_max = 256;

  struct share {
    std::int64_t micro_usd = 0;
    std::int64_t requests = 0;
  };
  struct summary {
    std::int64_t micro_usd = 0;
    std::int64_t requests = 0;
    std::int64_t input_tokens = 0;
    std::int64_t output_tokens = 0;
    std::int64_t cached_tokens = 0;
    std::map<std::string, share, std::less<>> by_model;
    std::map<std::string, share, std::less<>> by_skill;
    foundation::wall_time started_at;
  };
  struct listing {
    std::vector<storage::usage_request> records;
    std::int64_t total = 0;  // requests that pass the filter, those that are not listed any more too
  };
  struct asked {
    std::optional<std::string> skill_id;
    std::optional<foundation::wall_time> since;  // inclusive
    std::optional<std::int64_t> limit;           // 1 or more, else INVALID_ARGUMENT
  };

  // Calls that a crash may have kept from the store are handed over again while the store is sure to know
  // those it has: below storage.trace_retention's least, after which calls are purged.
  static constexpr std::chrono::hours restored_age{24 * 7};

  // `started`: what a summary without any call says of its beginning.
  usage_book(storage::usage_store& store, observe::logger& log, foundation::wall_time started);
  // Waits for the store, which gets all that still waits. What it refuses stays on the record for the next
  // start.
  ~usage_book();
  usage_book(const usage_book&) = delete;
  usage_book& operator=(const usage_book&) = delete;

  // At a start, before anything is recorded: what the record does not know to be stored.
  void restore(std::vector<gateway::usage_entry> unconfirmed, foundation::wall_time now);

  // Never waits and never fails its caller: a fault is logged (ai_cost_record_persist_failed) and the call
  // goes along with the next one. What is recorded here is seen by the next list or summary. Journalled in
  // the same round as what its caller has journalled before: a crash takes both or none. The thread of
  // `records`. Negative numbers count as 0, cached tokens never exceed the input.
  void record(gateway::record_log& records, storage::usage_call call);

  // A client sees its own key's, an admin all. Store fault: DB_ERROR.
  runtime::task<std::expected<listing, foundation::failure>> list(gateway::loop_services& services,
                                                                  const policy::principal& who, asked what);
  runtime::task<std::expected<summary, foundation::failure>> summarize(gateway::loop_services& services,
                                                                       const policy::principal& who,
                                                                       asked what);

 private:
  struct backlog;
  struct numbered {
    std::int64_t number;  // on the record
    storage::usage_call call;
  };
  using batch = std::vector<numbered>;
  void flush();
  batch take_waiting();
  static void hand_over(const std::shared_ptr<backlog>& state, batch calls);

  storage::usage_store& store_;
  foundation::wall_time started_;
  std::shared_ptr<backlog> state_;  // shared with the store's answers
};

// What a row of usage warns of (COST-1): "COST_MODEL_NOT_FOUND", "COST_PRICING_STALE", or nothing.
std::optional<std::string> warning_of(const gateway::leg_account& account);

}  // namespace tidegate::session
