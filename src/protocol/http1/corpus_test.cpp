// The parsers against corpora that others wrote: llhttp's strict cases, payloads that broke real servers and
// mutated Transfer-Encoding lines. Deliberate differences are listed here and explained in
// docs/CONFORMANCE_HTTP.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "kit/fixtures.h"
#include "protocol/http1/http1.h"

namespace tidegate::protocol::http1 {
namespace {

struct difference {
  std::string_view file;  // end of the corpus file's name
  std::string_view name;
  std::string_view why;
};

// llhttp stops with an "error" or refuses, we go on.
constexpr difference accepted_here[] = {
    {"request/connection.md", "Setting a flag and pausing", "a pause for Upgrade, which we ignore"},
    {"request/method.md", "CONNECT request", "a pause for CONNECT; the server above has no such method"},
    {"request/method.md", "CONNECT request with CAPS",
     "a pause for CONNECT; the server above has no such method"},
    {"request/invalid.md", "HTTP protocol and ANNOUNCE method",
     "any token is a method; the router answers 404 or 405"},
    {"request/invalid.md", "Invalid method", "any token is a method; the router answers 404 or 405"},
    {"response/connection.md", "HTTP/1.1 with keep-alive disabled and 204 status",
     "bytes behind a message that closes are the connection's matter, which drops them"},
};

// llhttp accepts, we refuse.
constexpr difference refused_here[] = {
    {"request/method.md", "M-SEARCH request", "asterisk-form is for OPTIONS only (RFC 9112 3.2.4)"},
    {"request/method.md", "ANNOUNCE request with RTSP", "only HTTP is spoken here"},
    {"request/uri.md", "Fragment in URI", "a target has no fragment (RFC 9112 3.2)"},
    {"response/sample.md", "ICE response", "only HTTP is spoken here"},
    {"response/sample.md", "Response starting with CRLF",
     "RFC 9112 2.2 allows empty lines ahead of requests only"},
    {"response/transfer-encoding.md", "`chunked` before other transfer-encoding",
     "a coding other than chunked is never asked for"},
    {"response/transfer-encoding.md", "multiple transfer-encoding where chunked is not the last one",
     "a coding other than chunked is never asked for"},
    {"response/transfer-encoding.md", "`chunkedchunked` transfer-encoding does not enable chunked enconding",
     "a coding other than chunked is never asked for"},
};

template <std::size_t N>
bool listed(const difference (&list)[N], std::string_view file, std::string_view name) {
  return std::ranges::any_of(
      list, [&](const difference& item) { return file.ends_with(item.file) && name == item.name; });
}

enum class side { request, response };

struct message {
  std::string method;
  std::string target;
  std::vector<std::string> names;
  framing body = framing::none;
  std::uint64_t content_length = 0;
  bool keep_alive = true;
};

struct conversation {
  bool refused = false;
  bool head_open = false;  // the input ended inside a head
  bool body_open = false;  // or inside a chunked body
  std::vector<message> messages;
};

template <class Head>
message note(const Head& head) {
  message out;
  out.body = head.body;
  out.content_length = head.content_length;
  out.keep_alive = head.keep_alive;
  if constexpr (std::is_same_v<Head, request_head>) {
    out.method = head.method;
    out.target = head.target;
  }
  for (const field& item : head.fields) out.names.emplace_back(item.name);
  return out;
}

// Takes a body off the front; need_more where it goes on behind the input.
parse_status skip_body(std::string_view& bytes, const message& head) {
  if (head.body == framing::until_close) {
    bytes = {};
  } else if (head.body == framing::length) {
    bytes.remove_prefix(static_cast<std::size_t>(std::min<std::uint64_t>(head.content_length, bytes.size())));
  } else if (head.body == framing::chunked) {
    chunk_decoder decoder;
    while (!bytes.empty()) {
      const chunk_decoder::step step = decoder.next(bytes);
      bytes.remove_prefix(step.consumed);
      if (step.status != parse_status::need_more) return step.status;
    }
    return parse_status::need_more;
  }
  return parse_status::complete;
}

// Reads message after message as a peer on one connection would.
conversation read_all(std::string_view bytes, side which, const limits& limit) {
  conversation out;
  while (!bytes.empty()) {
    std::size_t scanned = 0;
    parse_result result;
    message seen;
    if (which == side::request) {
      request_head head;
      result = parse_request_head(bytes, limit, scanned, head);
      if (result.status == parse_status::complete) seen = note(head);
    } else {
      response_head head;
      result = parse_response_head(bytes, limit, scanned, "GET", head);
      if (result.status == parse_status::complete) seen = note(head);
    }
    out.refused = result.status == parse_status::failed;
    out.head_open = result.status == parse_status::need_more;
    if (result.status != parse_status::complete) return out;
    out.messages.push_back(seen);
    bytes.remove_prefix(result.consumed);
    const parse_status body = skip_body(bytes, seen);
    out.refused = body == parse_status::failed;
    out.body_open = body == parse_status::need_more;
    if (body != parse_status::complete || !seen.keep_alive) return out;
  }
  return out;
}

// The corpus drops the line ends at the end of its inputs: an open head is given up to two of them back, and
// where a refusal is due an open body too.
conversation read_corpus_input(std::string bytes, side which, const limits& limit, bool bodies_too) {
  conversation out = read_all(bytes, which, limit);
  for (int i = 0; i < 2 && (out.head_open || (bodies_too && out.body_open)); ++i) {
    bytes += "\r\n";
    out = read_all(bytes, which, limit);
  }
  return out;
}

// The text of the log's first span of that kind, empty when there is none or it is escaped.
std::string logged_span(const std::vector<std::string>& log, std::string_view kind) {
  const std::string key = "span[" + std::string{kind} + "]=\"";
  for (const std::string& line : log) {
    const std::size_t at = line.find(key);
    if (at == std::string::npos) continue;
    std::string text = line.substr(at + key.size());
    if (!text.empty()) text.pop_back();
    return text.find('\\') == std::string::npos ? text : std::string{};
  }
  return {};
}

std::vector<std::string> logged_names(const std::vector<std::string>& log) {
  std::vector<std::string> names;
  constexpr std::string_view key = "span[header_field]=\"";
  for (const std::string& line : log) {
    if (line.find("headers complete") != std::string::npos) break;
    const std::size_t at = line.find(key);
    if (at == std::string::npos) continue;
    names.push_back(line.substr(at + key.size()));
    names.back().pop_back();
  }
  return names;
}

bool agrees_with_log(const conversation& read, const std::vector<std::string>& log) {
  if (read.messages.empty()) return true;
  const message& first = read.messages.front();
  const std::string method = logged_span(log, "method");
  const std::string target = logged_span(log, "url");
  return (method.empty() || method == first.method) && (target.empty() || target == first.target) &&
         logged_names(log) == first.names;
}

TEST(http1_corpus, llhttp_strict_cases) {  // SEC-4
  const std::optional<std::string> file = kit::read_fixture("http/llhttp_cases.jsonl");
  if (!file) GTEST_SKIP() << "no corpus";
  // Its inputs seldom have a Host; that rule has tests of its own.
  const limits limit{.require_host = false};
  std::size_t total = 0;
  std::size_t passed = 0;
  std::size_t excepted = 0;
  std::size_t unread = kit::json_lines{*file}.for_each([&](simdjson::dom::element item) {
    const std::string type = kit::text_of(item, "type");
    if (type != "request" && type != "response") return;
    const std::string name = kit::text_of(item, "name");
    const std::string path = kit::text_of(item, "file");
    std::vector<std::string> log;
    for (const simdjson::dom::element line : item["log"].get_array())
      log.emplace_back(std::string_view{line});
    const bool must_refuse = !item["strict_error"].is_null();
    const side which = type == "request" ? side::request : side::response;
    const conversation read = read_corpus_input(kit::bytes_of(item, "raw_base64"), which, limit, must_refuse);
    const bool known = must_refuse ? listed(accepted_here, path, name) : listed(refused_here, path, name);
    const bool expected = known ? !must_refuse : must_refuse;
    bool good = read.refused == expected && !read.head_open;
    if (good && !must_refuse && !known) good = agrees_with_log(read, log);
    EXPECT_TRUE(good) << path << ": " << name << (read.refused ? " refused" : " accepted") << ' ' << known;
    ++total;
    passed += good ? 1 : 0;
    excepted += known ? 1 : 0;
  });
  EXPECT_EQ(unread, 0U);
  kit::report("llhttp_strict_cases", passed, total);
  std::printf("llhttp_strict_cases: %zu of them deliberate differences\n", excepted);
}

// Payloads that broke real servers: none is accepted but one, and that in its only right reading.
TEST(http1_corpus, garden_payloads) {  // SEC-4
  const std::optional<std::string> file = kit::read_fixture("http/garden_payloads.jsonl");
  if (!file) GTEST_SKIP() << "no corpus";
  const limits limit{.require_host = false};
  std::size_t total = 0;
  std::size_t passed = 0;
  kit::json_lines{*file}.for_each([&](simdjson::dom::element item) {
    const std::string bytes = kit::bytes_of(item, "raw_base64");
    const conversation read = read_all(bytes, side::request, limit);
    bool good = read.refused;
    if (bytes == "GET / HTTP/1.1\r\nContent-Length: 10\r\n\r\n1234567890") {
      good = !read.refused && read.messages.size() == 1 && read.messages[0].content_length == 10;
    }
    EXPECT_TRUE(good) << kit::text_of(item, "payload_escaped");
    ++total;
    passed += good ? 1 : 0;
  });
  kit::report("garden_payloads", passed, total);
}

std::string with_line(std::string_view line, std::string_view more) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string{more} + std::string{line} + "\r\n\r\n";
}

// A mutated Transfer-Encoding line beside a Content-Length: 400, or an unrelated field that leaves the length
// alone.
TEST(http1_corpus, mutated_transfer_encodings_are_never_half_honoured) {  // SEC-4
  const std::optional<std::string> file = kit::read_fixture("http/smuggler_te_mutations.jsonl");
  if (!file) GTEST_SKIP() << "no corpus";
  // In these the name before the first colon is another field's, and its value is legal.
  constexpr std::string_view unrelated[] = {"xprespace-20", "xprespace-ff"};
  std::size_t total = 0;
  std::size_t passed = 0;
  kit::json_lines{*file}.for_each([&](simdjson::dom::element item) {
    const std::string line = kit::bytes_of(item, "header_line_base64");
    const std::string name = kit::text_of(item, "name");
    bool good = true;
    for (const bool length_first : {true, false}) {
      constexpr std::string_view length = "Content-Length: 5\r\n";
      std::string bytes = length_first ? with_line(line, length) : with_line(line, "");
      if (!length_first) bytes.insert(bytes.size() - 2, length);
      std::size_t scanned = 0;
      request_head head;
      const parse_result result = parse_request_head(bytes, limits{}, scanned, head);
      if (std::ranges::find(unrelated, name) != std::end(unrelated)) {
        good = good && result.status == parse_status::complete && head.body == framing::length &&
               head.content_length == 5 && head.find("transfer-encoding") == nullptr;
      } else {
        good = good && result.status == parse_status::failed && result.failure.status == 400;
      }
    }
    EXPECT_TRUE(good) << name;
    ++total;
    passed += good ? 1 : 0;
  });
  kit::report("smuggler_te_mutations", passed, total);
}

// The same lines alone: refused, exactly chunked, or unrelated with no body at all.
TEST(http1_corpus, mutated_transfer_encodings_alone_have_one_reading) {
  const std::optional<std::string> file = kit::read_fixture("http/smuggler_te_mutations.jsonl");
  if (!file) GTEST_SKIP() << "no corpus";
  std::size_t total = 0;
  std::size_t passed = 0;
  kit::json_lines{*file}.for_each([&](simdjson::dom::element item) {
    const std::string bytes = with_line(kit::bytes_of(item, "header_line_base64"), "");
    std::size_t scanned = 0;
    request_head head;
    const parse_result result = parse_request_head(bytes, limits{}, scanned, head);
    const bool chunked = head.body == framing::chunked && head.get("transfer-encoding") == "chunked";
    const bool unrelated = head.body == framing::none && head.find("transfer-encoding") == nullptr;
    const bool good =
        result.status == parse_status::complete ? chunked || unrelated : result.failure.status == 400;
    EXPECT_TRUE(good) << kit::text_of(item, "name");
    ++total;
    passed += good ? 1 : 0;
  });
  kit::report("smuggler_te_mutations_alone", passed, total);
}

}  // namespace
}  // namespace tidegate::protocol::http1
