// One HTTP reply of the gateway, taken apart as its bytes come: a JSON body, or server-sent events one by
// one. Pure and bounded.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "protocol/http1/http1.h"
#include "protocol/sse/sse.h"

namespace tidegate::app::chat {

enum class reply_state : std::uint8_t { need_more, complete, failed };

class reply_parser {
 public:
  // For every event with data, in order.
  using event_sink = std::function<void(std::string_view name, std::string_view data)>;
  explicit reply_parser(event_sink on_event) : on_event_{std::move(on_event)} {}

  reply_state feed(std::string_view bytes);
  // The peer ended the connection.
  reply_state end_of_input();

  int status() const noexcept { return head_.status; }
  bool is_stream() const noexcept { return stream_; }
  // Of what is no event stream, when complete.
  const std::string& body() const noexcept { return body_; }
  // Why it failed.
  std::string_view fault() const noexcept { return fault_; }

 private:
  enum class place : std::uint8_t { head, body, done };
  reply_state feed_head(std::string_view& bytes);
  reply_state feed_chunked(std::string_view bytes);
  reply_state take(std::string_view data);
  reply_state fail(std::string_view why);
  reply_state finish();

  event_sink on_event_;
  place place_ = place::head;
  bool stream_ = false;
  std::size_t scanned_ = 0;
  std::uint64_t left_ = 0;
  std::string kept_;
  std::string body_;
  std::string_view fault_;
  protocol::http1::response_head head_;
  protocol::http1::chunk_decoder chunks_;
  protocol::sse::parser events_{4U << 20};
};

}  // namespace tidegate::app::chat
