#include "protocol/sse/sse.h"

#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tidegate::protocol::sse {
namespace {

constexpr std::size_t npos = std::string_view::npos;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

constexpr bool is_line_end(char c) { return c == '\n' || c == '\r'; }

// The first CR or LF at or behind `from`, else the size.
std::size_t find_line_end(std::string_view bytes, std::size_t from) {
  const char* data = bytes.data();
  const std::size_t size = bytes.size();
#if defined(__SSE2__)
  const __m128i feed = _mm_set1_epi8('\n');
  const __m128i carriage = _mm_set1_epi8('\r');
  for (; size - from >= 16; from += 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + from));
    const __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(block, feed), _mm_cmpeq_epi8(block, carriage));
    const auto mask = static_cast<unsigned int>(_mm_movemask_epi8(hit));
    if (mask != 0) return from + static_cast<std::size_t>(std::countr_zero(mask));
  }
#endif
  while (from < size && !is_line_end(data[from])) ++from;
  return from;
}

// Behind the line end at `at`: CRLF is one. A CR as the last byte counts as whole.
std::size_t behind_line_end(std::string_view bytes, std::size_t at) {
  const bool pair = bytes[at] == '\r' && at + 1 < bytes.size() && bytes[at + 1] == '\n';
  return at + (pair ? 2 : 1);
}

// The fields of one event as its lines come by.
class fields {
 public:
  explicit fields(std::string& joined) : joined_{joined} {}

  void take(std::string_view line) {
    // Nearly every line of a provider's stream.
    if (line.starts_with("data:")) return take_data(value_behind(line, 4));
    const std::size_t colon = line.find(':');
    if (colon == 0) return;  // a comment
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = colon == npos ? std::string_view{} : value_behind(line, colon);
    if (name == "data") {
      take_data(value);
    } else if (name == "event") {
      event_.type = value;
    } else if (name == "id" && value.find('\0') == npos) {
      event_.id = value;
      event_.has_id = true;
    }
  }

  event_view close(std::string_view raw) {
    if (data_lines_ > 1) event_.data = joined_;
    event_.raw = raw;
    event_.dispatch = data_lines_ != 0;
    return event_;
  }

 private:
  // One blank after the colon belongs to the syntax.
  static std::string_view value_behind(std::string_view line, std::size_t colon) {
    line.remove_prefix(colon + 1);
    if (line.starts_with(' ')) line.remove_prefix(1);
    return line;
  }

  void take_data(std::string_view value) {
    if (++data_lines_ == 1) {
      event_.data = value;
      return;
    }
    if (data_lines_ == 2) joined_ = event_.data;
    joined_ += '\n';
    joined_ += value;
  }

  std::string& joined_;
  event_view event_;
  std::size_t data_lines_ = 0;
};

struct block {
  std::size_t blank = npos;  // first byte of the blank line's end; npos while the event is unfinished
  std::size_t end = npos;    // behind it
};

// Reads lines from `lead` on until a blank one.
block read_block(std::string_view bytes, std::size_t lead, fields& into) {
  std::size_t line = lead;
  while (line < bytes.size()) {
    const std::size_t at = find_line_end(bytes, line);
    if (at == bytes.size()) return {};
    if (at == line) return {.blank = at, .end = behind_line_end(bytes, at)};
    into.take(bytes.substr(line, at - line));
    line = behind_line_end(bytes, at);
  }
  return {};
}

}  // namespace

bool parser::settle_start(std::string_view& bytes) {
  std::size_t matched = kept_.size();
  std::size_t here = 0;
  while (matched < byte_order_mark.size() && here < bytes.size() && bytes[here] == byte_order_mark[matched]) {
    ++matched;
    ++here;
  }
  const bool found = matched == byte_order_mark.size();
  if (!found && here == bytes.size()) {
    kept_ += bytes;
    line_start_ = kept_.empty();
    return false;
  }
  started_ = true;
  if (!found) return true;
  lead_ = byte_order_mark.size();
  // Wholly in place the mark is read as the event's lead; begun in an earlier piece, it is completed there.
  if (!kept_.empty()) {
    kept_ += bytes.substr(0, here);
    bytes.remove_prefix(here);
    line_start_ = true;
  }
  return true;
}

std::size_t parser::find_end(std::string_view bytes) {
  std::size_t line = 0;
  if (after_cr_ && bytes.front() == '\n') line = 1;
  while (line < bytes.size()) {
    const std::size_t at = find_line_end(bytes, line);
    if (at == bytes.size()) break;
    if (at == line && line_start_) return behind_line_end(bytes, at);
    line_start_ = true;
    line = behind_line_end(bytes, at);
  }
  line_start_ = line == bytes.size();
  after_cr_ = bytes.back() == '\r';
  return npos;
}

feed_status parser::keep(std::string_view bytes) {
  if (kept_.size() + bytes.size() - lead_ > event_bytes_max_) {
    refused_ = true;
    return feed_status::too_large;
  }
  kept_ += bytes;
  return feed_status::ok;
}

feed_status parser::feed_kept(std::string_view& bytes, void* target, sink call) {
  const std::size_t end = find_end(bytes);
  if (end == npos) {
    const feed_status status = keep(bytes);
    bytes = {};
    return status;
  }
  const bool pair = end >= 2 && bytes[end - 1] == '\n' && bytes[end - 2] == '\r';
  const std::size_t counted = kept_.size() + end - (pair ? 1 : 0) - lead_;
  if (counted > event_bytes_max_) {
    refused_ = true;
    return feed_status::too_large;
  }
  kept_ += bytes.substr(0, end);
  closed_by_cr_ = end == bytes.size() && bytes.back() == '\r';
  bytes.remove_prefix(end);
  fields seen{joined_};
  read_block(kept_, lead_, seen);
  const bool go_on = call(target, seen.close(kept_));
  kept_.clear();
  lead_ = 0;
  return go_on ? feed_status::ok : feed_status::stopped;
}

feed_status parser::feed_erased(std::string_view bytes, void* target, sink call) {
  if (refused_) return feed_status::too_large;
  if (bytes.empty() || (!started_ && !settle_start(bytes))) return feed_status::ok;
  if (!kept_.empty() && !bytes.empty()) {
    if (const feed_status status = feed_kept(bytes, target, call); status != feed_status::ok) return status;
  }
  while (!bytes.empty()) {
    if (closed_by_cr_) {
      closed_by_cr_ = false;
      lead_ = bytes.front() == '\n' ? 1 : 0;
    }
    fields seen{joined_};
    const block found = read_block(bytes, lead_, seen);
    if (found.end == npos) {
      line_start_ = bytes.size() == lead_ || is_line_end(bytes.back());
      after_cr_ = bytes.size() > lead_ && bytes.back() == '\r';
      return keep(bytes);
    }
    if (found.blank - lead_ >= event_bytes_max_) {
      refused_ = true;
      return feed_status::too_large;
    }
    closed_by_cr_ = found.end == bytes.size() && bytes.back() == '\r';
    const bool go_on = call(target, seen.close(bytes.substr(0, found.end)));
    bytes.remove_prefix(found.end);
    lead_ = 0;
    if (!go_on) return feed_status::stopped;
  }
  return feed_status::ok;
}

feed_status parser::finish_erased(void* target, sink call) {
  if (refused_) return feed_status::too_large;
  feed_status status = feed_status::ok;
  if (kept_.size() > lead_) {
    fields seen{joined_};
    std::size_t line = lead_;
    while (line < kept_.size()) {
      const std::size_t at = find_line_end(kept_, line);
      seen.take(std::string_view{kept_}.substr(line, at - line));
      line = at == kept_.size() ? at : behind_line_end(kept_, at);
    }
    if (!call(target, seen.close(kept_))) status = feed_status::stopped;
    kept_.clear();
  }
  return status;
}

void append_event(std::string& out, std::string_view type, std::string_view data) {
  if (!type.empty()) {
    out += "event: ";
    out += type;
    out += '\n';
  }
  for (;;) {
    const std::size_t at = find_line_end(data, 0);
    out += "data: ";
    out += data.substr(0, at);
    out += '\n';
    if (at == data.size()) break;
    data.remove_prefix(behind_line_end(data, at));
  }
  out += '\n';
}

}  // namespace tidegate::protocol::sse
