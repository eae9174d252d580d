// Everything an operator can set (requirements section 7), as plain values, and the way it is loaded: one
// TOML text, the environment on top, the command line on top of that. A default stands here and nowhere else;
// the schema table (configuration_schema.h) adds names, ranges and words.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/credential.h"
#include "foundation/time.h"
#include "policy/routing.h"

namespace tidegate::app {

using foundation::milliseconds;

inline constexpr std::uint64_t kibibyte = 1024;
inline constexpr std::uint64_t mebibyte = 1024 * kibibyte;

// Sizes are bytes; counts and sizes share one integer type, and 0 means "none" where the schema says so.
struct server_settings {
  std::string listen = "127.0.0.1:8787";
  std::string tls_cert;
  std::string tls_key;
  std::uint64_t threads = 0;
  std::uint64_t max_connections = 20'000;
  std::uint64_t max_in_flight = 1'024;
  std::uint64_t max_body = 10 * mebibyte;
  std::uint64_t max_v1_body = 32 * mebibyte;
  std::uint64_t max_header = 32 * kibibyte;
  std::uint64_t max_header_fields = 100;
  std::uint64_t max_target = 8 * kibibyte;
  std::uint64_t max_json_depth = 64;
  std::uint64_t max_upstream_body = 32 * mebibyte;
  milliseconds header_timeout{10'000};
  std::uint64_t min_body_rate = kibibyte;
  milliseconds keep_alive{75'000};
  std::vector<std::string> allowed_origins;
  std::uint64_t max_subscriptions = 500;
  std::uint64_t push_chunks_per_second = 5'000;
  std::uint64_t push_buffer = mebibyte;
  std::uint64_t event_replay = 10'000;
  milliseconds idempotency_ttl{24 * 3'600'000};
  milliseconds drain_timeout{30'000};
};

struct admin_settings {
  std::string listen = "127.0.0.1:8788";
  credential_reference token;
};

// `split`: records that start a run as `process`, records that end one as `power`.
enum class journal_durability : std::uint8_t { split, power, process, none };

struct journal_settings {
  journal_durability durability = journal_durability::split;
  std::uint64_t segment_size = 64 * mebibyte;
  milliseconds group_commit{2};
  std::uint64_t group_commit_records = 256;
  std::uint64_t checkpoint_records = 1'000;
  milliseconds checkpoint_interval{60'000};
  // Nothing: segments are kept for ever.
  std::optional<milliseconds> retention;
};

enum class trace_texts : std::uint8_t { sealed, off };

struct storage_settings {
  std::string dir = "./tidegate-data";
  // Empty: master.key inside `dir`.
  std::string master_key_file;
  trace_texts texts = trace_texts::sealed;
  milliseconds trace_retention{720LL * 3'600'000};
  milliseconds run_id_retention{24LL * 3'600'000};
};

struct breaker_settings {
  std::uint64_t failure_threshold = 3;
  milliseconds half_open_after{900'000};
  milliseconds probe_permit{30'000};
  milliseconds cooldown_default{5'000};
  milliseconds cooldown_max{300'000};
};

struct retry_settings {
  std::vector<milliseconds> backoff{milliseconds{1'000}, milliseconds{2'000}, milliseconds{4'000}};
  std::uint64_t jitter_percent = 10;
  bool retry_on_status = false;
};

struct timeout_settings {
  milliseconds run{30'000};
  milliseconds v1{600'000};
  milliseconds connect{10'000};
  milliseconds first_byte{30'000};
  milliseconds idle{60'000};
  milliseconds leg{600'000};
  milliseconds blame_after{10'000};
  milliseconds rpc{30'000};
  milliseconds config_test{2'000};
};

enum class exceed_action : std::uint8_t { reject, clamp };
enum class budget_period : std::uint8_t { none, day, month };

struct policy_settings {
  std::uint64_t requests_per_minute = 60;
  bool reserve_failover_unit = true;
  std::uint64_t max_output_tokens = 4'096;
  exceed_action on_exceed = exceed_action::reject;
  // Where it was not set, a lower max_output_tokens lowers it too.
  std::uint64_t default_max_tokens = 1'024;
  std::uint64_t session_token_budget = 200'000;
  std::uint64_t key_token_budget = 0;
  double key_usd_budget = 0;
  budget_period period = budget_period::none;
};

enum class message_locale : std::uint8_t { en, zh };

struct session_settings {
  std::string model;
  std::string auxiliary_model;
  std::uint64_t chat_capacity = 2'000;
  std::uint64_t history_token_budget = 16'000;
  bool compaction = false;
  std::uint64_t session_concurrency = 1;
  std::uint64_t global_concurrency = 8;
  std::uint64_t queue_limit = 20;
  milliseconds queue_wait{300'000};
  milliseconds slot_recovery{125'000};
  std::uint64_t project_in_flight = 128;
  std::uint64_t project_token_budget = 0;
  std::uint64_t output_max_chars = 32'000;
  std::uint64_t batch_deltas = 4;
  milliseconds batch_window{20};
  milliseconds completion_grace{20};
  // Nothing: the field is not sent.
  std::optional<double> temperature = 0.7;
  std::uint64_t tool_rounds = 5;
  milliseconds tool_result_ttl{600'000};
  std::vector<std::string> skill_dirs;
  message_locale locale = message_locale::en;
  bool cost_guard = true;
  double cost_warning_usd = 1.0;
  double cost_hard_stop_usd = 5.0;
};

struct judge_settings {
  std::string model = "gpt-4o-mini";
  bool advanced = true;
  double temperature = 0.1;
  milliseconds timeout{30'000};
  milliseconds ensure_timeout{15'000};
};

// US dollars per 1,000 tokens.
struct model_price {
  double input_per_1k = 0;
  double output_per_1k = 0;
  // After loading always set: the input price where the owner named none.
  std::optional<double> cached_input_per_1k;
};

struct pricing_settings {
  // "YYYY-MM-DD"; empty: only the built-in table is used.
  std::string last_updated;
  std::uint64_t stale_days = 30;
  std::map<std::string, model_price, std::less<>> models;
};

using policy::provider_kind;
// `by_kind` never leaves `load`.
enum class max_tokens_field : std::uint8_t { by_kind, max_tokens, max_completion_tokens };

struct provider_settings {
  std::string name;
  provider_kind kind = provider_kind::openai;
  // After loading: normalised, or empty where the kind has no vendor URL and none was given.
  std::string base_url;
  credential_reference api_key;
  bool enabled = true;
  std::uint64_t requests_per_minute = 0;
  max_tokens_field tokens_field = max_tokens_field::by_kind;
  // After loading always set: timeouts.first_byte where the provider names none.
  std::optional<milliseconds> first_byte;
};

enum class failover_mode : std::uint8_t { automatic, after_trip, immediate };

struct target_settings {
  std::string provider;
  // Empty (first target only) and "*": the model the caller named.
  std::string model;
};

struct route_settings {
  std::string model;
  failover_mode failover = failover_mode::automatic;
  std::vector<target_settings> targets;
};

enum class key_role : std::uint8_t { client, admin };

struct key_settings {
  std::string name;
  std::string hash;
  std::string policy = "default";
  key_role role = key_role::client;
  std::vector<std::string> projects{"*"};
  std::vector<std::string> channels{"*"};
  bool enabled = true;
};

struct configuration {
  server_settings server;
  admin_settings admin;
  journal_settings journal;
  storage_settings storage;
  breaker_settings breaker;
  retry_settings retry;
  timeout_settings timeouts;
  session_settings session;
  judge_settings judge;
  pricing_settings pricing;
  // Always holds "default".
  std::map<std::string, policy_settings, std::less<>> policies{{"default", {}}};
  std::vector<provider_settings> providers;
  std::vector<route_settings> routes;
  std::vector<key_settings> keys;
};

using environment = std::map<std::string, std::string, std::less<>>;

// A setting from the command line: it beats file and environment, and a bad value is an error.
struct configuration_override {
  std::string flag;     // "--listen", for the message
  std::string section;  // "server"
  std::string key;      // "listen"
  std::string value;    // as in the environment: no quotes
};

struct configuration_source {
  std::string name = "tidegate.toml";  // for messages
  std::string text;
  environment env;
  std::vector<configuration_override> overrides;
};

// Line and column count from 1; line 0: the error is of no place in a file and `file` says where it came
// from. `message` never holds a credential.
struct config_error {
  std::string file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::string message;
};

// Something the operator should read though the gateway starts. `event` is a log event name.
struct config_warning {
  std::string event;
  std::string key;
  std::string reason;
};

struct loaded_configuration {
  // The file's name, or "built-in defaults".
  std::string name;
  configuration settings;
  std::vector<config_warning> warnings;
};

// Pure: text and environment in, settings or all errors found out (CFG-1, CFG-2, RES-2). A text that is not
// TOML yields its first syntax error only. Errors stand in file order and number at most `config_errors_max`.
std::expected<loaded_configuration, std::vector<config_error>> load(const configuration_source& source);

inline constexpr std::size_t config_errors_max = 100;
inline constexpr std::size_t config_text_max = 4 * mebibyte;

// Finds and reads the text (CFG-1): `flag` (--config), else TIDEGATE_CONFIG, else ./tidegate.toml where it
// exists, else nothing, which is the built-in defaults. A named file that cannot be read is an error.
std::expected<configuration_source, config_error> find_configuration(const std::optional<std::string>& flag,
                                                                     environment env,
                                                                     const file_reader& read);

// Both in one step. `overrides` come from the command line.
std::expected<loaded_configuration, std::vector<config_error>> load_found(
    const std::optional<std::string>& flag, std::vector<configuration_override> overrides,
    const environment& env, const file_reader& read);

// "file:line:col: message", or "file: message".
std::string to_text(const config_error& error);

// What a listener would expose without a credential (SEC-1, SEC-4): an admin listener off loopback without
// admin.token, and a data listener off loopback when `any_key` is false. `load` refuses the former itself;
// who opens the data listener asks, since keys may also live in the store.
std::vector<std::string> exposure_problems(const configuration& settings, bool any_key);

}  // namespace tidegate::app
