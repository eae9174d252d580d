// An answer as the events of a dialect's stream, one by one, made when they are asked for: a stream of any
// length takes the memory of one event.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mock/answer.h"
#include "protocol/dialect/dialect.h"

namespace tidegate::mock {

class reply_stream {
 public:
  // `fragment_chars`: text fragments in code points. `asked` must outlive the stream.
  reply_stream(const dialect::dialect& speaks, answer says, const dialect::request& asked,
               std::uint64_t fragment_chars);

  struct event {
    std::string_view bytes;  // with its blank line; until the next call
    bool fragment = false;   // begins a further fragment of content: the place for a pause
  };
  // False: the stream has ended.
  bool next(event& out);
  // The vendor's error event in place of what would follow. Nothing comes behind it.
  std::string_view fail(std::string_view error_type, std::string_view error_code, std::string_view message);

 private:
  enum class phase : std::uint8_t { start, parts, filler, usage, finish, end, done };
  // Encodes the next canonical event into buffer_; false at the end.
  bool produce();
  bool produce_part();
  void emit(dialect::stream_event e);
  void emit_fragment(dialect::stream_event_kind kind, std::uint32_t index, std::string_view text);
  void take_ping(std::string_view event);

  answer answer_;
  std::uint64_t fragment_chars_;
  bool is_anthropic_;
  std::unique_ptr<dialect::stream_encoder> encoder_;
  std::string buffer_;
  std::size_t at_ = 0;
  phase phase_ = phase::start;
  std::size_t part_ = 0;
  std::size_t offset_ = 0;  // in the part's text or arguments
  bool part_begun_ = false;
  std::uint32_t calls_ = 0;
  std::uint64_t filler_sent_ = 0;
  std::uint64_t fragments_ = 0;
  bool fragment_ = false;  // the event just encoded is a further fragment
  bool ping_due_ = false;
  bool pinged_ = false;
};

}  // namespace tidegate::mock
