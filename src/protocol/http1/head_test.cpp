// Heads: the rules of RFC 9112 and SEC-4 one by one, and the same verdict for any split.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/http1/http1.h"

namespace tidegate::protocol::http1 {
namespace {

parse_result parse(std::string_view bytes, request_head& out, const limits& limit = {}) {
  std::size_t scanned = 0;
  return parse_request_head(bytes, limit, scanned, out);
}

parse_result parse(std::string_view bytes, response_head& out, std::string_view method = "GET",
                   const limits& limit = {}) {
  std::size_t scanned = 0;
  return parse_response_head(bytes, limit, scanned, method, out);
}

// 0 where more is needed, 200 where accepted, else the refusal's status.
int request_verdict(std::string_view bytes, const limits& limit = {}) {
  request_head out;
  const parse_result result = parse(bytes, out, limit);
  if (result.status == parse_status::need_more) return 0;
  return result.status == parse_status::complete ? 200 : result.failure.status;
}

int response_verdict(std::string_view bytes, std::string_view method = "GET") {
  response_head out;
  const parse_result result = parse(bytes, out, method);
  if (result.status == parse_status::need_more) return 0;
  return result.status == parse_status::complete ? 200 : result.failure.status;
}

std::string get_with(std::string_view fields) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string{fields} + "\r\n";
}

TEST(http1_request, a_usual_head_is_read_into_views) {
  const std::string bytes =
      "POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: gate.example:8080\r\nContent-Type: "
      "application/json\r\n"
      "Authorization:Bearer k\r\nX-Empty:\r\nX-Blanks: \t v w \t\r\nContent-Length: 12\r\n\r\n{\"rest\":true";
  request_head out;
  const parse_result result = parse(bytes, out);
  ASSERT_EQ(result.status, parse_status::complete);
  EXPECT_EQ(result.consumed, bytes.size() - 12);
  EXPECT_EQ(out.method, "POST");
  EXPECT_EQ(out.target, "/v1/chat/completions?x=1");
  EXPECT_EQ(out.path_query, out.target);
  EXPECT_EQ(out.host, "gate.example:8080");
  EXPECT_EQ(out.body, framing::length);
  EXPECT_EQ(out.content_length, 12U);
  EXPECT_TRUE(out.keep_alive);
  ASSERT_EQ(out.fields.size(), 6U);
  EXPECT_EQ(out.get("authorization"), "Bearer k");
  EXPECT_EQ(out.get("x-blanks"), "v w");
  ASSERT_NE(out.find("x-empty"), nullptr);
  EXPECT_EQ(out.find("x-empty")->value, "");
  EXPECT_EQ(out.find("x-none"), nullptr);
  EXPECT_EQ(out.get("x-none"), "");
}

TEST(http1_request, a_reused_head_keeps_nothing_of_the_message_before) {
  request_head out;
  ASSERT_EQ(parse("POST http://h/ HTTP/1.0\r\nHost: h\r\nExpect: x\r\nContent-Length: 5\r\n\r\n", out).status,
            parse_status::complete);
  EXPECT_EQ(out.body, framing::length);
  const std::string second = get_with("");
  ASSERT_EQ(parse(second, out).status, parse_status::complete);
  EXPECT_EQ(out.body, framing::none);
  EXPECT_EQ(out.content_length, 0U);
  EXPECT_EQ(out.minor_version, 1);
  EXPECT_EQ(out.host, "a");
  EXPECT_EQ(out.fields.size(), 1U);
  EXPECT_TRUE(out.keep_alive);
}

TEST(http1_request, line_ends_are_crlf_only) {  // SEC-4
  EXPECT_EQ(request_verdict("GET / HTTP/1.1\nHost: a\n\n"), 400);
  EXPECT_EQ(request_verdict("GET / HTTP/1.1\r\nHost: a\n\r\n"), 400);
  EXPECT_EQ(request_verdict("GET / HTTP/1.1\r\nHost: a\r\n\n"), 400);
  EXPECT_EQ(request_verdict("GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n"), 400);
  EXPECT_EQ(request_verdict("GET / HTTP/1.1\r\nHost: a\r\n\rX"), 400);
  EXPECT_EQ(request_verdict("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

TEST(http1_request, offending_bytes_are_refused_before_the_head_is_whole) {
  EXPECT_EQ(request_verdict("GET / HTTP/1.1\n"), 400);
  EXPECT_EQ(request_verdict("\x16\x03\x01\x02"), 400);  // a TLS hello on a plain port
  EXPECT_EQ(request_verdict("GET / HTTP/1.1\r\nHost: a\r\nX: \x01"), 400);
}

TEST(http1_request, at_most_one_empty_line_may_come_first) {  // RFC 9112 2.2
  EXPECT_EQ(request_verdict("\r\n" + get_with("")), 200);
  EXPECT_EQ(request_verdict("\r\n\r\n" + get_with("")), 400);
  EXPECT_EQ(request_verdict("\r\n"), 0);
  EXPECT_EQ(request_verdict("\r\n\r\n"), 400);
  EXPECT_EQ(request_verdict("\r"), 0);
}

TEST(http1_request, the_request_line_has_one_shape) {
  for (const std::string_view line : {"GET  / HTTP/1.1",
                                      "GET / HTTP/1.1 ",
                                      " GET / HTTP/1.1",
                                      "GET\t/ HTTP/1.1",
                                      "GET /\tHTTP/1.1",
                                      "GET /",
                                      "GET / ",
                                      "GET",
                                      "/ HTTP/1.1",
                                      "GET / http/1.1",
                                      "GET / HTTP/1",
                                      "GET / HTTP/1.",
                                      "GET / HTTP/1.11",
                                      "GET / HTTP/11.1",
                                      "GET / HTTP/+1.1",
                                      "GET / IHTTP/1.1",
                                      "GET / ICE/1.0",
                                      "GET / RTSP/1.0",
                                      "G(T / HTTP/1.1",
                                      "G\x80T / HTTP/1.1",
                                      "GET /a b HTTP/1.1",
                                      "GET / HTTP/1.1 HTTP/1.1",
                                      "GET HTTP/1.1"}) {
    EXPECT_EQ(request_verdict(std::string{line} + "\r\nHost: a\r\n\r\n"), 400) << line;
  }
}

TEST(http1_request, other_versions_are_not_supported) {
  EXPECT_EQ(request_verdict("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(request_verdict("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(request_verdict("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(request_verdict("GET / HTTP/3.0\r\nHost: a\r\n\r\n"), 505);
}

TEST(http1_request, the_four_target_forms) {  // RFC 9112 3.2
  struct row {
    std::string_view line;
    int verdict;
    std::string_view path_query;
    std::string_view host;
  };
  const row rows[] = {
      {"GET /a?b=%20&c=|{}\"<>\\^` HTTP/1.1", 200, "/a?b=%20&c=|{}\"<>\\^`", "a"},
      {"GET http://H.example:80/p?q HTTP/1.1", 200, "/p?q", "H.example:80"},
      {"GET HTTPS://h HTTP/1.1", 200, "/", "h"},
      {"GET http://[::1]:8080/ HTTP/1.1", 200, "/", "[::1]:8080"},
      {"OPTIONS * HTTP/1.1", 200, "*", "a"},
      {"CONNECT h.example:443 HTTP/1.1", 200, "h.example:443", "h.example:443"},
      {"CONNECT [::1]:443 HTTP/1.1", 200, "[::1]:443", "[::1]:443"},
      {"GET * HTTP/1.1", 400, "", ""},
      {"GET a.example:443 HTTP/1.1", 400, "", ""},
      {"GET a HTTP/1.1", 400, "", ""},
      {"GET ftp://h/ HTTP/1.1", 400, "", ""},
      {"GET http:///p HTTP/1.1", 400, "", ""},
      {"GET http://u@h/ HTTP/1.1", 400, "", ""},
      {"GET http://h?q HTTP/1.1", 400, "", ""},
      {"GET http://h:8x/ HTTP/1.1", 400, "", ""},
      {"GET http://[::1/ HTTP/1.1", 400, "", ""},
      {"GET http://a[b]/ HTTP/1.1", 400, "", ""},
      {"GET /a#b HTTP/1.1", 400, "", ""},
      {"GET /\xC3\xA9 HTTP/1.1", 400, "", ""},
      {"GET /\x7f HTTP/1.1", 400, "", ""},
      {"CONNECT / HTTP/1.1", 400, "", ""},
      {"CONNECT h HTTP/1.1", 400, "", ""},
      {"CONNECT h: HTTP/1.1", 400, "", ""},
      {"CONNECT :443 HTTP/1.1", 400, "", ""},
      {"CONNECT http://h:443/ HTTP/1.1", 400, "", ""},
  };
  for (const row& item : rows) {
    const std::string bytes = std::string{item.line} + "\r\nHost: a\r\n\r\n";
    EXPECT_EQ(request_verdict(bytes), item.verdict) << item.line;
    request_head out;
    if (item.verdict != 200 || parse(bytes, out).status != parse_status::complete) continue;
    EXPECT_EQ(out.path_query, item.path_query) << item.line;
    EXPECT_EQ(out.host, item.host) << item.line;
  }
}

TEST(http1_request, bytes_behind_a_connect_are_never_a_next_request) {
  request_head out;
  ASSERT_EQ(parse("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", out).status, parse_status::complete);
  EXPECT_FALSE(out.keep_alive);
}

TEST(http1_request, field_lines_are_strict) {  // SEC-4
  for (const std::string_view line :
       {" X: folded", "\tX: folded", "X : y", "X\t: y", ": y", ":", "X", "X y: z", "X\x80: y", "X(: y",
        "\"X\": y", "X: a\x7f", "X: a\x0b", "X\r: y", "@: y"}) {
    EXPECT_EQ(request_verdict(get_with(std::string{line} + "\r\n")), 400) << line;
  }
  EXPECT_EQ(request_verdict(get_with(std::string{"X: a\0b\r\n", 8})), 400);
  EXPECT_EQ(request_verdict(get_with("X: a\tb \x80\xFF\r\n")), 200);
  EXPECT_EQ(request_verdict(get_with("!#$%&'*+-.^_`|~09azAZ: y\r\n")), 200);
}

TEST(http1_request, content_length_has_one_spelling) {  // SEC-4
  for (const std::string_view value :
       {"", "+1", "-1", "1, 1", "1,2", "0x1", "1 2", "1_0", "01", "00", "1.0", "1;", "\"1\"",
        "18446744073709551616", "99999999999999999999", "1\xA0"}) {
    EXPECT_EQ(request_verdict(get_with("Content-Length: " + std::string{value} + "\r\n")), 400) << value;
  }
  EXPECT_EQ(request_verdict(get_with("Content-Length: 1\r\nContent-Length: 1\r\n")), 400);
  EXPECT_EQ(request_verdict(get_with("Content-Length: 1\r\ncontent-length: 2\r\n")), 400);
  EXPECT_EQ(request_verdict(get_with("Content-Length:\t42\t \r\n")), 200);
  request_head out;
  const std::string largest = get_with("CONTENT-LENGTH: 18446744073709551615\r\n");
  ASSERT_EQ(parse(largest, out).status, parse_status::complete);
  EXPECT_EQ(out.content_length, UINT64_MAX);
}

TEST(http1_request, transfer_encoding_is_chunked_once_or_refused) {  // SEC-4
  for (const std::string_view value :
       {"", ",chunked", "chunked,", "chunked, chunked", "chunked, identity", "identity", "xchunked",
        "chunkedchunked", "chunked;q=1", "\"chunked\"", "gzip",
        "\xA0"
        "chunked",
        "chunked, gzip", "gzip,, chunked"}) {
    EXPECT_EQ(request_verdict(get_with("Transfer-Encoding: " + std::string{value} + "\r\n")), 400) << value;
  }
  EXPECT_EQ(request_verdict(get_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), 400);
  EXPECT_EQ(request_verdict(get_with("Transfer-Encoding: gzip, chunked\r\n")), 501);
  EXPECT_EQ(request_verdict(get_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")), 400);
  EXPECT_EQ(request_verdict(get_with("Content-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n")), 400);
  EXPECT_EQ(request_verdict("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  request_head out;
  const std::string chunked = get_with("transfer-encoding: \tChunked \r\n");
  ASSERT_EQ(parse(chunked, out).status, parse_status::complete);
  EXPECT_EQ(out.body, framing::chunked);
}

TEST(http1_request, host_is_needed_once_and_well_formed) {  // RFC 9112 3.2
  EXPECT_EQ(request_verdict("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(request_verdict("GET / HTTP/1.1\r\n\r\n", limits{.require_host = false}), 200);
  EXPECT_EQ(request_verdict("GET / HTTP/1.0\r\n\r\n"), 200);
  EXPECT_EQ(request_verdict("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(request_verdict("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  for (const std::string_view value :
       {"a b", "a/b", "a@b", "a\xFF", "a?b", "a#b", "a\\b", "a:b", "a:123456", "a:1:2", "[::1", "::1]", "[]",
        "[::1]x", "[::1]:x", "[a]b]", "a,b c"}) {
    EXPECT_EQ(request_verdict("GET / HTTP/1.1\r\nHost: " + std::string{value} + "\r\n\r\n"), 400) << value;
  }
  for (const std::string_view value :
       {"", "a", "a.example", "a_b", "a:", "a:80", "127.0.0.1:8080", "[::1]", "[::1]:80"}) {
    EXPECT_EQ(request_verdict("GET / HTTP/1.1\r\nHost: " + std::string{value} + "\r\n\r\n"), 200) << value;
  }
}

TEST(http1_request, persistence_follows_version_and_connection) {
  struct row {
    std::string_view version;
    std::string_view fields;
    bool keep_alive;
  };
  const row rows[] = {
      {"1.1", "", true},
      {"1.1", "Connection: close\r\n", false},
      {"1.1", "Connection: x, CLOSE ,y\r\n", false},
      {"1.1", "Connection: closed\r\n", true},
      {"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false},
      {"1.1", "Connection: upgrade\r\nUpgrade: h2c\r\n", true},
      {"1.0", "", false},
      {"1.0", "Connection: Keep-Alive\r\n", true},
      {"1.0", "Connection: keep-alive, close\r\n", false},
  };
  for (const row& item : rows) {
    const std::string bytes =
        "GET / HTTP/" + std::string{item.version} + "\r\nHost: a\r\n" + std::string{item.fields} + "\r\n";
    request_head out;
    ASSERT_EQ(parse(bytes, out).status, parse_status::complete) << bytes;
    EXPECT_EQ(out.keep_alive, item.keep_alive) << bytes;
  }
}

TEST(http1_request, expectations) {  // RFC 9110 10.1.1
  const auto expects = [](const std::string& bytes) -> std::optional<bool> {
    request_head out;
    if (parse(bytes, out).status != parse_status::complete) return std::nullopt;
    return out.expect_continue;
  };
  EXPECT_EQ(expects(get_with("Expect: 100-Continue\r\nContent-Length: 3\r\n")), true);
  EXPECT_EQ(expects(get_with("Expect: 100-continue\r\n")), false);
  EXPECT_EQ(expects("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"), false);
  EXPECT_EQ(request_verdict(get_with("Expect: 200-maybe\r\n")), 417);
  EXPECT_EQ(request_verdict(get_with("Expect: 100-continue\r\nExpect: x\r\n")), 417);
}

TEST(http1_request, limits_hold_before_the_end_is_seen) {  // SEC-4
  const limits limit{.head_bytes = 200, .fields = 3, .target = 20};
  const std::string line = "GET / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(request_verdict(line + "X: " + std::string(166, 'x') + "\r\n", limit),
            0);  // 199 bytes: it may still end
  EXPECT_EQ(request_verdict(line + "X: " + std::string(200, 'x'), limit), 431);
  EXPECT_EQ(request_verdict(line + "A: 1\r\nB: 2\r\n", limit), 0);
  EXPECT_EQ(request_verdict(line + "A: 1\r\nB: 2\r\n\r\n", limit), 200);
  EXPECT_EQ(request_verdict(line + "A: 1\r\nB: 2\r\nC: 3\r\n", limit), 431);
  EXPECT_EQ(request_verdict("GET /" + std::string(100, 'x'), limit), 414);
  EXPECT_EQ(request_verdict("GET /" + std::string(19, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n", limit), 200);
  EXPECT_EQ(request_verdict("GET /" + std::string(20, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n", limit), 414);
}

TEST(http1_request, a_head_of_just_the_limit_is_accepted) {
  const std::string head = get_with("X: yz\r\n");
  EXPECT_EQ(request_verdict(head, limits{.head_bytes = head.size()}), 200);
  EXPECT_EQ(request_verdict(head + "more", limits{.head_bytes = head.size()}), 200);
  EXPECT_EQ(request_verdict(head, limits{.head_bytes = head.size() - 1}), 431);
  EXPECT_EQ(request_verdict(head.substr(0, head.size() - 1), limits{.head_bytes = head.size()}), 0);
}

TEST(http1_response, a_usual_head_is_read) {
  const std::string bytes =
      "HTTP/1.1 429 Too Many\tRequests\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  response_head out;
  const parse_result result = parse(bytes, out);
  ASSERT_EQ(result.status, parse_status::complete);
  EXPECT_EQ(result.consumed, bytes.size() - 5);
  EXPECT_EQ(out.status, 429);
  EXPECT_EQ(out.reason, "Too Many\tRequests");
  EXPECT_EQ(out.body, framing::chunked);
  EXPECT_EQ(out.get("retry-after"), "3");
  EXPECT_TRUE(out.keep_alive);
}

TEST(http1_response, a_reason_phrase_may_be_empty_or_missing) {
  for (const std::string_view line : {"HTTP/1.1 200 ", "HTTP/1.1 200"}) {
    response_head out;
    const std::string bytes = std::string{line} + "\r\nContent-Length: 0\r\n\r\n";
    ASSERT_EQ(parse(bytes, out).status, parse_status::complete) << line;
    EXPECT_EQ(out.reason, "");
  }
}

TEST(http1_response, malformed_status_lines_are_refused) {
  for (const std::string_view line :
       {"HTTP/1.1 20 OK", "HTTP/1.1  200 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 200OK", "HTTP/1.1\t200 OK",
        "HTTP/1.1 099 x", "HTTP/1.01 200 OK", "HTTP/2.0 200 OK", "HTTP/5.6 200 OK", "ICE/1.1 200 OK",
        "http/1.1 200 OK", " HTTP/1.1 200 OK", "200 OK", "HTTP/1.1 -20 x", "HTTP/1.1"}) {
    EXPECT_EQ(response_verdict(std::string{line} + "\r\nContent-Length: 0\r\n\r\n"), 502) << line;
  }
  EXPECT_EQ(response_verdict("\r\nHTTP/1.1 200 OK\r\n\r\n"), 502);
  EXPECT_EQ(response_verdict("HTTP/1.1 200 OK\n\n"), 502);
  EXPECT_EQ(response_verdict("HTTP/1.1 200 OK\r\nX : y\r\n\r\n"), 502);
  EXPECT_EQ(response_verdict("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n"), 502);
}

TEST(http1_response, body_framing_follows_status_method_and_fields) {  // RFC 9112 6.3
  struct row {
    std::string_view method;
    std::string_view status;
    std::string_view fields;
    framing body;
    bool keep_alive;
  };
  const row rows[] = {
      {"GET", "200", "Content-Length: 5\r\n", framing::length, true},
      {"GET", "200", "Transfer-Encoding: chunked\r\n", framing::chunked, true},
      {"GET", "200", "", framing::until_close, false},
      {"GET", "200", "Connection: close\r\nContent-Length: 5\r\n", framing::length, false},
      {"HEAD", "200", "Content-Length: 5\r\n", framing::none, true},
      {"HEAD", "200", "", framing::none, true},
      {"GET", "304", "Content-Length: 5\r\n", framing::none, true},
      {"GET", "204", "", framing::none, true},
      {"GET", "204", "Content-Length: 5\r\n", framing::none, false},
      {"GET", "204", "Transfer-Encoding: chunked\r\n", framing::none, false},
      {"GET", "100", "", framing::none, true},
      {"GET", "103", "Link: </x>\r\n", framing::none, true},
  };
  for (const row& item : rows) {
    const std::string bytes =
        "HTTP/1.1 " + std::string{item.status} + " X\r\n" + std::string{item.fields} + "\r\n";
    response_head out;
    ASSERT_EQ(parse(bytes, out, item.method).status, parse_status::complete) << bytes;
    EXPECT_EQ(out.body, item.body) << bytes;
    EXPECT_EQ(out.keep_alive, item.keep_alive) << bytes;
  }
}

TEST(http1_response, ambiguous_framing_is_refused_even_without_a_body) {
  const std::string_view both = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(response_verdict(both), 502);
  EXPECT_EQ(response_verdict(both, "HEAD"), 502);
  EXPECT_EQ(response_verdict("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"), 502);
  EXPECT_EQ(response_verdict("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), 502);
  EXPECT_EQ(response_verdict("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), 502);
  EXPECT_EQ(response_verdict("HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n"), 502);
  EXPECT_EQ(response_verdict("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"), 502);
  EXPECT_EQ(response_verdict("HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\n"), 502);
  EXPECT_EQ(response_verdict("HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n"), 200);
}

// One message head per entry; together they pass through every branch of the scan.
const std::vector<std::string>& split_samples() {
  static const std::vector<std::string> samples = {
      get_with("Accept: */*\r\nContent-Length: 4\r\n") + "body",
      "\r\n" + get_with("X: y\r\n"),
      "\r\n\r\n" + get_with(""),
      "\r\nX: y",
      "GET / HTTP/1.1\nHost: a\n\n",
      "GET / HTTP/1.1\r\nHost: a\r\rX: y\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
      "GET /" + std::string(60, 'x') + "\x01 HTTP/1.1\r\n\r\n",
      "G@T / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(300, 'x') + "\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  };
  return samples;
}

template <class Parse>
void expect_same_for_any_split(std::string_view bytes, Parse&& parse_piece) {
  std::size_t fresh = 0;
  const auto [whole, whole_fields] = parse_piece(bytes, fresh);
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    std::size_t scanned = 0;
    for (std::size_t size = std::min(step, bytes.size());; size = std::min(size + step, bytes.size())) {
      // A copy of exact size, so that a sanitizer sees any read beyond the piece.
      const std::vector<char> exact{bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)};
      const auto [part, part_fields] = parse_piece({exact.data(), size}, scanned);
      ASSERT_LE(scanned, size);
      if (part.status == parse_status::need_more && size < bytes.size()) continue;
      ASSERT_EQ(part.status, whole.status) << bytes << " by " << step;
      ASSERT_EQ(part.failure.status, whole.failure.status) << bytes << " by " << step;
      ASSERT_EQ(part.failure.reason, whole.failure.reason) << bytes << " by " << step;
      ASSERT_EQ(part.consumed, whole.consumed) << bytes << " by " << step;
      if (part.status == parse_status::complete) {
        ASSERT_EQ(part_fields, whole_fields) << bytes;
      }
      break;
    }
  }
}

TEST(http1_heads, any_split_gives_the_same_verdict) {
  const limits limit{.head_bytes = 200, .fields = 3, .target = 40};
  const auto request = [&limit](std::string_view piece, std::size_t& scanned) {
    request_head out;
    const parse_result result = parse_request_head(piece, limit, scanned, out);
    return std::pair{result, std::string{out.method} + std::to_string(out.fields.size())};
  };
  for (const std::string& sample : split_samples()) expect_same_for_any_split(sample, request);
  const auto response = [&limit](std::string_view piece, std::size_t& scanned) {
    response_head out;
    const parse_result result = parse_response_head(piece, limit, scanned, "GET", out);
    return std::pair{result, std::to_string(out.status) + std::to_string(out.fields.size())};
  };
  for (const std::string_view sample :
       {"HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nA: 1\n\r\n",
        "\r\nHTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 OK\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n\r\n"}) {
    expect_same_for_any_split(sample, response);
  }
}

TEST(http1_write, reason_phrases_are_never_empty) {
  EXPECT_EQ(reason_phrase(200), "OK");
  EXPECT_EQ(reason_phrase(429), "Too Many Requests");
  for (int status = 100; status < 600; ++status) EXPECT_FALSE(reason_phrase(status).empty());
}

}  // namespace
}  // namespace tidegate::protocol::http1
