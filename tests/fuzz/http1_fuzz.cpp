// HTTP/1.1 heads and chunked bodies: no input crashes, views stay inside the input, and a message that
// trickles in gets the verdict it would have got whole. The first two bytes choose the parser and the size of
// the pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/check.h"
#include "protocol/http1/http1.h"

namespace {

namespace http1 = tidegate::protocol::http1;

constexpr http1::limits small_limits{.head_bytes = 512, .fields = 8, .target = 64};

void check_inside(std::string_view view, std::string_view whole) {
  if (view.empty()) return;
  TG_CHECK(view.data() >= whole.data() && view.data() + view.size() <= whole.data() + whole.size());
}

bool same_fields(const http1::head& a, const http1::head& b) {
  return std::ranges::equal(a.fields, b.fields, [](const http1::field& x, const http1::field& y) {
    return x.name == y.name && x.value == y.value;
  });
}

bool same_head(const http1::head& a, const http1::head& b) {
  return same_fields(a, b) && a.minor_version == b.minor_version && a.body == b.body &&
         a.content_length == b.content_length && a.keep_alive == b.keep_alive;
}

template <class Head, class Parse>
void check_head(std::string_view bytes, std::size_t step, Parse&& parse) {
  Head whole;
  std::size_t fresh = 0;
  const http1::parse_result expected = parse(bytes, fresh, whole);
  TG_CHECK(fresh <= bytes.size());
  TG_CHECK(expected.consumed <= std::min(bytes.size(), small_limits.head_bytes));
  if (expected.status == http1::parse_status::complete) {
    TG_CHECK(whole.fields.size() <= small_limits.fields);
    for (const http1::field& item : whole.fields) {
      TG_CHECK(!item.name.empty());
      check_inside(item.name, bytes);
      check_inside(item.value, bytes);
      TG_CHECK(item.value.find_first_of(std::string_view{"\r\n\0", 3}) == std::string_view::npos);
    }
  }
  Head part;
  std::size_t scanned = 0;
  for (std::size_t size = 0;;) {
    size = std::min(size + step, bytes.size());
    const std::vector<char> exact{bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)};
    const http1::parse_result result = parse({exact.data(), size}, scanned, part);
    TG_CHECK(scanned <= size);
    if (result.status == http1::parse_status::need_more && size < bytes.size()) continue;
    TG_CHECK(result.status == expected.status && result.consumed == expected.consumed);
    TG_CHECK(result.failure.status == expected.failure.status);
    TG_CHECK(result.failure.reason == expected.failure.reason);
    if (result.status == http1::parse_status::complete) TG_CHECK(same_head(part, whole));
    return;
  }
}

void check_request(std::string_view bytes, std::size_t step) {
  check_head<http1::request_head>(bytes, step,
                                  [](std::string_view piece, std::size_t& scanned, http1::request_head& out) {
                                    return http1::parse_request_head(piece, small_limits, scanned, out);
                                  });
}

void check_response(std::string_view bytes, std::size_t step, std::string_view method) {
  check_head<http1::response_head>(
      bytes, step, [method](std::string_view piece, std::size_t& scanned, http1::response_head& out) {
        return http1::parse_response_head(piece, small_limits, scanned, method, out);
      });
}

struct body {
  http1::parse_status status = http1::parse_status::need_more;
  std::size_t consumed = 0;
  std::string data;
  std::string_view reason;

  bool operator==(const body&) const = default;
};

body decode(std::string_view bytes, std::size_t step) {
  http1::chunk_decoder decoder;
  body out;
  for (std::size_t from = 0; from < bytes.size() && out.status == http1::parse_status::need_more;
       from += step) {
    std::string_view piece = bytes.substr(from, step);
    while (!piece.empty() && out.status == http1::parse_status::need_more) {
      const http1::chunk_decoder::step taken = decoder.next(piece);
      TG_CHECK(taken.consumed <= piece.size());
      TG_CHECK(taken.consumed != 0 || taken.status != http1::parse_status::need_more);
      check_inside(taken.data, piece);
      out.status = taken.status;
      out.reason = taken.failure.reason;
      out.consumed += taken.consumed;
      out.data += taken.data;
      piece.remove_prefix(taken.consumed);
    }
  }
  return out;
}

void check_chunks(std::string_view bytes, std::size_t step) {
  const body whole = decode(bytes, bytes.size() + 1);
  TG_CHECK(decode(bytes, step) == whole);
  if (whole.status != http1::parse_status::complete) return;
  std::string again;
  http1::append_chunk(again, whole.data);
  again += http1::last_chunk;
  TG_CHECK(decode(again, step).data == whole.data);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes{reinterpret_cast<const char*>(data) + 2, size - 2};
  const std::size_t step = 1U + data[1] % 64U;
  switch (data[0] % 4U) {
    case 0:
      check_request(bytes, step);
      break;
    case 1:
      check_response(bytes, step, "GET");
      break;
    case 2:
      check_response(bytes, step, "HEAD");
      break;
    default:
      check_chunks(bytes, step);
      break;
  }
  return 0;
}
