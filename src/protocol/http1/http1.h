// HTTP/1.1 message heads and bodies (RFC 9112), strict: what two parsers could read differently is refused.
// Pure functions on bytes; heads are views into the caller's buffer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::protocol::http1 {

struct limits {
  std::size_t head_bytes = 32U << 10;  // request line and fields; beyond: 431
  std::size_t fields = 100;            // beyond: 431
  std::size_t target = 8U << 10;       // beyond: 414
  bool require_host = true;  // HTTP/1.1 requests must carry Host (RFC 9112 3.2); off in corpus tests
};

struct field {
  std::string_view name;   // as it came; compare with foundation::iequals
  std::string_view value;  // without blanks at either side
};

enum class framing : std::uint8_t { none, length, chunked, until_close };

enum class parse_status : std::uint8_t { complete, need_more, failed };

// Why a head or body was refused: `status` is what a server answers (400, 414, 417, 431, 501, 505; 502 where
// an upstream's response is at fault), `reason` static text.
struct parse_failure {
  int status = 400;
  std::string_view reason;
};

struct head {
  std::vector<field> fields;  // reused between messages: no allocation once warm
  std::uint8_t minor_version = 1;
  framing body = framing::none;
  std::uint64_t content_length = 0;  // where body == length
  bool keep_alive = true;

  // The first field of that name (given in lower case), else nullptr.
  const field* find(std::string_view lower_name) const;
  std::string_view get(std::string_view lower_name) const;  // empty when missing
};

struct request_head : head {
  std::string_view method;
  std::string_view target;  // as it came: origin-form, absolute-form, "*" (OPTIONS) or authority (CONNECT)
  std::string_view
      path_query;  // the same in origin-form: an absolute-form's path and query, "/" where it has no path
  std::string_view
      host;  // the Host field, or an absolute-form's authority, which outranks it (RFC 9112 3.2.2)
  bool expect_continue = false;  // "Expect: 100-continue" ahead of a body
};

struct response_head : head {
  int status = 0;
  std::string_view reason;
};

struct parse_result {
  parse_status status = parse_status::need_more;
  std::size_t consumed = 0;  // bytes of the head, blank line included, where complete
  parse_failure failure;     // where failed
};

// Parses a head at the start of `bytes`. With need_more, call again with more bytes appended; `scanned` (0 at
// first, kept by the caller for that message) spares looking at the same bytes again. Limits hold before the
// end is seen.
parse_result parse_request_head(std::string_view bytes, const limits& limit, std::size_t& scanned,
                                request_head& out);

// `request_method`: HEAD has no body. Informational (1xx) heads are complete heads; the caller skips them.
parse_result parse_response_head(std::string_view bytes, const limits& limit, std::size_t& scanned,
                                 std::string_view request_method, response_head& out);

// Takes a chunked body apart. Trailers are checked, bounded and dropped. Strict: CRLF only, hex size of at
// most 16 digits, no blanks around the size; extensions are bounded and ignored.
class chunk_decoder {
 public:
  struct step {
    parse_status status =
        parse_status::need_more;  // complete: the body has ended, `consumed` is the last byte of it
    std::size_t consumed = 0;
    std::string_view data;  // decoded bytes, a view into the input; may be empty
    parse_failure failure;
  };
  // Consumes some input and yields at most one run of data; call until consumed == input size or complete.
  step next(std::string_view bytes);
  void reset() { *this = chunk_decoder{}; }

 private:
  enum class state : std::uint8_t {
    size,
    extension,
    quoted,
    quoted_pair,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer_name,
    trailer_value,
    trailer_lf,
    end_lf,
    done,
    failed,
  };
  // Consume bytes from `at` on; false (with failure_ set) where they are refused.
  bool take(char c);
  bool take_size(char c);
  bool take_extension(char c);
  bool take_trailer(char c);
  bool close_size_line();
  bool refuse(std::string_view reason);

  state state_ = state::size;
  std::uint8_t digits_ = 0;     // of the chunk size, leading zeros counted
  bool after_equals_ = false;   // inside an extension: a quoted value may begin
  std::uint32_t line_ = 0;      // bytes of the extension under way
  std::uint32_t overhead_ = 0;  // bytes of extensions and trailers so far
  std::uint64_t left_ = 0;      // of the chunk under way
  std::string_view failure_;
};

// The other way.
void append_chunk(std::string& out, std::string_view data);
inline constexpr std::string_view last_chunk = "0\r\n\r\n";
std::string_view reason_phrase(int status);

}  // namespace tidegate::protocol::http1
