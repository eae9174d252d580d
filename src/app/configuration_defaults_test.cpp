// Every key of requirements section 7 with its default, range and requirement, written out once more, so that
// a changed default or a forgotten key is a failing test and not a surprise.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>

#include "app/configuration_schema.h"
#include "app/configuration_values.h"

namespace tidegate::app {
namespace {

struct expected_key {
  const char* section;
  const char* key;
  const char* value;  // TOML
  const char* range;
  const char* requirement;
};

// clang-format off
constexpr expected_key expected_keys[] = {
    {"server", "listen", "\"127.0.0.1:8787\"", "host:port or unix:/path", "SEC-1"},
    {"server", "tls_cert", "\"\"", "path", "SEC-4"},
    {"server", "tls_key", "\"\"", "path", "SEC-4"},
    {"server", "threads", "0", "0–256", ""},
    {"server", "max_connections", "20000", "≥1", "SEC-4"},
    {"server", "max_in_flight", "1024", "≥1", "GW-4"},
    {"server", "max_body", "\"10MiB\"", "1B–10MiB", "RPC-3"},
    {"server", "max_v1_body", "\"32MiB\"", "1KiB–256MiB", "SEC-4"},
    {"server", "max_header", "\"32KiB\"", "1KiB–1MiB", "SEC-4"},
    {"server", "max_header_fields", "100", "1–1000", "SEC-4"},
    {"server", "max_target", "\"8KiB\"", "≥256B", "SEC-4"},
    {"server", "max_json_depth", "64", "1–1024", "SEC-4"},
    {"server", "max_upstream_body", "\"32MiB\"", "≥1KiB", "SEC-4"},
    {"server", "header_timeout", "\"10s\"", "≥1ms", "SEC-4"},
    {"server", "min_body_rate", "\"1KiB\"", "≥0B", "SEC-4"},
    {"server", "keep_alive", "\"75s\"", "≥1ms", "SEC-4"},
    {"server", "allowed_origins", "[]", "origins", "SEC-2"},
    {"server", "max_subscriptions", "500", "≥1", "STR-11"},
    {"server", "push_chunks_per_second", "5000", "≥1", "STR-11"},
    {"server", "push_buffer", "\"1MiB\"", "≥4KiB", "GW-6"},
    {"server", "event_replay", "10000", "≥0", "STR-11"},
    {"server", "idempotency_ttl", "\"24h\"", "≥1s", "GW-7"},
    {"server", "drain_timeout", "\"30s\"", "≥0s", "NFR-3"},
    {"admin", "listen", "\"127.0.0.1:8788\"", "host:port, unix:/path or \"\"", "SEC-4"},
    {"admin", "token", "\"\"", "env:NAME, file:PATH, secret:NAME", "SEC-4"},
    {"journal", "durability", "\"\"", "power, process, none", "TRC-2"},
    {"journal", "segment_size", "\"64MiB\"", "≥1MiB", "TRC-3"},
    {"journal", "group_commit", "\"2ms\"", "0s–1s", "TRC-2"},
    {"journal", "group_commit_records", "256", "≥1", "TRC-2"},
    {"journal", "checkpoint_records", "1000", "≥1", "TRC-3"},
    {"journal", "checkpoint_interval", "\"60s\"", "≥1s", "TRC-3"},
    {"journal", "retention", "\"\"", "≥24h", "TRC-3"},
    {"storage", "dir", "\"./tidegate-data\"", "path", "NFR-2"},
    {"storage", "master_key_file", "\"\"", "path", "CFG-4"},
    {"storage", "trace_texts", "\"sealed\"", "sealed, off", "TRC-4"},
    {"storage", "trace_retention", "\"720h\"", "≥720h", "TRC-4"},
    {"storage", "run_id_retention", "\"24h\"", "≥24h", "RPC-5"},
    {"breaker", "failure_threshold", "3", "≥1", "FO-3"},
    {"breaker", "half_open_after", "\"15m\"", "≥1ms", "FO-5"},
    {"breaker", "probe_permit", "\"30s\"", "≥1ms", "FO-7"},
    {"breaker", "cooldown_default", "\"5s\"", "≥1ms", "FO-4"},
    {"breaker", "cooldown_max", "\"5m\"", "≥1ms", "FO-4"},
    {"retry", "backoff", "[\"1s\", \"2s\", \"4s\"]", "each ≥1ms", "RET-1"},
    {"retry", "jitter_percent", "10", "0–50", "RET-1"},
    {"retry", "retry_on_status", "false", "true, false", "RET-4"},
    {"timeouts", "run", "\"30s\"", "1ms–2m", "TMO-1"},
    {"timeouts", "v1", "\"10m\"", "≥1ms", "TMO-1"},
    {"timeouts", "connect", "\"10s\"", "≥1ms", "TMO-2"},
    {"timeouts", "first_byte", "\"30s\"", "≥1ms", "TMO-2"},
    {"timeouts", "idle", "\"60s\"", "≥1ms", "TMO-2"},
    {"timeouts", "leg", "\"10m\"", "≥1ms", "TMO-2"},
    {"timeouts", "blame_after", "\"10s\"", "≥0s", "TMO-3"},
    {"timeouts", "rpc", "\"30s\"", "≥1ms", "TMO-4"},
    {"timeouts", "config_test", "\"2s\"", "≥1ms", "CFG-7"},
    {"policy", "requests_per_minute", "60", "≥0", "RL-1"},
    {"policy", "reserve_failover_unit", "true", "true, false", "RL-3"},
    {"policy", "max_output_tokens", "4096", "≥0", "BUD-4"},
    {"policy", "on_exceed", "\"reject\"", "reject, clamp", "BUD-4"},
    {"policy", "default_max_tokens", "1024", "≥1", "BUD-3"},
    {"policy", "session_token_budget", "200000", "≥0", "BUD-1"},
    {"policy", "key_token_budget", "0", "≥0", "BUD-1"},
    {"policy", "key_usd_budget", "0.0", "≥0", "BUD-1"},
    {"policy", "budget_period", "\"none\"", "none, day, month", "BUD-8"},
    {"session", "model", "\"\"", "", "RTE-1"},
    {"session", "auxiliary_model", "\"\"", "", "RTE-1"},
    {"session", "chat_capacity", "2000", "≥1", "CHAT-2"},
    {"session", "history_token_budget", "16000", "≥1", "CHAT-7"},
    {"session", "compaction", "false", "true, false", "CHAT-8"},
    {"session", "session_concurrency", "1", "1–8", "SCH-2"},
    {"session", "global_concurrency", "8", "≥1", "SCH-2"},
    {"session", "queue_limit", "20", "≥1", "SCH-2"},
    {"session", "queue_wait", "\"5m\"", "≥1ms", "SCH-8"},
    {"session", "slot_recovery", "\"125s\"", "≥1ms", "SCH-7"},
    {"session", "project_in_flight", "128", "≥1", "SCH-2"},
    {"session", "project_token_budget", "0", "≥0", "BUD-1"},
    {"session", "output_max_chars", "32000", "1–120000", "STR-7"},
    {"session", "batch_deltas", "4", "≥1", "STR-3"},
    {"session", "batch_window", "\"20ms\"", "≥0s", "STR-3"},
    {"session", "completion_grace", "\"20ms\"", "≥0s", "STR-4"},
    {"session", "temperature", "0.7", "0–2 or \"omit\"", "RTE-3"},
    {"session", "tool_rounds", "5", "1–5", "TOOL-3"},
    {"session", "tool_result_ttl", "\"10m\"", "≥1ms", "TOOL-2"},
    {"session", "skill_dirs", "[]", "", "PRM-1"},
    {"session", "locale", "\"en\"", "en, zh", "JDG-2"},
    {"session", "cost_guard", "true", "true, false", "COST-2"},
    {"session", "cost_warning_usd", "1.0", "≥0", "COST-2"},
    {"session", "cost_hard_stop_usd", "5.0", "≥0", "COST-2"},
    {"judge", "model", "\"gpt-4o-mini\"", "model name", "JDG-3"},
    {"judge", "advanced", "true", "true, false", "JDG-3"},
    {"judge", "temperature", "0.1", "0–2", "JDG-3"},
    {"judge", "timeout", "\"30s\"", "≥1ms", "JDG-3"},
    {"judge", "ensure_timeout", "\"15s\"", "≥1ms", "JDG-5"},
    {"pricing", "last_updated", "\"\"", "date", "COST-1"},
    {"pricing", "stale_days", "30", "≥1", "COST-1"},
    {"pricing.models", "input_per_1k", "required", "≥0", "COST-1"},
    {"pricing.models", "output_per_1k", "required", "≥0", "COST-1"},
    {"pricing.models", "cached_input_per_1k", "", "≥0", "COST-1"},
    {"provider", "name", "required", "name", "FO-1"},
    {"provider", "kind", "required", "openai, anthropic, openai-compatible", "RES-3"},
    {"provider", "base_url", "\"\"", "URL", "CFG-3"},
    {"provider", "api_key", "\"\"", "env:NAME, file:PATH, secret:NAME", "CFG-4"},
    {"provider", "enabled", "true", "true, false", "RES-3"},
    {"provider", "requests_per_minute", "0", "≥0", "RL-1"},
    {"provider", "max_tokens_field", "\"\"", "max_tokens, max_completion_tokens", "BUD-3"},
    {"provider", "first_byte", "\"\"", "≥1ms", "TMO-2"},
    {"route", "model", "required", "model name", "RES-1"},
    {"route", "failover", "\"auto\"", "auto, after_trip, immediate", "FO-3"},
    {"route", "targets", "required", "", "FO-10"},
    {"key", "name", "required", "name", "SEC-1"},
    {"key", "hash", "required", "hmac-sha256:…", "SEC-1"},
    {"key", "policy", "\"default\"", "name", "BUD-1"},
    {"key", "role", "\"client\"", "client, admin", "SEC-2"},
    {"key", "projects", "[\"*\"]", "", "SEC-2"},
    {"key", "channels", "[\"*\"]", "", "RPC-2"},
    {"key", "enabled", "true", "true, false", "SEC-1"},
};
// clang-format on

TEST(configuration_schema, every_default_is_that_of_section_7) {
  for (const expected_key& expected : expected_keys) {
    SCOPED_TRACE(std::string{expected.section} + "." + expected.key);
    const section_row* section = find_section(expected.section);
    ASSERT_NE(section, nullptr);
    const key_row* row = find_key(*section, expected.key);
    ASSERT_NE(row, nullptr);
    const bool in_table = section->shape == section_shape::table;
    const std::string value = format_value(*row, row->bind(section->defaults()));
    EXPECT_EQ(row->required && !in_table ? "required" : value, expected.value);
    EXPECT_EQ(range_text(*row), expected.range);
    EXPECT_EQ(row->requirement, expected.requirement);
    EXPECT_FALSE(row->summary.empty());
  }
  std::printf("configuration_keys: %zu\n", std::size(expected_keys));
}

TEST(configuration_schema, no_key_beyond_section_7) {
  std::set<std::string> expected;
  for (const expected_key& key : expected_keys) expected.insert(std::string{key.section} + "." + key.key);
  std::set<std::string> found;
  for (const section_row& section : schema()) {
    for (const key_row& row : section.keys)
      found.insert(std::string{section.name} + "." + std::string{row.key});
  }
  EXPECT_EQ(found, expected);
}

TEST(configuration_schema, loading_nothing_yields_the_defaults) {
  const auto loaded = load({});
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(loaded->warnings.empty());
  configuration settings = loaded->settings;
  for (const section_row& section : schema()) {
    if (section.shape != section_shape::table) continue;
    for (const key_row& row : section.keys) {
      EXPECT_EQ(format_value(row, row.bind(&settings)), format_value(row, row.bind(section.defaults())))
          << row.key;
    }
  }
  // CFG-1: a policy named default always exists.
  EXPECT_TRUE(settings.policies.contains("default"));
  // CFG-2: no provider is no reason not to start.
  EXPECT_TRUE(settings.providers.empty());
}

}  // namespace
}  // namespace tidegate::app
