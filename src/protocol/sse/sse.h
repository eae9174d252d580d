// Server-sent events as bytes (WHATWG HTML 9.2.6, requirement STR-9): an incremental parser for any byte
// split, LF, CRLF or CR, a leading BOM, comments. It never holds more than one unfinished event.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace tidegate::protocol::sse {

// One event. Views are valid inside the callback only.
struct event_view {
  std::string_view type;  // "event:" field, empty when none
  std::string_view data;  // "data:" lines joined by LF
  std::string_view id;    // last "id:" seen in this event, empty when none (one that holds NUL is ignored)
  bool has_id = false;    // tells "id:" with an empty value, which clears the last event id, from none
  // The event's bytes as they came, from its first line to its closing blank line inclusive; comment lines
  // that stood before it are part of it. Concatenating all `raw` and the final rest() gives the input again.
  std::string_view raw;
  // False for a block of comments or unknown fields only, for one without data, and for a blank line of its
  // own: nothing to dispatch, but its bytes belong to the stream.
  bool dispatch = true;
};

enum class feed_status { ok, too_large, stopped };

class parser {
 public:
  // A larger event, finished or not, is refused (`too_large`, for good): its bytes are counted up to and with
  // the first byte of the blank line's end, so that the verdict does not hang on how the input was split. A
  // BOM or a late LF ahead of it is not counted.
  explicit parser(std::size_t event_bytes_max = 16U << 20) : event_bytes_max_{event_bytes_max} {}

  // Calls on_event(const event_view&) -> bool for each complete event, in order; false stops at once and the
  // bytes behind that event stay unread (`stopped`). A complete event inside `bytes` is viewed in place; only
  // an unfinished one is kept. An event closed by CR is reported at once; should LF follow in the next piece,
  // it stands at the head of the next `raw` or of rest().
  template <class OnEvent>
  feed_status feed(std::string_view bytes, OnEvent&& on_event) {
    return feed_erased(bytes, erase(on_event), [](void* target, const event_view& event) -> bool {
      return (*static_cast<std::remove_reference_t<OnEvent>*>(target))(event);
    });
  }
  // End of input: STR-9 flushes a residual event that lacks only its closing blank line (or its last line end
  // too). Nothing is fed afterwards; rest() then holds only bytes that were no event (a lone BOM or LF).
  template <class OnEvent>
  feed_status finish(OnEvent&& on_event) {
    return finish_erased(erase(on_event), [](void* target, const event_view& event) -> bool {
      return (*static_cast<std::remove_reference_t<OnEvent>*>(target))(event);
    });
  }
  // Bytes of an unfinished event.
  std::string_view rest() const { return kept_; }

 private:
  using sink = bool (*)(void*, const event_view&);
  // The sink gives the callback its own type, constness included, back.
  template <class OnEvent>
  static void* erase(OnEvent& on_event) {
    return const_cast<void*>(static_cast<const void*>(std::addressof(on_event)));
  }
  feed_status feed_erased(std::string_view bytes, void* target, sink call);
  feed_status finish_erased(void* target, sink call);
  // Settles whether a BOM leads the stream; takes from `bytes` what it needs. False while it cannot tell.
  bool settle_start(std::string_view& bytes);
  // Completes the event in kept_ from the head of `bytes`.
  feed_status feed_kept(std::string_view& bytes, void* target, sink call);
  // Moves an unfinished event into kept_.
  feed_status keep(std::string_view bytes);
  // Where the event under way ends in `bytes`, all line ends included; npos when it does not.
  std::size_t find_end(std::string_view bytes);

  std::size_t event_bytes_max_;
  std::string kept_;
  std::string joined_;    // several data lines; empty in the usual case
  std::size_t lead_ = 0;  // bytes at the head of the event under way that are no lines: a BOM or a late LF
  bool started_ = false;  // a BOM is behind or can no longer come
  bool refused_ = false;  // too_large was reported
  bool closed_by_cr_ = false;  // the last event's blank line ended in a CR that was the piece's last byte
  // About the last byte of kept_: it ended a line, and it did so as a CR whose LF may follow.
  bool line_start_ = true;
  bool after_cr_ = false;
};

// Appends "event: <type>\ndata: <line>\n...\n\n"; no event line for an empty type.
void append_event(std::string& out, std::string_view type, std::string_view data);

}  // namespace tidegate::protocol::sse
