// What the gateway serves, resolved once from the configuration and never changed afterwards: providers,
// routes, limits. A reload publishes another snapshot; exchanges under way keep the one they began with.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/time.h"
#include "gateway/guards.h"
#include "gateway/price_cache.h"
#include "observe/metrics.h"
#include "policy/failover.h"
#include "policy/judge_rules.h"
#include "policy/pricing.h"
#include "policy/rate_limit.h"
#include "policy/retry.h"
#include "policy/routing.h"
#include "protocol/dialect/canonical.h"
#include "runtime/client/upstream.h"

namespace tidegate::gateway {

namespace dialect = protocol::dialect;
using foundation::duration;
using foundation::instant;

struct provider {
  std::string name;
  policy::provider_kind kind = policy::provider_kind::openai;
  bool enabled = true;
  bool has_url = false;
  policy::base_url url;
  std::string url_text;  // url.text(), made once; set by core::publish
  runtime::origin origin;
  std::string credential;              // what the reference resolves to; empty when absent
  bool credential_configured = false;  // a reference stands in the configuration
  std::string max_tokens_field = "max_tokens";
  duration first_byte = std::chrono::seconds{30};
  policy::provider_index health = 0;    // set by core::publish
  policy::endpoint_epoch endpoint = 0;  // set by core::publish
  policy::credential_id credential_id = 0;
  std::uint64_t credential_fingerprint = 0;  // keyed and one-way, 0 = none: tells a changed one apart (FO-1)
  std::uint32_t requests_per_minute = 0;     // 0 = none
  policy::rate_limiter::slot window = 0;     // set by core::publish
  observe::provider_metrics* metrics = nullptr;  // set by core::publish
  std::unique_ptr<price_cache> prices = std::make_unique<price_cache>();

  // RES-3.
  bool usable() const;
  // The dialect that this provider is spoken to in when the caller speaks `caller`.
  dialect::dialect_id dialect_for(dialect::dialect_id caller) const;
};

// Where calls come in; names for metrics and logs.
enum class surface : std::uint8_t { chat, responses, messages, embeddings, count_tokens, session, other };
inline constexpr std::size_t surfaces = 7;
std::string_view name_of(surface s);

struct target {
  const provider* to = nullptr;
  std::string model;  // as configured: empty (first target only), "*", or a name
};

struct route {
  std::string pattern;
  std::optional<policy::failover_mode> mode;  // nothing: auto
  std::vector<target> targets;
  std::array<observe::counter_by*, surfaces> exchanges{};  // set by core::publish
};

struct timeouts {
  duration v1 = std::chrono::minutes{10};
  duration connect = std::chrono::seconds{10};
  duration idle = std::chrono::seconds{60};
  duration leg = std::chrono::minutes{10};
  duration blame_after = std::chrono::seconds{10};
};

// Of the session surface's requests (RPC-3, TMO-4, CFG-7).
struct rpc_rules {
  std::uint64_t max_body = 10U << 20;
  duration timeout = std::chrono::seconds{30};
  duration config_test = std::chrono::seconds{2};
};

// JDG-3, JDG-5.
struct judge_rules {
  std::string model = "gpt-4o-mini";
  bool advanced = true;
  double temperature = 0.1;
  duration timeout = std::chrono::seconds{30};
  duration ensure_timeout = std::chrono::seconds{15};
  policy::judge_locale locale = policy::judge_locale::en;  // session.locale
};

// What session runs are held to.
struct session_rules {
  duration timeout = std::chrono::seconds{30};  // of a run where neither request nor skill names one
  std::string model;                            // of a run that names none; "": the first route's
  std::string auxiliary_model;                  // of auxiliary skills; "": as `model`
  std::int64_t history_token_budget = 16'000;
  bool compaction = false;
  std::size_t output_max_chars = 32'000;  // code points
  std::size_t batch_deltas = 4;
  duration batch_window = std::chrono::milliseconds{20};
  duration completion_grace = std::chrono::milliseconds{20};
  std::optional<double> temperature = 0.7;  // nothing: not sent
  int tool_rounds = 5;
};

struct snapshot {
  std::vector<std::unique_ptr<provider>> providers;
  std::vector<route> routes;
  std::vector<std::string> patterns;  // of `routes`, in order
  timeouts time;
  rpc_rules rpc;
  judge_rules judge;
  session_rules session;
  policy::retry_settings retry;
  std::uint64_t max_body = 32U << 20;
  std::uint64_t max_upstream_body = 32U << 20;
  std::size_t max_json_depth = 64;
  std::uint64_t max_in_flight = 1024;
  std::vector<std::string> allowed_origins;
  bool listens_on_a_socket_file = false;    // which no browser reaches
  std::vector<caller_policy> policies{{}};  // "default" among them
  std::int64_t project_token_budget = 0;
  foundation::milliseconds idempotency_ttl{24LL * 3'600'000};
  std::shared_ptr<const policy::price_book> prices = std::make_shared<policy::price_book>();

  // The policy of that name; the default one where it is gone since the key was made.
  const caller_policy& policy_named(std::string_view name) const;
};

}  // namespace tidegate::gateway
