#include "observe/redact.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "foundation/random.h"

namespace tidegate::observe {
namespace {

struct redaction {
  std::string_view text;
  std::string_view expected;
};

void check(const std::vector<redaction>& cases) {
  for (const auto& c : cases) {
    EXPECT_EQ(redact(c.text), c.expected) << c.text;
    EXPECT_EQ(redact(redact(c.text)), c.expected) << "twice: " << c.text;
  }
}

TEST(redact, keys_by_their_looks) {  // SEC-3
  check({{"Incorrect API key provided: sk-proj-abcDEF_123. See docs",
          "Incorrect API key provided: sk-*** See docs"},
         {"half masked: sk-abc***********wxyz!", "half masked: sk-***!"},
         {"(pk-live-1) [rk-2x] {ak-3} \"tg-AbC-_9\"", "(pk-***) [rk-***] {ak-***} \"tg-***\""},
         {"sk_live_51H", "sk_***"},
         {"SK-ABC", "SK-***"},
         {"key AIzaSyA-1234 used", "key AIza*** used"},
         {"x-sk-ant-api03-zzz", "x-sk-***"}});
}

TEST(redact, ordinary_words_stay) {
  for (const auto text : {"desk-top task-list sk- risk-free", "pk", "", "bearer", "a bearer, unarmed",
                          "password reset", "5 tokens: 3 in, 2 out", "http: //x", "time 12:30",
                          "grün 日本 😀", "invalid_request_error: max_tokens is too large"}) {
    EXPECT_EQ(redact(text), text);
  }
}

TEST(redact, bearer_and_basic_credentials) {
  check({{"got Bearer eyJhbGciOi.J9.abc-_= back", "got Bearer *** back"},
         {"bearer\tabc", "bearer\t***"},
         {"Basic dXNlcjpwYXNz", "Basic ***"}});
}

TEST(redact, headers_and_members_with_telling_names) {
  check({{"x-api-key: abc123\nhost: h", "x-api-key: ***\nhost: h"},
         {"Authorization: Bearer abc def\r\nAccept: */*", "Authorization: ***\r\nAccept: */*"},
         {"Cookie: a=b; c=d", "Cookie: ***"},
         {R"({"api_key":"abc","n":1})", R"({"api_key":"***","n":1})"},
         {R"({"password" : "a\"b, c","n":1})", R"({"password" : "***","n":1})"},
         {R"("{\"x-api-key\":\"abc\",\"n\":1}")", R"("{\"x-api-key\":\"***\",\"n\":1}")"},
         {"OPENAI_API_KEY=abc next", "OPENAI_API_KEY=*** next"},
         {"client_secret=abc&grant=x", "client_secret=***&grant=x"},
         {R"("secret":"never closed)", R"("secret":"***)"}});
}

TEST(redact, urls_lose_user_query_and_fragment) {
  check({{"GET https://user:p%40ss@api.example.com:8443/v1/chat?key=abc&x=1#frag failed",
          "GET https://api.example.com:8443/v1/chat failed"},
         {"\"https://h/p?token=1\", next?", "\"https://h/p\", next?"},
         {"redis://:pw@10.0.0.1:6379/0", "redis://10.0.0.1:6379/0"},
         {"http://a@b@host/", "http://host/"},
         {"see https://h/sk-abc/x", "see https://h/sk-***/x"},
         {"https://h?x=1 what?", "https://h what?"},
         {R"({\"url\":\"https://u:p@h/?k=v\"})", R"({\"url\":\"https://h/\"})"}});
}

TEST(redact, known_secrets_go_wherever_they_stand) {
  const std::array<std::string_view, 3> known{"", "hunter2", "a b"};
  EXPECT_EQ(redact("xhunter2y, a b, HUNTER2", known), "x***y, ***, HUNTER2");
}

// Secrets in the shapes above never survive, whatever stands around them.
TEST(redact, planted_secrets_never_survive) {
  foundation::random_source random{3};
  constexpr std::string_view noise = " \n\t,;:\"'\\{}[]()<>?&=#@/x9-";
  constexpr std::array<std::string_view, 7> shapes{
      "sk-%",          "Bearer %",      "x-api-key: %", "\"api_key\":\"%\"",
      "https://%@h/p", "http://h/?k=%", "password=%"};
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    const auto add_noise = [&] {
      for (std::uint64_t n = random.below(6); n > 0; --n) text += noise[random.below(noise.size())];
    };
    add_noise();
    text += ' ';
    const std::string_view shape = shapes[random.below(shapes.size())];
    text += shape.substr(0, shape.find('%'));
    text += "S3CRETvalue";
    text += shape.substr(shape.find('%') + 1);
    add_noise();
    const std::string out = redact(text);
    ASSERT_EQ(out.find("S3CRET"), std::string::npos) << text << " -> " << out;
  }
}

TEST(redact, hostile_text_costs_linear_time) {
  for (const std::string_view unit :
       {"password:\"\\", "bearer ", "://@", "sk-", "\\\\\\", "http://", "api_key \""}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    EXPECT_LE(redact(text).size(), 4 * text.size());
  }
}

}  // namespace
}  // namespace tidegate::observe
