// The canonical form between dialects: what a request asks, what a reply says, what happens in a stream.
// Decoders read one dialect into it, encoders write it out in another. Same-dialect traffic never passes
// through it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tidegate::protocol::dialect {

enum class dialect_id : std::uint8_t { openai_chat, openai_responses, anthropic_messages };

enum class part_kind : std::uint8_t {
  text,
  refusal,            // `text` is the refusal
  image,              // `url`, or `media_type` + `data` (base64); `detail` optional
  file,               // a document: `url`, or `media_type` + `data`, `name` optional
  thinking,           // `text` is the reasoning, `signature` optional
  redacted_thinking,  // `data` is opaque
  tool_call,          // `id`, `name`, `data` = arguments as JSON text exactly as the model wrote them
  tool_result,        // `id` = call id, `content` = text and images, `is_error`
};

struct part {
  part_kind kind = part_kind::text;
  std::string text;
  std::string id;
  std::string name;
  std::string data;
  std::string media_type;
  std::string url;
  std::string detail;
  std::string signature;
  // openai_responses: that vendor's own encrypted reasoning of a thinking part. No other dialect can read it.
  std::string encrypted_content;
  std::string cache_control;  // raw JSON of Anthropic's cache_control, kept where the target has it
  std::vector<part> content;  // of a tool_result
  bool is_error = false;

  friend bool operator==(const part&, const part&) = default;
};

enum class role : std::uint8_t { user, assistant };

// Tool results live in user messages; several in a row belong to one message.
struct message {
  role from = role::user;
  std::vector<part> parts;

  friend bool operator==(const message&, const message&) = default;
};

struct tool {
  std::string name;
  std::string description;
  std::string parameters;  // JSON Schema as JSON text; empty: none given
  std::optional<bool> strict;
  std::string cache_control;

  friend bool operator==(const tool&, const tool&) = default;
};

enum class tool_choice_mode : std::uint8_t { unset, automatic, none, required, named };

enum class format_kind : std::uint8_t { text, json_object, json_schema };

struct response_format {
  format_kind kind = format_kind::text;
  std::string name;
  std::string description;
  std::string schema;  // JSON text
  std::optional<bool> strict;

  friend bool operator==(const response_format&, const response_format&) = default;
};

struct reasoning {
  std::optional<bool> enabled;                // Anthropic thinking.type
  std::string effort;                         // OpenAI: none, minimal, low, medium, high, xhigh
  std::optional<std::int64_t> budget_tokens;  // Anthropic thinking.budget_tokens
  // The model decides how much to think (Anthropic thinking.type adaptive), or `effort` came from
  // output_config.
  bool adaptive = false;

  friend bool operator==(const reasoning&, const reasoning&) = default;
};

struct request {
  std::string model;
  bool stream = false;
  bool stream_usage = false;  // the caller wants usage in the stream (always so outside openai_chat)
  std::vector<part> system;   // text parts
  std::vector<message> messages;
  std::vector<tool> tools;
  tool_choice_mode tool_choice = tool_choice_mode::unset;
  std::string tool_choice_name;
  std::optional<bool> parallel_tool_calls;
  std::optional<std::int64_t> max_tokens;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<std::int64_t> top_k;
  std::vector<std::string> stop;
  std::optional<response_format> format;
  std::optional<reasoning> thinking;
  std::string user;  // end-user id: `user` / `metadata.user_id` / `safety_identifier`
  std::string service_tier;
  // openai_responses: a JSON object of the request members that its replies repeat; empty elsewhere.
  std::string echo;

  friend bool operator==(const request&, const request&) = default;
};

// The same in every dialect (USE-2). OpenAI's prompt_tokens and input_tokens hold the cached ones and the
// cache writes already; Anthropic's input_tokens are only the rest, so that its three counts are summed up
// and taken apart again on the way out. Every count is at least 0 and bounded (token_count_max in shared.h).
struct usage {
  std::int64_t prompt = 0;  // all input tokens: uncached + cached + cache writes
  std::int64_t completion = 0;
  std::int64_t cached = 0;          // read from a cache, part of `prompt`
  std::int64_t cache_write = 0;     // written to a cache, part of `prompt`
  std::int64_t reasoning = 0;       // part of `completion`, but for vendors that report it beside (xAI)
  bool known = false;               // the provider reported it
  std::int64_t cache_write_1h = 0;  // part of `cache_write`: kept for an hour, at another price
  std::int64_t web_searches = 0;    // run by the provider, charged by the piece

  friend bool operator==(const usage&, const usage&) = default;
};

enum class finish_reason : std::uint8_t { none, stop, length, tool_use, content_filter, stop_sequence };

struct reply {
  std::string id;
  std::string model;
  std::int64_t created = 0;  // Unix seconds; 0 where the dialect has none
  std::vector<part> parts;   // text, refusal, thinking, redacted_thinking, tool_call
  finish_reason finish = finish_reason::none;
  std::string stop_sequence;
  usage tokens;

  friend bool operator==(const reply&, const reply&) = default;
};

enum class stream_event_kind : std::uint8_t {
  start,               // `id`, `model`; `tokens` where known already
  text,                // `text` fragment
  refusal,             // `text` fragment
  thinking,            // `text` fragment
  thinking_signature,  // `text`
  redacted_thinking,   // `text` is the opaque data
  tool_start,          // `index`, `id`, `name`
  tool_arguments,      // `index`, `text` fragment of JSON
  part_end,            // the current text or thinking part ended (where the dialect says so)
  usage,               // `tokens`, cumulative: the latest one counts
  finish,              // `finish`, `text` = stop sequence where there is one
  end,                 // the dialect's own end marker was seen: [DONE], message_stop, response.completed
  error,               // in-stream error: `error_type`, `error_code`, `text` = message
};

struct stream_event {
  stream_event_kind kind = stream_event_kind::text;
  std::uint32_t index = 0;  // of the tool call, counted from 0 in order of appearance
  std::string text;
  std::string id;
  std::string name;  // tool name; for start: model
  finish_reason finish = finish_reason::none;
  usage tokens;
  std::string error_type;
  std::string error_code;

  friend bool operator==(const stream_event&, const stream_event&) = default;
};

}  // namespace tidegate::protocol::dialect
