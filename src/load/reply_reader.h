// Reads one reply off a connection with as little work as a verdict needs: heads are parsed, fixed-length
// bodies only counted, event streams taken apart far enough to count events and to see their end. Pure: bytes
// in, verdict out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/http1/http1.h"
#include "protocol/sse/sse.h"

namespace tidegate::load {

enum class reply_status : std::uint8_t { need_more, complete, failed };

class reply_reader {
 public:
  // Before each reply.
  void begin();
  reply_status feed(std::string_view bytes);
  // The peer ended the connection.
  reply_status end_of_input();

  int status() const noexcept { return head_.status; }
  // Events with data so far, the terminal one included.
  std::uint64_t events() const noexcept { return events_; }
  // Any byte of a reply has come.
  bool started() const noexcept { return started_; }
  // The connection can carry another call.
  bool reusable() const noexcept { return reusable_; }
  // What went wrong, for the report: "429 AI_RATE_LIMITED", "truncated stream"; empty after a good reply.
  std::string verdict() const;

 private:
  reply_status feed_head(std::string_view& bytes);
  reply_status feed_body(std::string_view& bytes);
  reply_status feed_chunked(std::string_view& bytes);
  reply_status take(std::string_view data);
  bool on_event(const protocol::sse::event_view& event);
  reply_status fail(std::string reason);
  reply_status finish(bool reusable);

  enum class state : std::uint8_t { head, body, done };
  state state_ = state::head;
  bool started_ = false;
  bool reusable_ = false;
  bool event_stream_ = false;
  bool terminal_ = false;
  std::size_t scanned_ = 0;
  std::uint64_t left_ = 0;
  std::uint64_t events_ = 0;
  std::string kept_;        // an unfinished head
  std::string error_body_;  // the first bytes of an error's body
  std::string failure_;
  protocol::http1::response_head head_;
  protocol::http1::chunk_decoder chunks_;
  protocol::sse::parser events_parser_{1U << 20};
};

}  // namespace tidegate::load
