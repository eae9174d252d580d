// Inside of the Anthropic Messages dialect: what its translation units share. Users include dialect.h.
// Source of the format: Anthropic's Messages API reference and its OpenAPI description.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "foundation/error.h"
#include "protocol/dialect/canonical.h"
#include "protocol/dialect/dialect.h"
#include "protocol/dialect/shared.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::dialect::anthropic {

// The API refuses a request without max_tokens; this is what a caller gets who named no bound.
inline constexpr std::int64_t max_tokens_default = 4096;
// The API's own lower bound of thinking.budget_tokens.
inline constexpr std::int64_t budget_tokens_min = 1024;
// Beyond any model; keeps sums with untrusted budgets small.
inline constexpr std::int64_t budget_tokens_max = 1'000'000'000;

// The last value of each named member, null and missing alike as nothing; one pass over the object.
template <std::size_t N>
std::array<std::optional<json::value>, N> pick(json::value object,
                                               const std::array<std::string_view, N>& keys) {
  std::array<std::optional<json::value>, N> found;
  for (const json::member& m : object.members()) {
    for (std::size_t i = 0; i < N; ++i) {
      if (!m.key_is(keys[i])) continue;
      found[i] = m.content.is_null() ? std::nullopt : std::optional{m.content};
      break;
    }
  }
  return found;
}

std::expected<request_summary, complaint> summarize(json::value body);
// Server-side tools, containers, stored files and other things that only Anthropic's servers can do are
// complaints; `max_tokens` may be missing (count_tokens). A system message inside the conversation joins the
// system text.
std::expected<request, complaint> decode_request(json::value body);
std::expected<std::string, complaint> encode_request(const request& r);

std::expected<reply, complaint> decode_reply(json::value body);
std::string encode_reply(const reply& r, const encode_context& context);
bool has_reply_shape(json::value body);

// Merges a `usage` object into what is known already: message_delta repeats only some of message_start's
// counters.
usage merge_usage(const usage& known, json::value reported);
// `whole`: with the counters that a Message has and a message_delta has not.
void write_usage(json::writer& out, const usage& tokens, bool whole);

finish_reason finish_of(std::string_view stop_reason);
// A reply with tool calls must say so, or agent loops on the official SDKs stop early: `stop` becomes
// "tool_use".
std::string_view stop_reason_of(finish_reason finish, bool has_tool_calls);
// The id of a Message: "msg_…".
std::string message_id(std::string_view upstream_id, const encode_context& context);
std::unique_ptr<stream_watch> make_watch();
std::unique_ptr<stream_decoder> make_decoder();
std::unique_ptr<stream_encoder> make_encoder(encode_context context);

std::string encode_error(const foundation::failure& f, std::string_view run_id, std::string_view trace_id);
// One of Anthropic's error types for an in-stream error of any dialect.
std::string_view error_type_of(const stream_error& error);

}  // namespace tidegate::protocol::dialect::anthropic
