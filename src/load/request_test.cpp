#include "load/request.h"

#include <string>

#include <gtest/gtest.h>

#include "protocol/http1/http1.h"
#include "protocol/json/json.h"

namespace tidegate::load {
namespace {

namespace http1 = protocol::http1;
namespace json = protocol::json;

TEST(target, takes_urls_apart) {
  const auto plain = parse_target("http://127.0.0.1:8787");
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->host, "127.0.0.1");
  EXPECT_EQ(plain->port, 8787);
  EXPECT_EQ(plain->path, "/v1/chat/completions");
  EXPECT_EQ(plain->authority, "127.0.0.1:8787");

  const auto secure = parse_target("HTTPS://[::1]/v1/messages?beta=true");
  ASSERT_TRUE(secure);
  EXPECT_TRUE(secure->tls);
  EXPECT_EQ(secure->host, "::1");
  EXPECT_EQ(secure->port, 443);
  EXPECT_EQ(secure->path, "/v1/messages?beta=true");

  EXPECT_EQ(parse_target("http://h")->port, 80);
  EXPECT_EQ(parse_target("http://h?x=1")->path, "/?x=1");
}

TEST(target, refuses_what_is_no_http_url) {
  for (const char* bad : {"", "h:80", "ftp://h", "http://", "http://:80", "http://h:0", "http://h:65536",
                          "http://h:x", "http://[::1", "http://[]:80", "http://user@h", "http://h/a b",
                          "http://h/a\r\nx: y", "http://h/#f"}) {
    EXPECT_FALSE(parse_target(bad)) << bad;
  }
}

struct sent {
  std::string text;
  std::string_view body;
  http1::request_head head;
};

void split(sent& out) {
  std::size_t scanned = 0;
  const auto parsed = http1::parse_request_head(out.text, {}, scanned, out.head);
  ASSERT_EQ(parsed.status, http1::parse_status::complete);
  out.body = std::string_view{out.text}.substr(parsed.consumed);
  ASSERT_EQ(out.head.content_length, out.body.size());
  ASSERT_TRUE(json::parse(out.body)) << out.body;
}

TEST(request, has_exactly_the_wanted_size_in_every_dialect) {
  for (const char* path : {"/v1/chat/completions", "/v1/messages", "/v1/responses"}) {
    for (const bool stream : {false, true}) {
      for (const std::uint64_t bytes : {200U, 201U, 1024U, 32768U, 1'000'003U}) {
        sent request{make_request(*parse_target(std::string{"http://h"} + path),
                                  {.model = "m", .stream = stream, .body_bytes = bytes}),
                     {},
                     {}};
        split(request);
        EXPECT_EQ(request.body.size(), bytes);
        EXPECT_EQ(request.head.target, path);
        const json::value body = *json::parse(request.body);
        EXPECT_EQ(body.string_or("model", ""), "m");
        EXPECT_EQ(body.find("stream")->as_bool(), stream);
      }
    }
  }
}

TEST(request, is_valid_however_small_it_is_wanted) {
  sent request{make_request(*parse_target("http://h"), {.model = "a\"b", .body_bytes = 1}), {}, {}};
  split(request);
  const auto messages = json::parse(request.body)->find("messages");
  ASSERT_TRUE(messages);
  EXPECT_FALSE((*messages->elements().begin()).string_or("content", "").empty());
  EXPECT_EQ(json::parse(request.body)->string_or("model", ""), "a\"b");
}

TEST(request, carries_the_client_key) {
  sent request{make_request(*parse_target("http://h"), {.bearer = "tg-key"}), {}, {}};
  split(request);
  EXPECT_EQ(request.head.get("authorization"), "Bearer tg-key");
}

}  // namespace
}  // namespace tidegate::load
