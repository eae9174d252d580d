#include "protocol/http1/http1.h"
#include "protocol/http1/scan.h"

namespace tidegate::protocol::http1 {
namespace {

constexpr std::uint8_t size_digits_max = 16;
constexpr std::uint32_t extension_bytes_max = 4U << 10;  // of one chunk
constexpr std::uint32_t overhead_bytes_max = 16U << 10;  // extensions and trailers of one body

constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char folded = static_cast<char>(c | 0x20);
  return folded >= 'a' && folded <= 'f' ? folded - 'a' + 10 : -1;
}

}  // namespace

bool chunk_decoder::refuse(std::string_view reason) {
  failure_ = reason;
  state_ = state::failed;
  return false;
}

// The size line has its LF.
bool chunk_decoder::close_size_line() {
  state_ = left_ == 0 ? state::trailer_start : state::data;
  digits_ = 0;
  line_ = 0;
  after_equals_ = false;
  return true;
}

bool chunk_decoder::take_size(char c) {
  if (const int digit = hex_value(c); digit >= 0) {
    if (++digits_ > size_digits_max) return refuse("chunk size too long");
    left_ = left_ << 4 | static_cast<std::uint64_t>(digit);
    return true;
  }
  if (digits_ == 0 || (c != '\r' && c != ';')) return refuse("malformed chunk size");
  state_ = c == ';' ? state::extension : state::size_lf;
  return true;
}

// Extensions are ignored but read by their grammar (RFC 9112 7.1.1): a quoted value left open at the line's
// end would let another reader see the end elsewhere.
bool chunk_decoder::take_extension(char c) {
  if (++line_ > extension_bytes_max || ++overhead_ > overhead_bytes_max)
    return refuse("chunk extensions too large");
  if (state_ == state::quoted_pair) {
    if (is_control(c)) return refuse("control byte in chunk extension");
    state_ = state::quoted;
    return true;
  }
  if (state_ == state::quoted) {
    if (is_control(c)) return refuse("control byte in quoted chunk extension");
    if (c == '\\') state_ = state::quoted_pair;
    if (c == '"') state_ = state::extension;
    return true;
  }
  const bool after_equals = after_equals_;
  after_equals_ = c == '=' || (after_equals && (c == ' ' || c == '\t'));
  if (c == '\r') {
    state_ = state::size_lf;
  } else if (c == '"' && after_equals) {
    state_ = state::quoted;
  } else if (!has_class(c, token_byte) && c != ';' && c != '=' && c != ' ' && c != '\t') {
    return refuse("malformed chunk extension");
  }
  return true;
}

bool chunk_decoder::take_trailer(char c) {
  if (++overhead_ > overhead_bytes_max) return refuse("trailers too large");
  switch (state_) {
    case state::trailer_start:
      if (c == '\r') {
        state_ = state::end_lf;
        return true;
      }
      if (!has_class(c, token_byte)) return refuse("malformed trailer");
      state_ = state::trailer_name;
      return true;
    case state::trailer_name:
      if (c == ':') {
        state_ = state::trailer_value;
        return true;
      }
      return has_class(c, token_byte) || refuse("malformed trailer name");
    case state::trailer_value:
      if (c == '\r') {
        state_ = state::trailer_lf;
        return true;
      }
      return !is_control(c) || refuse("control byte in trailer");
    default:  // trailer_lf
      if (c != '\n') return refuse("bare carriage return in trailer");
      state_ = state::trailer_start;
      return true;
  }
}

// Every byte that is no chunk data.
bool chunk_decoder::take(char c) {
  switch (state_) {
    case state::size:
      return take_size(c);
    case state::extension:
    case state::quoted:
    case state::quoted_pair:
      return take_extension(c);
    case state::size_lf:
      return c == '\n' ? close_size_line() : refuse("bare carriage return after chunk size");
    case state::data_cr:
      if (c != '\r') return refuse("chunk data longer than its size");
      state_ = state::data_lf;
      return true;
    case state::data_lf:
      if (c != '\n') return refuse("bare carriage return after chunk data");
      state_ = state::size;
      return true;
    case state::end_lf:
      if (c != '\n') return refuse("bare carriage return after trailers");
      state_ = state::done;
      return true;
    default:
      return take_trailer(c);
  }
}

chunk_decoder::step chunk_decoder::next(std::string_view bytes) {
  step out;
  while (state_ != state::done && state_ != state::failed && out.consumed < bytes.size()) {
    if (state_ == state::data) {
      const std::size_t here = bytes.size() - out.consumed;
      const std::size_t run = left_ < here ? static_cast<std::size_t>(left_) : here;
      out.data = bytes.substr(out.consumed, run);
      out.consumed += run;
      left_ -= run;
      if (left_ == 0) state_ = state::data_cr;
      return out;
    }
    if (!take(bytes[out.consumed])) break;
    ++out.consumed;
  }
  if (state_ == state::done) out.status = parse_status::complete;
  if (state_ == state::failed) {
    out.status = parse_status::failed;
    out.failure = {.status = 400, .reason = failure_};
  }
  return out;
}

}  // namespace tidegate::protocol::http1
