// A provider's stream on its way to the caller, as bytes in, bytes out: relayed as it came where both speak
// the same dialect, translated otherwise. Decides what is content, where the stream ends and whether it
// broke. No I/O.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policy/tokens.h"
#include "protocol/dialect/dialect.h"
#include "protocol/dialect/event_text.h"
#include "protocol/sse/sse.h"

namespace tidegate::gateway {

namespace dialect = protocol::dialect;
namespace sse = protocol::sse;

struct relay_options {
  bool drop_usage_only = false;  // usage was asked for by us, not by the caller (GW-6)
  std::size_t keep_text = 0;     // bytes of what came that text() keeps, for the trace (TRC-4)
};

enum class relay_state : std::uint8_t {
  open,
  ended,   // the end marker was seen; its bytes are in tail()
  failed,  // the provider sent an error; see error()
  broken,  // an event beyond all bounds
};

class stream_relay {
 public:
  stream_relay(const dialect::dialect& provider, const dialect::dialect& caller,
               dialect::encode_context context, relay_options options);

  // Every event goes to `encoder`, whatever the provider speaks.
  stream_relay(const dialect::dialect& provider, std::unique_ptr<dialect::stream_encoder> encoder,
               relay_options options);

  // Appends to `out` what goes on to the caller. Bytes behind the end marker are ignored.
  relay_state feed(std::string_view bytes, std::string& out);
  // The provider's body has ended (`whole`: its HTTP framing is complete). Ended where the dialect's end
  // marker was seen, or where a whole body ends behind a finish reason, as providers without `[DONE]` do.
  relay_state finish(bool whole, std::string& out);

  bool content() const noexcept { return content_; }
  // The closing bytes, sent once the outcome has been settled.
  const std::string& tail() const noexcept { return tail_; }
  const dialect::stream_error& error() const noexcept { return error_; }
  // The provider's own error event, in the caller's dialect already (same dialect only); else empty.
  const std::string& error_bytes() const noexcept { return error_bytes_; }
  const dialect::usage& tokens() const noexcept { return watch_ ? watch_->tokens() : tokens_; }
  // The estimate of what has come so far, reasoning and tool calls included, for a stream whose provider does
  // not report usage (BUD-5). At least 1 once there was content.
  std::int64_t received_tokens() const noexcept;
  // What came so far, reasoning and tool calls included, up to `keep_text` bytes.
  std::string& text() noexcept { return text_; }
  std::uint32_t malformed() const noexcept { return malformed_; }
  // The first malformed line, at most 200 bytes (TRC-7).
  const std::string& malformed_sample() const noexcept { return malformed_sample_; }

 private:
  bool on_event(const sse::event_view& event, std::string& out);
  bool relay(const sse::event_view& event, std::string& out);
  bool translate(const sse::event_view& event, std::string& out);
  bool apply(const dialect::stream_event& event, std::string& out);
  void note_malformed(std::string_view data);

  sse::parser parser_;
  std::unique_ptr<dialect::stream_watch> watch_;      // same dialect
  std::unique_ptr<dialect::stream_decoder> decoder_;  // translation
  std::unique_ptr<dialect::stream_encoder> encoder_;
  std::vector<dialect::stream_event> events_;
  relay_options options_;
  relay_state state_ = relay_state::open;
  policy::token_estimate received_;
  dialect::event_text words_;  // same dialect
  bool content_ = false;
  bool finished_ = false;
  std::uint32_t malformed_ = 0;
  std::string tail_;
  std::string error_bytes_;
  std::string malformed_sample_;
  std::string text_;
  dialect::stream_error error_;
  dialect::usage tokens_;
};

// The same for a whole reply in the dialect of `speaks`; 0 for one that says nothing.
std::int64_t estimate_reply(dialect::dialect_id speaks, protocol::json::value body);
// The words of a whole reply, up to `bytes_max`, for the trace.
std::string text_of_reply(dialect::dialect_id speaks, protocol::json::value body, std::size_t bytes_max);

}  // namespace tidegate::gateway
