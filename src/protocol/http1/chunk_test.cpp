// Chunked bodies (RFC 9112 7.1): the strict grammar, the bounds, and the same reading for any split.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "protocol/http1/http1.h"

namespace tidegate::protocol::http1 {
namespace {

struct body {
  parse_status status = parse_status::need_more;
  std::string data;
  std::size_t consumed = 0;
  std::string_view reason;

  bool operator==(const body&) const = default;
};

body decode(std::string_view bytes, std::size_t step) {
  chunk_decoder decoder;
  body out;
  for (std::size_t from = 0; from < bytes.size() && out.status == parse_status::need_more; from += step) {
    // A copy of exact size, so that a sanitizer sees any read beyond the piece.
    const std::string_view view = bytes.substr(from, step);
    const std::vector<char> exact{view.begin(), view.end()};
    std::string_view piece{exact.data(), exact.size()};
    while (!piece.empty() && out.status == parse_status::need_more) {
      const chunk_decoder::step taken = decoder.next(piece);
      out.data += taken.data;
      out.consumed += taken.consumed;
      out.status = taken.status;
      out.reason = taken.failure.reason;
      piece.remove_prefix(taken.consumed);
      if (taken.consumed == 0 && taken.status == parse_status::need_more) {
        ADD_FAILURE() << "no progress";
        return out;
      }
    }
  }
  return out;
}

body decode(std::string_view bytes) { return decode(bytes, bytes.size() + 1); }

TEST(http1_chunks, a_body_is_taken_apart_and_its_end_found) {
  const body out = decode("5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\nNEXT");
  EXPECT_EQ(out.status, parse_status::complete);
  EXPECT_EQ(out.data, "hello world");
  EXPECT_EQ(out.consumed, std::string_view{"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n"}.size());
}

TEST(http1_chunks, sizes_are_plain_hexadecimal) {  // SEC-4
  EXPECT_EQ(decode("A\r\n0123456789\r\n000\r\n\r\n").data, "0123456789");
  EXPECT_EQ(decode("0000000000000001\r\nx\r\n0\r\n\r\n").status, parse_status::complete);
  EXPECT_EQ(decode("FFFFFFFFFFFFFFFF\r\nx").data, "x");
  for (const std::string_view bad :
       {"\r\n", ";a\r\n", "0x5\r\n", "+5\r\n", "-1\r\n", " 5\r\n", "5 \r\n", "5\t;a\r\n", "5_0\r\n", "g\r\n",
        "00000000000000001\r\n", "10000000000000000\r\n", "5\n", "5\rx", "0\n\n", "\n", "5,5\r\n"}) {
    EXPECT_EQ(decode(bad).status, parse_status::failed) << bad;
  }
}

TEST(http1_chunks, data_ends_where_its_size_says) {  // SEC-4
  EXPECT_EQ(decode("3\r\nabcd\r\n").status, parse_status::failed);
  EXPECT_EQ(decode("3\r\nabc\n0\r\n\r\n").status, parse_status::failed);
  EXPECT_EQ(decode("3\r\nabc\rX").status, parse_status::failed);
  EXPECT_EQ(decode("3\r\nabc0\r\n\r\n").status, parse_status::failed);
  EXPECT_EQ(decode("3\r\nabc\r\n\r\n0\r\n\r\n").status, parse_status::failed);
  EXPECT_EQ(decode("3\r\nab").status, parse_status::need_more);
  EXPECT_EQ(decode("3\r\nabc\r\n0\r\n").status, parse_status::need_more);
}

TEST(http1_chunks, extensions_are_read_by_their_grammar_and_ignored) {
  for (const std::string_view good : {"1;a\r\nx\r\n", "1;a=b;c\r\nx\r\n", "1; a = b\r\nx\r\n",
                                      "1;a=\"q;\\\"\\\\ r\"\r\nx\r\n", "1;a= \"q\";b=\"\"\r\nx\r\n"}) {
    EXPECT_EQ(decode(std::string{good} + "0\r\n\r\n").status, parse_status::complete) << good;
  }
  for (const std::string_view bad :
       {"1;a=\"open\r\nx\r\n", "1;a\nx\r\n", "1;a\rx", "1;a=b\r\rx", "1;\x01\r\nx\r\n", "1;a=\"\x01\"\r\nx",
        "1;a\"b\"\r\nx", "1;\x80\r\nx\r\n", "1;a=\"\\\r\nx"}) {
    EXPECT_EQ(decode(bad).status, parse_status::failed) << bad;
  }
}

TEST(http1_chunks, trailers_are_checked_and_dropped) {
  EXPECT_EQ(decode("0\r\nA: b\r\nC:\r\n\r\n").status, parse_status::complete);
  for (const std::string_view bad :
       {"0\r\n X: y\r\n\r\n", "0\r\nX : y\r\n\r\n", "0\r\n: y\r\n\r\n", "0\r\nX\r\n\r\n", "0\r\nX: y\n\r\n",
        "0\r\nX: \x01\r\n\r\n", "0\r\n\rX", "0\r\n\n", "0\r\nX: a\rb\r\n"}) {
    EXPECT_EQ(decode(bad).status, parse_status::failed) << bad;
  }
}

TEST(http1_chunks, overhead_is_bounded) {  // SEC-4
  EXPECT_EQ(decode("1;" + std::string(5000, 'a') + "\r\n").status, parse_status::failed);
  EXPECT_EQ(decode("0\r\nX: " + std::string(20000, 'a') + "\r\n\r\n").status, parse_status::failed);
  std::string many;
  for (int i = 0; i < 2000; ++i) many += "1;abcdefgh\r\nx\r\n";
  EXPECT_EQ(decode(many).status, parse_status::failed);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 5000; ++i) trailers += "a:b\r\n";
  EXPECT_EQ(decode(trailers).status, parse_status::failed);
}

TEST(http1_chunks, a_finished_or_failed_decoder_takes_nothing_more) {
  chunk_decoder decoder;
  EXPECT_EQ(decoder.next("0\r\n\r\n").status, parse_status::complete);
  EXPECT_EQ(decoder.next("5\r\n").consumed, 0U);
  EXPECT_EQ(decoder.next("5\r\n").status, parse_status::complete);
  decoder.reset();
  EXPECT_EQ(decoder.next("zz").status, parse_status::failed);
  const chunk_decoder::step again = decoder.next("5\r\n");
  EXPECT_EQ(again.status, parse_status::failed);
  EXPECT_EQ(again.failure.status, 400);
  EXPECT_FALSE(again.failure.reason.empty());
}

TEST(http1_chunks, any_split_reads_the_same) {
  for (const std::string_view text :
       {"5\r\nhello\r\n6;a=\"b\\\"c\";d\r\n world\r\n0\r\nX: y\r\n\r\nNEXT", "3\r\nabcd\r\n", "1;a\n",
        "0\r\n\rX", "1;a=\"open\r\nx\r\n0\r\n\r\n", "00000000000000000\r\n"}) {
    const body whole = decode(text);
    for (std::size_t step = 1; step <= text.size(); ++step) EXPECT_EQ(decode(text, step), whole) << text;
  }
}

TEST(http1_chunks, written_chunks_read_back) {
  std::string out;
  append_chunk(out, "hello");
  append_chunk(out, "");  // writes nothing: it would end the body
  append_chunk(out, std::string(300, 'x'));
  EXPECT_TRUE(out.starts_with("5\r\nhello\r\n12c\r\n"));
  out += last_chunk;
  const body back = decode(out);
  EXPECT_EQ(back.status, parse_status::complete);
  EXPECT_EQ(back.data, "hello" + std::string(300, 'x'));
  EXPECT_EQ(back.consumed, out.size());
}

}  // namespace
}  // namespace tidegate::protocol::http1
