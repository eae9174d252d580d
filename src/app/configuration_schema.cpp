#include "app/configuration_schema.h"

#include <algorithm>
#include <type_traits>

namespace tidegate::app {

namespace {

template <typename>
struct member_owner;
template <typename Owner, typename Field>
struct member_owner<Field Owner::*> {
  using type = Owner;
};

template <typename Field>
slot slot_of(Field& field) {
  if constexpr (std::is_enum_v<Field>) {
    static_assert(std::is_same_v<std::underlying_type_t<Field>, std::uint8_t>);
    return choice_slot{reinterpret_cast<std::uint8_t*>(&field)};
  } else {
    return &field;
  }
}

// at<&configuration::server, &server_settings::threads>, at<&policy_settings::period>: the field of a record.
template <auto First, auto... Rest>
slot at(record owner) {
  auto& start = *std::get<typename member_owner<decltype(First)>::type*>(owner);
  if constexpr (sizeof...(Rest) == 0) {
    return slot_of(start.*First);
  } else {
    return slot_of(((start.*First).*....*Rest));
  }
}

// The default values that docs and samples print; never written to.
template <typename Record>
record defaults_of() {
  static Record value;
  return &value;
}

using kind = value_kind;

constexpr std::string_view durability_names[] = {"", "power", "process", "none"};
constexpr std::string_view trace_text_names[] = {"sealed", "off"};
constexpr std::string_view exceed_names[] = {"reject", "clamp"};
constexpr std::string_view period_names[] = {"none", "day", "month"};
constexpr std::string_view locale_names[] = {"en", "zh"};
constexpr std::string_view provider_kind_names[] = {"openai", "anthropic", "openai-compatible"};
constexpr std::string_view tokens_field_names[] = {"", "max_tokens", "max_completion_tokens"};
constexpr std::string_view failover_names[] = {"auto", "after_trip", "immediate"};
constexpr std::string_view role_names[] = {"client", "admin"};

#define TG_SERVER(field) at<&configuration::server, &server_settings::field>
#define TG_ADMIN(field) at<&configuration::admin, &admin_settings::field>
#define TG_JOURNAL(field) at<&configuration::journal, &journal_settings::field>
#define TG_STORAGE(field) at<&configuration::storage, &storage_settings::field>
#define TG_BREAKER(field) at<&configuration::breaker, &breaker_settings::field>
#define TG_RETRY(field) at<&configuration::retry, &retry_settings::field>
#define TG_TIMEOUTS(field) at<&configuration::timeouts, &timeout_settings::field>
#define TG_SESSION(field) at<&configuration::session, &session_settings::field>
#define TG_JUDGE(field) at<&configuration::judge, &judge_settings::field>
#define TG_PRICING(field) at<&configuration::pricing, &pricing_settings::field>

// clang-format off
constexpr key_row server_keys[] = {
    {.key = "listen", .kind = kind::address, .bind = TG_SERVER(listen), .requirement = "SEC-1",
     .summary = "Data listener. Off loopback it needs at least one client key."},
    {.key = "tls_cert", .kind = kind::path, .bind = TG_SERVER(tls_cert), .note = "no TLS", .requirement = "SEC-4",
     .summary = "PEM file with the certificate chain; set together with tls_key."},
    {.key = "tls_key", .kind = kind::path, .bind = TG_SERVER(tls_key), .note = "no TLS", .requirement = "SEC-4",
     .summary = "PEM file with the private key."},
    {.key = "threads", .kind = kind::count, .bind = TG_SERVER(threads), .at_most = 256, .note = "one per core",
     .summary = "Event loops."},
    {.key = "max_connections", .kind = kind::count, .bind = TG_SERVER(max_connections), .at_least = 1,
     .requirement = "SEC-4", .summary = "Open downstream connections."},
    {.key = "max_in_flight", .kind = kind::count, .bind = TG_SERVER(max_in_flight), .at_least = 1,
     .requirement = "GW-4", .summary = "/v1 calls at a time; beyond it 503."},
    {.key = "max_body", .kind = kind::size, .bind = TG_SERVER(max_body), .at_least = 1, .at_most = 10 * mebibyte,
     .requirement = "RPC-3", .summary = "Request body on /rpc."},
    {.key = "max_v1_body", .kind = kind::size, .bind = TG_SERVER(max_v1_body), .at_least = kibibyte,
     .at_most = 256 * mebibyte, .requirement = "SEC-4", .summary = "Request body on /v1."},
    {.key = "max_header", .kind = kind::size, .bind = TG_SERVER(max_header), .at_least = kibibyte,
     .at_most = mebibyte, .requirement = "SEC-4", .summary = "Whole header section of a request."},
    {.key = "max_header_fields", .kind = kind::count, .bind = TG_SERVER(max_header_fields), .at_least = 1,
     .at_most = 1000, .requirement = "SEC-4", .summary = "Header fields of a request."},
    {.key = "max_target", .kind = kind::size, .bind = TG_SERVER(max_target), .at_least = 256,
     .requirement = "SEC-4", .summary = "Request target (path and query)."},
    {.key = "max_json_depth", .kind = kind::count, .bind = TG_SERVER(max_json_depth), .at_least = 1,
     .at_most = 1024, .requirement = "SEC-4", .summary = "Nesting of arrays and objects in a body."},
    {.key = "max_upstream_body", .kind = kind::size, .bind = TG_SERVER(max_upstream_body), .at_least = kibibyte,
     .requirement = "SEC-4", .summary = "A provider's unstreamed reply."},
    {.key = "header_timeout", .kind = kind::duration, .bind = TG_SERVER(header_timeout), .at_least = 1,
     .requirement = "SEC-4", .summary = "Time to send the header section."},
    {.key = "min_body_rate", .kind = kind::size, .bind = TG_SERVER(min_body_rate), .note = "per second, after 10 s",
     .requirement = "SEC-4", .summary = "A body that comes more slowly is refused with 408."},
    {.key = "keep_alive", .kind = kind::duration, .bind = TG_SERVER(keep_alive), .at_least = 1,
     .requirement = "SEC-4", .summary = "Idle time after which a connection is closed."},
    {.key = "allowed_origins", .kind = kind::origin_list, .bind = TG_SERVER(allowed_origins),
     .requirement = "SEC-2", .summary = "Browser origins that may call, e.g. \"https://app.example.com\"."},
    {.key = "max_subscriptions", .kind = kind::count, .bind = TG_SERVER(max_subscriptions), .at_least = 1,
     .requirement = "STR-11", .summary = "Open event streams per client key."},
    {.key = "push_chunks_per_second", .kind = kind::count, .bind = TG_SERVER(push_chunks_per_second),
     .at_least = 1, .requirement = "STR-11", .summary = "Chunks pushed to one subscriber; the excess is dropped."},
    {.key = "push_buffer", .kind = kind::size, .bind = TG_SERVER(push_buffer), .at_least = 4 * kibibyte,
     .requirement = "GW-6", .summary = "Unread bytes at which a slow reader pauses the provider's stream."},
    {.key = "event_replay", .kind = kind::count, .bind = TG_SERVER(event_replay), .requirement = "STR-11",
     .summary = "Events kept for Last-Event-ID."},
    {.key = "idempotency_ttl", .kind = kind::duration, .bind = TG_SERVER(idempotency_ttl), .at_least = 1000,
     .requirement = "GW-7", .summary = "How long a reply is kept for its idempotency-key."},
    {.key = "drain_timeout", .kind = kind::duration, .bind = TG_SERVER(drain_timeout), .requirement = "NFR-3",
     .summary = "Time that running exchanges get at shutdown."},
};

constexpr key_row admin_keys[] = {
    {.key = "listen", .kind = kind::optional_address, .bind = TG_ADMIN(listen), .requirement = "SEC-4",
     .summary = "Admin listener: /metrics, /readyz, /admin, /console. \"\" turns it off."},
    {.key = "token", .kind = kind::credential, .bind = TG_ADMIN(token), .requirement = "SEC-4",
     .summary = "Bearer token of the admin listener; needed off loopback."},
};

constexpr key_row journal_keys[] = {
    {.key = "durability", .kind = kind::choice, .bind = TG_JOURNAL(durability), .choices = durability_names,
     .note = "process for records that start a run, power for those that end it", .requirement = "TRC-2",
     .summary = "power: on the disk before acknowledging. process: with the kernel. none: neither."},
    {.key = "segment_size", .kind = kind::size, .bind = TG_JOURNAL(segment_size), .at_least = mebibyte,
     .requirement = "TRC-3", .summary = "Size at which a segment is sealed."},
    {.key = "group_commit", .kind = kind::duration, .bind = TG_JOURNAL(group_commit), .at_most = 1000,
     .requirement = "TRC-2", .summary = "Longest wait for others to share a commit."},
    {.key = "group_commit_records", .kind = kind::count, .bind = TG_JOURNAL(group_commit_records), .at_least = 1,
     .requirement = "TRC-2", .summary = "Records that end the wait early."},
    {.key = "checkpoint_records", .kind = kind::count, .bind = TG_JOURNAL(checkpoint_records), .at_least = 1,
     .requirement = "TRC-3", .summary = "Records between signed checkpoints."},
    {.key = "checkpoint_interval", .kind = kind::duration, .bind = TG_JOURNAL(checkpoint_interval),
     .at_least = 1000, .requirement = "TRC-3", .summary = "Time between signed checkpoints."},
    {.key = "retention", .kind = kind::optional_duration, .bind = TG_JOURNAL(retention), .at_least = 86'400'000,
     .note = "for ever", .requirement = "TRC-3", .summary = "Age at which sealed segments are deleted."},
};

constexpr key_row storage_keys[] = {
    {.key = "dir", .kind = kind::path, .bind = TG_STORAGE(dir), .required = true, .requirement = "NFR-2",
     .summary = "Data directory; one gateway at a time uses it."},
    {.key = "master_key_file", .kind = kind::path, .bind = TG_STORAGE(master_key_file),
     .note = "master.key in the data directory", .requirement = "CFG-4",
     .summary = "File (mode 0600) with the key that seals secrets."},
    {.key = "trace_texts", .kind = kind::choice, .bind = TG_STORAGE(texts), .choices = trace_text_names,
     .requirement = "TRC-4", .summary = "Whether the texts of runs are kept, sealed, or left out."},
    {.key = "trace_retention", .kind = kind::duration, .bind = TG_STORAGE(trace_retention),
     .at_least = 2'592'000'000, .requirement = "TRC-4", .summary = "How long traces are kept."},
    {.key = "run_id_retention", .kind = kind::duration, .bind = TG_STORAGE(run_id_retention),
     .at_least = 86'400'000, .requirement = "RPC-5", .summary = "How long ended runs are remembered by id."},
};

constexpr key_row breaker_keys[] = {
    {.key = "failure_threshold", .kind = kind::count, .bind = TG_BREAKER(failure_threshold), .at_least = 1,
     .requirement = "FO-3", .summary = "Availability failures in a row that open the breaker of a provider."},
    {.key = "half_open_after", .kind = kind::duration, .bind = TG_BREAKER(half_open_after), .at_least = 1,
     .requirement = "FO-5", .summary = "Time until one run may probe it."},
    {.key = "probe_permit", .kind = kind::duration, .bind = TG_BREAKER(probe_permit), .at_least = 1,
     .requirement = "FO-7", .summary = "Time after which an undecided probe counts as failed."},
    {.key = "cooldown_default", .kind = kind::duration, .bind = TG_BREAKER(cooldown_default), .at_least = 1,
     .requirement = "FO-4", .summary = "Pause after a 429 without Retry-After."},
    {.key = "cooldown_max", .kind = kind::duration, .bind = TG_BREAKER(cooldown_max), .at_least = 1,
     .requirement = "FO-4", .summary = "Longest pause that a Retry-After can ask for."},
};

constexpr key_row retry_keys[] = {
    {.key = "backoff", .kind = kind::duration_list, .bind = TG_RETRY(backoff), .at_least = 1,
     .requirement = "RET-1", .summary = "Waits before transport retries, one each; [] for none."},
    {.key = "jitter_percent", .kind = kind::count, .bind = TG_RETRY(jitter_percent), .at_most = 50,
     .requirement = "RET-1", .summary = "Spread of each wait to either side."},
    {.key = "retry_on_status", .kind = kind::flag, .bind = TG_RETRY(retry_on_status), .requirement = "RET-4",
     .summary = "Also retry 429 and 5xx."},
};

constexpr key_row timeout_keys[] = {
    {.key = "run", .kind = kind::duration, .bind = TG_TIMEOUTS(run), .at_least = 1, .at_most = 120'000,
     .requirement = "TMO-1", .summary = "Whole session run, where request and skill name none."},
    {.key = "v1", .kind = kind::duration, .bind = TG_TIMEOUTS(v1), .at_least = 1, .requirement = "TMO-1",
     .summary = "Whole /v1 call; x-tidegate-timeout-ms can only shorten it."},
    {.key = "connect", .kind = kind::duration, .bind = TG_TIMEOUTS(connect), .at_least = 1,
     .requirement = "TMO-2", .summary = "Name lookup, TCP and TLS to a provider."},
    {.key = "first_byte", .kind = kind::duration, .bind = TG_TIMEOUTS(first_byte), .at_least = 1,
     .requirement = "TMO-2", .summary = "First byte of a streamed reply."},
    {.key = "idle", .kind = kind::duration, .bind = TG_TIMEOUTS(idle), .at_least = 1, .requirement = "TMO-2",
     .summary = "Silence inside a reply."},
    {.key = "leg", .kind = kind::duration, .bind = TG_TIMEOUTS(leg), .at_least = 1, .requirement = "TMO-2",
     .summary = "One call of one target, its retries included."},
    {.key = "blame_after", .kind = kind::duration, .bind = TG_TIMEOUTS(blame_after), .requirement = "TMO-3",
     .summary = "A silent leg this old counts against the provider when the deadline ends it."},
    {.key = "rpc", .kind = kind::duration, .bind = TG_TIMEOUTS(rpc), .at_least = 1, .requirement = "TMO-4",
     .summary = "One /rpc request."},
    {.key = "config_test", .kind = kind::duration, .bind = TG_TIMEOUTS(config_test), .at_least = 1,
     .requirement = "CFG-7", .summary = "A provider's answer to a connection test."},
};

constexpr key_row policy_keys[] = {
    {.key = "requests_per_minute", .kind = kind::count, .bind = at<&policy_settings::requests_per_minute>,
     .note = "0: no limit", .requirement = "RL-1", .summary = "Provider calls of one client key in any 60 s."},
    {.key = "reserve_failover_unit", .kind = kind::flag, .bind = at<&policy_settings::reserve_failover_unit>,
     .requirement = "RL-3", .summary = "The first failover of an admitted run is never refused by that limit."},
    {.key = "max_output_tokens", .kind = kind::count, .bind = at<&policy_settings::max_output_tokens>,
     .note = "0: no cap", .requirement = "BUD-4", .summary = "Cap on the output tokens one request may ask for."},
    {.key = "on_exceed", .kind = kind::choice, .bind = at<&policy_settings::on_exceed>, .choices = exceed_names,
     .requirement = "BUD-4", .summary = "What a /v1 request over the cap gets: 400, or the cap."},
    {.key = "default_max_tokens", .kind = kind::count, .bind = at<&policy_settings::default_max_tokens>,
     .at_least = 1, .note = "at most max_output_tokens", .requirement = "BUD-3",
     .summary = "Output tokens of a session run that names none."},
    {.key = "session_token_budget", .kind = kind::count, .bind = at<&policy_settings::session_token_budget>,
     .note = "0: no budget", .requirement = "BUD-1", .summary = "Tokens one session may use."},
    {.key = "key_token_budget", .kind = kind::count, .bind = at<&policy_settings::key_token_budget>,
     .note = "0: no budget", .requirement = "BUD-1", .summary = "Tokens one client key may use per budget_period."},
    {.key = "key_usd_budget", .kind = kind::number, .bind = at<&policy_settings::key_usd_budget>,
     .note = "0: no budget", .requirement = "BUD-1",
     .summary = "US dollars one client key may spend per budget_period."},
    {.key = "budget_period", .kind = kind::choice, .bind = at<&policy_settings::period>, .choices = period_names,
     .requirement = "BUD-8", .summary = "When key budgets start afresh (UTC)."},
};

constexpr key_row session_keys[] = {
    {.key = "model", .kind = kind::text, .bind = TG_SESSION(model), .note = "model of the first route",
     .requirement = "RTE-1", .summary = "Model of session runs that name none."},
    {.key = "auxiliary_model", .kind = kind::text, .bind = TG_SESSION(auxiliary_model), .note = "same as model",
     .requirement = "RTE-1", .summary = "Model of auxiliary skills (summaries, classification)."},
    {.key = "chat_capacity", .kind = kind::count, .bind = TG_SESSION(chat_capacity), .at_least = 1,
     .requirement = "CHAT-2", .summary = "Messages in one chat session."},
    {.key = "history_token_budget", .kind = kind::count, .bind = TG_SESSION(history_token_budget), .at_least = 1,
     .requirement = "CHAT-7", .summary = "Tokens of history that a run sends."},
    {.key = "compaction", .kind = kind::flag, .bind = TG_SESSION(compaction), .requirement = "CHAT-8",
     .summary = "Summarise what the history budget leaves out."},
    {.key = "session_concurrency", .kind = kind::count, .bind = TG_SESSION(session_concurrency), .at_least = 1,
     .at_most = 8, .requirement = "SCH-2", .summary = "Runs of one session at a time."},
    {.key = "global_concurrency", .kind = kind::count, .bind = TG_SESSION(global_concurrency), .at_least = 1,
     .requirement = "SCH-2", .summary = "Session runs at a time."},
    {.key = "queue_limit", .kind = kind::count, .bind = TG_SESSION(queue_limit), .at_least = 1,
     .requirement = "SCH-2", .summary = "Waiting runs of one session."},
    {.key = "queue_wait", .kind = kind::duration, .bind = TG_SESSION(queue_wait), .at_least = 1,
     .requirement = "SCH-8", .summary = "Longest wait for a place."},
    {.key = "slot_recovery", .kind = kind::duration, .bind = TG_SESSION(slot_recovery), .at_least = 1,
     .requirement = "SCH-7", .summary = "Time after which a run that never settled loses its place."},
    {.key = "project_in_flight", .kind = kind::count, .bind = TG_SESSION(project_in_flight), .at_least = 1,
     .requirement = "SCH-2", .summary = "Runs of one project, waiting or running."},
    {.key = "project_token_budget", .kind = kind::count, .bind = TG_SESSION(project_token_budget),
     .note = "0: no budget", .requirement = "BUD-1", .summary = "Tokens one project may use."},
    {.key = "output_max_chars", .kind = kind::count, .bind = TG_SESSION(output_max_chars), .at_least = 1,
     .at_most = 120'000, .requirement = "STR-7", .summary = "Characters of one run's output."},
    {.key = "batch_deltas", .kind = kind::count, .bind = TG_SESSION(batch_deltas), .at_least = 1,
     .requirement = "STR-3", .summary = "Provider deltas put into one pushed chunk."},
    {.key = "batch_window", .kind = kind::duration, .bind = TG_SESSION(batch_window), .requirement = "STR-3",
     .summary = "Longest wait for that many."},
    {.key = "completion_grace", .kind = kind::duration, .bind = TG_SESSION(completion_grace),
     .requirement = "STR-4", .summary = "Time in which a cancel still beats a finished stream."},
    {.key = "temperature", .kind = kind::number_or_omit, .bind = TG_SESSION(temperature), .at_most = 2,
     .requirement = "RTE-3", .summary = "Temperature of session runs; \"omit\" sends none."},
    {.key = "tool_rounds", .kind = kind::count, .bind = TG_SESSION(tool_rounds), .at_least = 1, .at_most = 5,
     .requirement = "TOOL-3", .summary = "Rounds of tool calls in one request."},
    {.key = "tool_result_ttl", .kind = kind::duration, .bind = TG_SESSION(tool_result_ttl), .at_least = 1,
     .requirement = "TOOL-2", .summary = "How long a run waits for its tool results."},
    {.key = "skill_dirs", .kind = kind::text_list, .bind = TG_SESSION(skill_dirs), .requirement = "PRM-1",
     .summary = "Folders with skills of your own."},
    {.key = "locale", .kind = kind::choice, .bind = TG_SESSION(locale), .choices = locale_names,
     .requirement = "JDG-2", .summary = "Language of messages to people."},
    {.key = "cost_guard", .kind = kind::flag, .bind = TG_SESSION(cost_guard), .requirement = "COST-2",
     .summary = "Watch the dollars of session runs."},
    {.key = "cost_warning_usd", .kind = kind::number, .bind = TG_SESSION(cost_warning_usd),
     .requirement = "COST-2", .summary = "Sum at which a warning is pushed."},
    {.key = "cost_hard_stop_usd", .kind = kind::number, .bind = TG_SESSION(cost_hard_stop_usd),
     .note = "at least cost_warning_usd", .requirement = "COST-2", .summary = "Sum at which runs are refused."},
};

constexpr key_row judge_keys[] = {
    {.key = "model", .kind = kind::model, .bind = TG_JUDGE(model), .requirement = "JDG-3",
     .summary = "Model of advanced checks."},
    {.key = "advanced", .kind = kind::flag, .bind = TG_JUDGE(advanced), .requirement = "JDG-3",
     .summary = "Ask a model beside the rules."},
    {.key = "temperature", .kind = kind::number, .bind = TG_JUDGE(temperature), .at_most = 2,
     .requirement = "JDG-3", .summary = "Temperature of that call."},
    {.key = "timeout", .kind = kind::duration, .bind = TG_JUDGE(timeout), .at_least = 1, .requirement = "JDG-3",
     .summary = "Time limit of that call."},
    {.key = "ensure_timeout", .kind = kind::duration, .bind = TG_JUDGE(ensure_timeout), .at_least = 1,
     .requirement = "JDG-5", .summary = "Time limit of making the model ready."},
};

constexpr key_row pricing_keys[] = {
    {.key = "last_updated", .kind = kind::date, .bind = TG_PRICING(last_updated), .note = "the built-in table",
     .requirement = "COST-1", .summary = "Date of your own prices below, \"YYYY-MM-DD\"."},
    {.key = "stale_days", .kind = kind::count, .bind = TG_PRICING(stale_days), .at_least = 1,
     .requirement = "COST-1", .summary = "Age in days after which your prices are called stale."},
};

constexpr key_row price_keys[] = {
    {.key = "input_per_1k", .kind = kind::number, .bind = at<&model_price::input_per_1k>, .required = true,
     .requirement = "COST-1", .summary = "US dollars per 1,000 input tokens."},
    {.key = "output_per_1k", .kind = kind::number, .bind = at<&model_price::output_per_1k>, .required = true,
     .requirement = "COST-1", .summary = "US dollars per 1,000 output tokens."},
    {.key = "cached_input_per_1k", .kind = kind::optional_number, .bind = at<&model_price::cached_input_per_1k>,
     .note = "input_per_1k", .requirement = "COST-1", .summary = "US dollars per 1,000 cached input tokens."},
};

constexpr key_row provider_keys[] = {
    {.key = "name", .kind = kind::name, .bind = at<&provider_settings::name>, .required = true,
     .requirement = "FO-1", .summary = "Unique; routes refer to it."},
    {.key = "kind", .kind = kind::choice, .bind = at<&provider_settings::kind>, .choices = provider_kind_names,
     .required = true, .requirement = "RES-3", .summary = "The dialect it speaks."},
    {.key = "base_url", .kind = kind::base_url, .bind = at<&provider_settings::base_url>,
     .note = "the vendor's; none for openai-compatible", .requirement = "CFG-3",
     .summary = "http or https, without user, query or fragment; a path prefix is kept."},
    {.key = "api_key", .kind = kind::credential, .bind = at<&provider_settings::api_key>,
     .note = "the stored secret of that name, if any", .requirement = "CFG-4",
     .summary = "Where its credential is found; never the credential itself."},
    {.key = "enabled", .kind = kind::flag, .bind = at<&provider_settings::enabled>, .requirement = "RES-3",
     .summary = "A disabled provider is passed over."},
    {.key = "requests_per_minute", .kind = kind::count, .bind = at<&provider_settings::requests_per_minute>,
     .note = "0: no limit", .requirement = "RL-1", .summary = "Calls of this provider in any 60 s."},
    {.key = "max_tokens_field", .kind = kind::choice, .bind = at<&provider_settings::tokens_field>,
     .choices = tokens_field_names, .note = "max_completion_tokens for openai, else max_tokens",
     .requirement = "BUD-3", .summary = "Field that carries the output cap where the caller used neither."},
    {.key = "first_byte", .kind = kind::optional_duration, .bind = at<&provider_settings::first_byte>,
     .at_least = 1, .note = "timeouts.first_byte", .requirement = "TMO-2",
     .summary = "First byte of a streamed reply from this provider."},
};

constexpr key_row route_keys[] = {
    {.key = "model", .kind = kind::model, .bind = at<&route_settings::model>, .required = true,
     .requirement = "RES-1", .summary = "What callers ask for: exact name or glob; the first match wins."},
    {.key = "failover", .kind = kind::choice, .bind = at<&route_settings::failover>, .choices = failover_names,
     .requirement = "FO-3", .summary = "auto: after_trip for session runs, immediate for /v1."},
    {.key = "targets", .kind = kind::target_list, .bind = at<&route_settings::targets>, .required = true,
     .requirement = "FO-10",
     .summary = "{ provider, model } in order of preference. Only the first may leave its model out; \"*\" takes "
                "the caller's."},
};

constexpr key_row key_keys[] = {
    {.key = "name", .kind = kind::name, .bind = at<&key_settings::name>, .required = true,
     .requirement = "SEC-1", .summary = "Unique; budgets and limits are kept under it."},
    {.key = "hash", .kind = kind::key_hash, .bind = at<&key_settings::hash>, .required = true,
     .requirement = "SEC-1", .summary = "\"hmac-sha256:\" and the HMAC; the key itself is never stored."},
    {.key = "policy", .kind = kind::name, .bind = at<&key_settings::policy>, .requirement = "BUD-1",
     .summary = "The policy that binds it."},
    {.key = "role", .kind = kind::choice, .bind = at<&key_settings::role>, .choices = role_names,
     .requirement = "SEC-2", .summary = "admin may change configuration, budgets and prices."},
    {.key = "projects", .kind = kind::text_list, .bind = at<&key_settings::projects>, .requirement = "SEC-2",
     .summary = "Projects it may use; \"*\" for all."},
    {.key = "channels", .kind = kind::text_list, .bind = at<&key_settings::channels>, .requirement = "RPC-2",
     .summary = "Channels it may call; \"*\" for all."},
    {.key = "enabled", .kind = kind::flag, .bind = at<&key_settings::enabled>, .requirement = "SEC-1",
     .summary = "A disabled key is refused."},
};

constexpr section_row sections[] = {
    {"server", section_shape::table, "Listener, connection and body limits.", server_keys,
     defaults_of<configuration>},
    {"admin", section_shape::table, "Metrics, readiness, administration.", admin_keys, defaults_of<configuration>},
    {"journal", section_shape::table, "The append-only record of every run.", journal_keys,
     defaults_of<configuration>},
    {"storage", section_shape::table, "What is kept on disk.", storage_keys, defaults_of<configuration>},
    {"breaker", section_shape::table, "When a failing provider is left alone, and when it is tried again.",
     breaker_keys, defaults_of<configuration>},
    {"retry", section_shape::table, "Transport errors inside one provider call.", retry_keys,
     defaults_of<configuration>},
    {"timeouts", section_shape::table, "All of them are clipped by the deadline of the run.", timeout_keys,
     defaults_of<configuration>},
    {"policy", section_shape::named_tables,
     "Limits that a client key belongs to. [policy.default] always exists.", policy_keys,
     defaults_of<policy_settings>},
    {"session", section_shape::table, "The skill and chat service on /rpc.", session_keys,
     defaults_of<configuration>},
    {"judge", section_shape::table, "Quality checks.", judge_keys, defaults_of<configuration>},
    {"pricing", section_shape::table, "Prices of your own beside the built-in table.", pricing_keys,
     defaults_of<configuration>},
    {"pricing.models", section_shape::named_tables, "One table a model.", price_keys, defaults_of<model_price>,
     "[pricing.models.\"my-model\"]\n"
     "input_per_1k = 0.0025\n"
     "output_per_1k = 0.01\n"
     "cached_input_per_1k = 0.00125\n"},
    {"provider", section_shape::array_of_tables,
     "Endpoints. With none here, OPENAI_API_KEY and ANTHROPIC_API_KEY bring the vendors' own.", provider_keys,
     defaults_of<provider_settings>,
     "[[provider]]\n"
     "name = \"openai\"\n"
     "kind = \"openai\"\n"
     "api_key = \"env:OPENAI_API_KEY\"\n"
     "\n"
     "[[provider]]\n"
     "name = \"anthropic\"\n"
     "kind = \"anthropic\"\n"
     "api_key = \"env:ANTHROPIC_API_KEY\"\n"},
    {"route", section_shape::array_of_tables, "Which providers serve which models, in order of preference.",
     route_keys, defaults_of<route_settings>,
     "[[route]]\n"
     "model = \"gpt-*\"\n"
     "targets = [{ provider = \"openai\" }, { provider = \"anthropic\", model = \"claude-sonnet-4-5\" }]\n"},
    {"key", section_shape::array_of_tables, "Client keys. With none at all, only loopback is served.", key_keys,
     defaults_of<key_settings>,
     "[[key]]\n"
     "name = \"ci\"\n"
     "hash = \"hmac-sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n"
     "policy = \"default\"\n"},
};
// clang-format on

#undef TG_SERVER
#undef TG_ADMIN
#undef TG_JOURNAL
#undef TG_STORAGE
#undef TG_BREAKER
#undef TG_RETRY
#undef TG_TIMEOUTS
#undef TG_SESSION
#undef TG_JUDGE
#undef TG_PRICING

}  // namespace

std::span<const section_row> schema() { return sections; }

const section_row* find_section(std::string_view name) {
  const auto found = std::ranges::find(sections, name, &section_row::name);
  return found == std::ranges::end(sections) ? nullptr : &*found;
}

const key_row* find_key(const section_row& section, std::string_view key) {
  const auto found = std::ranges::find(section.keys, key, &key_row::key);
  return found == section.keys.end() ? nullptr : &*found;
}

}  // namespace tidegate::app
