#include "load/reply_reader.h"

#include <string>

#include <gtest/gtest.h>

#include "protocol/http1/http1.h"

namespace tidegate::load {
namespace {

namespace http1 = protocol::http1;

std::string with_length(const std::string& status, const std::string& body, const std::string& more = "") {
  return "HTTP/1.1 " + status + "\r\n" + more + "content-length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

std::string event_stream(std::initializer_list<std::string_view> events) {
  std::string out =
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: "
      "chunked\r\n\r\n";
  for (const std::string_view event : events) http1::append_chunk(out, event);
  return out.append(http1::last_chunk);
}

struct outcome {
  reply_status status = reply_status::need_more;
  std::string verdict;
  std::uint64_t events = 0;
  bool reusable = false;
  bool operator==(const outcome&) const = default;
};

std::ostream& operator<<(std::ostream& out, const outcome& o) {
  return out << static_cast<int>(o.status) << " \"" << o.verdict << "\" events " << o.events << " reusable "
             << o.reusable;
}

outcome read(std::initializer_list<std::string_view> pieces, bool closed = false) {
  reply_reader reader;
  reader.begin();
  reply_status status = reply_status::need_more;
  for (const std::string_view piece : pieces) {
    if (status == reply_status::need_more) status = reader.feed(piece);
  }
  if (closed && status == reply_status::need_more) status = reader.end_of_input();
  return {status, reader.verdict(), reader.events(), reader.reusable()};
}

// The verdict must not hang on how the bytes came.
outcome read_in_every_split(std::string_view bytes, bool closed = false) {
  const outcome whole = read({bytes}, closed);
  for (std::size_t at = 1; at < bytes.size(); ++at) {
    EXPECT_EQ(read({bytes.substr(0, at), bytes.substr(at)}, closed), whole) << "split at " << at;
  }
  return whole;
}

TEST(reply_reader, a_fixed_length_reply_is_counted_off) {
  const auto got = read_in_every_split(with_length("200 OK", R"({"ok":true})"));
  EXPECT_EQ(got, (outcome{reply_status::complete, "", 0, true}));
}

TEST(reply_reader, a_closing_server_ends_the_connection) {
  const auto got = read_in_every_split(with_length("200 OK", "{}", "connection: close\r\n"));
  EXPECT_EQ(got, (outcome{reply_status::complete, "", 0, false}));
}

TEST(reply_reader, bytes_behind_the_reply_make_the_connection_unusable) {
  EXPECT_EQ(read({with_length("200 OK", "{}") + "x"}), (outcome{reply_status::complete, "", 0, false}));
}

TEST(reply_reader, a_reply_without_length_ends_with_the_connection) {
  const auto got = read_in_every_split("HTTP/1.1 200 OK\r\n\r\n{}", true);
  EXPECT_EQ(got, (outcome{reply_status::complete, "", 0, false}));
}

TEST(reply_reader, informational_heads_are_passed_over) {
  const auto got = read_in_every_split("HTTP/1.1 100 Continue\r\n\r\n" + with_length("200 OK", "{}"));
  EXPECT_EQ(got, (outcome{reply_status::complete, "", 0, true}));
}

TEST(reply_reader, errors_carry_their_code_in_either_dialect) {
  EXPECT_EQ(read_in_every_split(
                with_length("429 Too Many Requests",
                            R"({"error":{"message":"m","type":"t","param":null,"code":"AI_RATE_LIMITED"}})")),
            (outcome{reply_status::failed, "429 AI_RATE_LIMITED", 0, true}));
  EXPECT_EQ(read({with_length("529 Overloaded", R"({"type":"error","error":{"type":"overloaded_error"}})")})
                .verdict,
            "529 overloaded_error");
  EXPECT_EQ(read({with_length("502 Bad Gateway", "<html>")}).verdict, "502");
  EXPECT_EQ(read({with_length("500 No", R"({"code":"a\nb)" + std::string(100, 'x') + "\"}")}).verdict.size(),
            4 + 64U);
}

TEST(reply_reader, events_are_counted_and_the_terminal_one_is_asked_for) {
  EXPECT_EQ(read_in_every_split(
                event_stream({"data: {\"id\":1}\n\n: ping\n\nda", "ta: {\"id\":2}\n\n", "data: [DONE]\n\n"})),
            (outcome{reply_status::complete, "", 3, true}));
  EXPECT_EQ(read({event_stream({"event: message_start\ndata: {}\n\n", "event: message_stop\ndata: {}\n\n"})}),
            (outcome{reply_status::complete, "", 2, true}));
  EXPECT_EQ(read({event_stream({"event: response.completed\ndata: {}\n\n"})}),
            (outcome{reply_status::complete, "", 1, true}));
  EXPECT_EQ(read_in_every_split(event_stream({"data: {\"id\":1}\n\n"})),
            (outcome{reply_status::failed, "stream without its terminal event", 1, false}));
}

TEST(reply_reader, an_error_inside_a_stream_fails_the_call) {
  EXPECT_EQ(read_in_every_split(
                event_stream({"data: {\"id\":1}\n\n", R"(data: {"error":{"code":"TIMEOUT"}})", "\n\n"})),
            (outcome{reply_status::failed, "error in the stream: TIMEOUT", 2, false}));
  EXPECT_EQ(read({event_stream({"event: error\ndata: {\"type\":\"error\"}\n\n"})}).verdict,
            "error in the stream");
}

TEST(reply_reader, a_reply_that_breaks_off_says_where) {
  const std::string stream = event_stream({"data: {}\n\n", "data: [DONE]\n\n"});
  const std::string whole = with_length("200 OK", R"({"ok":true})");
  EXPECT_EQ(read({}, true).verdict, "closed without a reply");
  EXPECT_EQ(read({whole.substr(0, 12)}, true).verdict, "closed inside the reply's head");
  EXPECT_EQ(read({whole.substr(0, whole.size() - 1)}, true).verdict, "truncated reply");
  EXPECT_EQ(read({stream.substr(0, stream.size() - 1)}, true).verdict, "truncated stream");
}

TEST(reply_reader, malformed_replies_fail) {
  EXPECT_EQ(read({"SSH-2.0-x\r\n\r\n"}).verdict, "malformed reply");
  EXPECT_EQ(read({"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"}).verdict, "malformed chunk");
}

TEST(reply_reader, begins_afresh_after_every_reply) {
  reply_reader reader;
  reader.begin();
  EXPECT_EQ(reader.feed(event_stream({"data: {}\n\n"})), reply_status::failed);
  reader.begin();
  EXPECT_EQ(reader.feed(with_length("200 OK", "{}")), reply_status::complete);
  EXPECT_EQ(reader.events(), 0U);
  EXPECT_EQ(reader.verdict(), "");
}

}  // namespace
}  // namespace tidegate::load
