// One interface for every dialect. A new dialect is one folder beside this file that implements it.
// All pure: bytes to meaning and back, no clock, no randomness; ids come from the caller or the provider.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"
#include "protocol/dialect/canonical.h"
#include "protocol/json/json.h"
#include "protocol/sse/sse.h"

namespace tidegate::protocol::dialect {

// Why a body cannot be read or cannot be said in another dialect. `param` names the field
// ("messages[2].content").
struct complaint {
  std::string message;
  std::string param;
};

// What the gateway must know of a request without translating it. Views into the body.
struct request_summary {
  std::string model;
  bool stream = false;
  bool stream_usage = false;  // openai_chat: stream_options.include_usage
  // At least 1. openai_chat has two names for it; the larger one where both are there.
  std::optional<std::int64_t> max_tokens;
  std::string max_tokens_field;  // the member that carried it; empty when none
  std::int64_t choices = 1;      // openai_chat: `n`, at least 1; each may use up max_tokens
  // anthropic_messages: thinking.budget_tokens, which the vendor wants below max_tokens.
  std::optional<std::int64_t> thinking_budget;
};

// What a raw event of a same-dialect stream means to the relay.
struct event_meaning {
  bool content = false;     // first-content rule: non-empty text, reasoning, refusal or tool-call fragment
  bool end = false;         // the dialect's end marker
  bool error = false;       // an in-stream error; see error_type, error_code, error_message
  bool usage_only = false;  // carries usage and nothing else (openai_chat: empty choices + usage)
  bool malformed = false;   // data is not JSON (STR-9: logged and left out)
  bool finished = false;    // a finish reason has been seen (in this event)
};

struct stream_error {
  std::string type;
  std::string code;
  std::string message;
};

// Health meaning of an in-stream error (FO-2).
enum class error_kind : std::uint8_t { availability, rate_limit, other };
error_kind classify(const stream_error& error);

// Watches a stream that is relayed as it came. Cheap: after the first content an ordinary chunk costs a few
// scans of its bytes, not a parse.
class stream_watch {
 public:
  virtual ~stream_watch() = default;
  virtual event_meaning look(const sse::event_view& event) = 0;
  const usage& tokens() const { return tokens_; }
  const stream_error& error() const { return error_; }

 protected:
  usage tokens_;
  stream_error error_;
};

// Events of one dialect -> canonical events. Appends to `out`. Malformed data is reported as `false` and
// skipped.
class stream_decoder {
 public:
  virtual ~stream_decoder() = default;
  virtual bool decode(const sse::event_view& event, std::vector<stream_event>& out) = 0;
};

// What an encoder needs to know of the exchange.
struct encode_context {
  std::string id;  // "chatcmpl-…", "msg_…", "resp_…" are derived from it when the provider's id does not fit
  std::string model;          // the model name the caller asked for
  std::int64_t created = 0;   // Unix seconds
  bool include_usage = true;  // openai_chat streams: only if the caller asked
  const request* asked =
      nullptr;  // the caller's request, for dialects that echo it (openai_responses); may be null
};

// Canonical events -> bytes of one dialect's SSE, valid for its official SDKs. After `error` nothing more may
// follow; the caller closes the connection. `end` writes the dialect's end marker.
class stream_encoder {
 public:
  virtual ~stream_encoder() = default;
  virtual void encode(const stream_event& event, std::string& out) = 0;
};

struct upstream_error {
  std::string message;
  std::string type;
  std::string code;
  std::string param;
};

// Of a whole reply that is relayed as it came.
struct reply_facts {
  bool has_shape = false;
  usage tokens;
};

class dialect {
 public:
  virtual ~dialect() = default;
  virtual dialect_id id() const = 0;
  virtual std::string_view path() const = 0;  // "/v1/chat/completions"

  // --- requests. `body` is a validated JSON object.
  virtual std::expected<request_summary, complaint> summarize(json::value body) const = 0;
  virtual std::expected<request, complaint> decode_request(json::value body) const = 0;
  // `max_tokens_field` for openai_chat: "max_tokens" or "max_completion_tokens"; ignored elsewhere.
  virtual std::expected<std::string, complaint> encode_request(const request& r,
                                                               std::string_view max_tokens_field) const = 0;

  // --- whole replies
  virtual std::expected<reply, complaint> decode_reply(json::value body) const = 0;
  virtual std::string encode_reply(const reply& r, const encode_context& context) const = 0;
  // Usage of a reply that is relayed as it came.
  virtual usage usage_of(json::value body) const = 0;
  // Whether a 200's body has this dialect's shape (else the provider's reply is of the wrong shape:
  // INTERNAL).
  virtual bool has_reply_shape(json::value body) const = 0;

  // Both at once: a dialect that can tell them in one pass says so.
  virtual reply_facts facts_of(json::value body) const { return {has_reply_shape(body), usage_of(body)}; }

  // --- streams
  virtual std::unique_ptr<stream_watch> watch() const = 0;
  virtual std::unique_ptr<stream_decoder> decoder() const = 0;
  virtual std::unique_ptr<stream_encoder> encoder(encode_context context) const = 0;

  // --- errors
  // A whole error body in this dialect, canonical code included (interface section 5).
  virtual std::string encode_error(const foundation::failure& f, std::string_view run_id,
                                   std::string_view trace_id) const = 0;
  // The same as the last bytes of a broken stream, without the end marker.
  virtual std::string encode_stream_error(const foundation::failure& f, std::string_view run_id,
                                          std::string_view trace_id) const = 0;
};

// The three dialects; static lifetime.
const dialect& get(dialect_id id);
const dialect& openai_chat();
const dialect& openai_responses();
const dialect& anthropic_messages();

// A provider's error body, whatever its dialect: `error.message`, `error.type`, `error.code`, `error.param`,
// then `message`, `detail`; else empty (RET-5).
upstream_error read_error(std::string_view body);

}  // namespace tidegate::protocol::dialect
