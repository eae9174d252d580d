// OpenAI Chat Completions and what its many imitators make of it. Decoders are liberal (content as arrays,
// null members, reasoning under three names, missing ids and indices), encoders write what the official SDKs
// expect. Source: OpenAI's OpenAPI description, CreateChatCompletionRequest and its kin.
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/dialect/canonical.h"
#include "protocol/dialect/dialect.h"
#include "protocol/dialect/shared.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::dialect::chat {

// --- requests
std::expected<request_summary, complaint> summarize(json::value body);
std::expected<request, complaint> decode_request(json::value body);
std::expected<std::string, complaint> encode_request(const request& r, std::string_view max_tokens_field);

// The messages array: system and developer texts go to `out.system` in order, wherever they stood; tool
// results become user messages, several in a row one message.
void decode_messages(json::value messages, const field_path& where, request& out, findings& found);
void encode_messages(json::writer& w, const request& r, findings& found);

// --- whole replies
std::expected<reply, complaint> decode_reply(json::value body);
std::string encode_reply(const reply& r, const encode_context& context);
bool has_reply_shape(json::value body);
reply_facts facts_of(json::value body);

// --- pieces that requests, replies and streams share

// "stop", "length", "tool_calls" and their kin; `none` for empty text, `stop` for words nobody knows.
finish_reason finish_of(std::string_view text);
std::string_view finish_text(finish_reason finish);
part make_part(part_kind kind, std::string text);
// Text, refusal and thinking of a message or a delta, in this order: reasoning first, then content, then
// refusal.
void append_content(json::value message, std::vector<part>& out);
void write_usage(json::writer& w, const usage& tokens);
// The provider's id where it has this dialect's form, else one made of the context's.
std::string reply_id(std::string_view provider_id, const encode_context& context);
// Signed or opaque reasoning as OpenRouter's `reasoning_details`, the one form in use that keeps it.
void write_signature(json::writer& w, std::string_view signature, std::int64_t index);
void write_redacted(json::writer& w, std::string_view data, std::int64_t index);
inline constexpr std::string_view signed_format = "anthropic-claude-v1";

// --- streams
// A stream with more calls than this is nothing a model writes; the rest is dropped.
inline constexpr std::size_t calls_max = 1024;
std::unique_ptr<stream_watch> make_watch();
std::unique_ptr<stream_decoder> make_decoder();
std::unique_ptr<stream_encoder> make_encoder(encode_context context);
// The object of usage in a chunk, wherever the provider put it: on top, in x_groq, in the first choice.
std::optional<json::value> usage_in_chunk(json::value chunk);
// The error in a chunk's object or in an event of type "error"; nothing in ordinary chunks.
std::optional<stream_error> error_in_chunk(json::value chunk, std::string_view event_type);
// "[DONE]"
bool is_end_marker(std::string_view data);

}  // namespace tidegate::protocol::dialect::chat
