// OpenAI Responses (POST /v1/responses), inside view: what the dialect's own files share. Everybody else asks
// openai_responses() in dialect.h. Source: OpenAI's OpenAPI description, schemas CreateResponse, Response and
// ResponseStreamEvent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "foundation/error.h"
#include "protocol/dialect/canonical.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::dialect {
struct field_path;
struct findings;
}  // namespace tidegate::protocol::dialect

namespace tidegate::protocol::dialect::responses {

inline part make_part(part_kind kind, std::string text = {}) {
  part out;
  out.kind = kind;
  out.text = std::move(text);
  return out;
}

// --- requests (openai_responses_request.cpp, openai_responses_input.cpp, openai_responses_write.cpp)

std::expected<request_summary, complaint> summarize(json::value body);
// System and developer messages anywhere in `input` join `instructions` in the canonical system text, in
// order.
std::expected<request, complaint> decode_request(json::value body);
// `input`: a string or an array of items.
void decode_input(std::optional<json::value> input, const field_path& at, request& out, findings& found);

// Complains of stop sequences, which this dialect has no member for. Writes store:false: a caller of another
// dialect has not asked anybody to keep the conversation. Thinking that the vendor did not write is left out.
std::expected<std::string, complaint> encode_request(const request& r);

// --- replies (openai_responses_reply.cpp)

// Items of the vendor's own tools (web search, MCP, ...) are left out: what they found is in the text.
std::expected<reply, complaint> decode_reply(json::value body);
std::string encode_reply(const reply& r, const encode_context& context);
// Why a response object ended: `status`, `incomplete_details`, and whether it calls functions.
finish_reason read_finish(json::value response, bool calls_tools);
// An `error` event, flat or nested, or a response object that failed.
stream_error read_failure(json::value event);
bool is_tool_call(json::value item);
// id, name and arguments of a call item. A custom tool's free text becomes {"input": text}.
part read_call_item(json::value item, std::size_t index);
// Text of a reasoning item: its full text where it has one, else its summary, paragraphs apart.
std::string reasoning_text_of(json::value item);
inline constexpr std::string_view reasoning_paragraph = "\n\n";

// --- reasoning seals
// Another vendor's signature or redacted block travels to a Responses caller, and back with the next request,
// as `encrypted_content` behind a mark, so that it is never taken for OpenAI's own.
std::string seal_signature(std::string_view signature);
std::string seal_redacted(std::string_view data);
// What a reply's reasoning item carries for a thinking or redacted part; empty for none.
std::string seal_of(const part& thought);
// Puts an `encrypted_content` where it belongs: signature, redacted data, or the vendor's own.
void open_seal(std::string encrypted_content, part& thought);

// --- response objects (openai_responses_object.cpp)

enum class response_status : std::uint8_t { in_progress, completed, incomplete };

struct response_object {
  std::string_view id;
  response_status status = response_status::in_progress;
  finish_reason finish = finish_reason::none;
  std::string_view output;        // a JSON array
  const usage* tokens = nullptr;  // null: none yet
  std::int64_t created = 0;       // Unix seconds
};
void write_response(json::writer& w, const response_object& object, const encode_context& context);
response_status status_of(finish_reason finish);
// The `status` of the items that a finish reason cut short, or did not.
std::string_view item_status_of(finish_reason finish);

// `content`: the parts' JSON, separated by commas.
void write_message_item(json::writer& w, std::string_view id, std::string_view status,
                        std::string_view content);
void write_text_part(json::writer& w, std::string_view text);
void write_refusal_part(json::writer& w, std::string_view text);
// Empty text: no summary part. Empty `encrypted_content`: the member is left out.
void write_reasoning_item(json::writer& w, std::string_view id, std::string_view text,
                          std::string_view encrypted_content);
void write_call_item(json::writer& w, std::string_view id, std::string_view status, const part& call);

// "resp_…": the provider's id where it is one already, else from the exchange's id.
std::string response_id(std::string_view provider_id, const encode_context& context);
// "msg_<response>_3": unique within the response and between responses.
std::string item_id(std::string_view prefix, std::string_view response, std::size_t index);

// --- streams (openai_responses_decoder.cpp, openai_responses_encoder.cpp, openai_responses_watch.cpp)

std::unique_ptr<stream_watch> make_watch();
std::unique_ptr<stream_decoder> make_decoder();
std::unique_ptr<stream_encoder> make_encoder(encode_context context);

// --- errors (openai_responses.cpp)

// An `error` event as this dialect's clients know it: flat by the description, and nested as the vendor sends
// it. `nested` is a JSON object with type, code and message.
void append_error_event(std::string& out, std::int64_t sequence_number, std::string_view code,
                        std::string_view message, std::string_view param, std::string_view nested);

}  // namespace tidegate::protocol::dialect::responses
