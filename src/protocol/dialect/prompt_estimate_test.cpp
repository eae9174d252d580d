// What of a body counts, in every dialect: all words, no base64, and nothing can hide.
#include "protocol/dialect/prompt_estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "kit/fixtures.h"
#include "protocol/dialect/dialect.h"
#include "protocol/dialect/prompt_sink_for_test.h"

namespace tidegate::protocol::dialect {
namespace {

using test::remembering_sink;
using testing::HasSubstr;
using testing::Not;

constexpr dialect_id dialects[] = {dialect_id::openai_chat, dialect_id::openai_responses,
                                   dialect_id::anthropic_messages};

remembering_sink walk(dialect_id speaks, std::string_view body) {
  const auto parsed = json::parse(body, 1024);
  EXPECT_TRUE(parsed.has_value()) << body;
  remembering_sink sink;
  if (parsed) walk_prompt(speaks, *parsed, sink);
  return sink;
}

remembering_sink walk_chat(std::string_view body) { return walk(dialect_id::openai_chat, body); }

std::string repeated(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(prompt_estimate, a_string_without_escapes_is_handed_over_in_one_piece) {
  const std::string body = R"({"model":"m","messages":[{"role":"user","content":"hello world"}]})";
  const auto parsed = json::parse(body);
  struct only final : prompt_sink {
    void text(std::string_view piece) override { seen.push_back(piece); }
    void media(const media_item&) override {}
    void tokens(std::int64_t) override {}
    std::vector<std::string_view> seen;
  } sink;
  walk_prompt(dialect_id::openai_chat, *parsed, sink);
  ASSERT_EQ(sink.seen.size(), 1U);
  EXPECT_EQ(sink.seen[0], "hello world");
  EXPECT_EQ(sink.seen[0].data(), body.data() + body.find("hello"));
}

TEST(prompt_estimate, escapes_are_decoded) {
  EXPECT_EQ(
      walk_chat(
          R"({"messages":[{"role":"user","content":"a\n\"b\"\\ \u4f60\u597d \ud83d\ude00\ud83d\t\/"}]})")
          .words,
      "a\n\"b\"\\ 你好 😀\xEF\xBF\xBD\t/");
}

TEST(prompt_estimate, hand_over_takes_any_bytes) {
  for (const std::string_view inside :
       {"\\", "a\\", "\\u", "\\u12", "\\uzzzz rest", "\\ud83d\\u", "\\ud83d\\uzzzz", "\\x"}) {
    remembering_sink sink;
    hand_over(inside, sink);
    EXPECT_LE(sink.words.size(), inside.size());
  }
}

TEST(prompt_estimate, counts_every_part_of_a_chat_request) {
  const auto got = walk_chat(R"({"model":"secret-model","user":"u1","messages":[
    {"role":"system","content":"SYSTEM"},
    {"role":"user","content":[{"type":"text","text":"ASK"},
       {"type":"image_url","image_url":{"url":"data:image/png;base64,QUJDRA==","detail":"high"}}]},
    {"role":"assistant","content":null,"refusal":"NO","tool_calls":[{"id":"call_1","type":"function",
       "function":{"name":"LOOK","arguments":"{\"q\":1}"}}]},
    {"role":"tool","tool_call_id":"call_1","content":[{"type":"text","text":"RESULT"}]}],
    "tools":[{"type":"function","function":{"name":"TOOL","description":"DESC","parameters":{"a":"SCHEMA"}}}],
    "response_format":{"type":"json_schema","json_schema":{"name":"FMT","schema":{"b":"OUT"},"strict":true}}})");
  EXPECT_EQ(got.words, R"(SYSTEMASKNOLOOK{"q":1}RESULTTOOLDESC{"a":"SCHEMA"}FMT{"b":"OUT"})");
  ASSERT_EQ(got.items.size(), 1U);
  EXPECT_EQ(got.items[0].kind, media_kind::image);
}

TEST(prompt_estimate, counts_every_part_of_a_responses_request) {
  const auto got = walk(dialect_id::openai_responses, R"({"model":"m","instructions":"SYSTEM","input":[
    {"role":"user","content":[{"type":"input_text","text":"ASK"},
       {"type":"input_image","image_url":"https://a.example/x.png","detail":"auto"},
       {"type":"input_image","file_id":"file-1"},
       {"type":"input_file","filename":"F.pdf","file_data":"data:application/pdf;base64,QUJD"}]},
    {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"THOUGHT"}]},
    {"type":"function_call","call_id":"c","name":"LOOK","arguments":"{}","status":"completed"},
    {"type":"function_call_output","call_id":"c","output":"RESULT"},
    {"type":"computer_call_output","call_id":"d","output":{"type":"computer_screenshot","image_url":"data:image/png;base64,QUJD"}}],
    "tools":[{"type":"function","name":"TOOL","description":"DESC","parameters":{}}],
    "text":{"format":{"type":"json_schema","name":"FMT","schema":{"b":1}}}})");
  EXPECT_EQ(got.words, R"(SYSTEMASKF.pdfTHOUGHTLOOK{}RESULTTOOLDESC{}FMT{"b":1})");
  ASSERT_EQ(got.items.size(), 4U);
  EXPECT_EQ(got.items[1].kind, media_kind::image);
  EXPECT_EQ(got.items[2].kind, media_kind::document);
  EXPECT_EQ(got.items[2].bytes, 3);
  EXPECT_EQ(got.items[3].kind, media_kind::image);
  EXPECT_EQ(walk(dialect_id::openai_responses, R"({"input":"just text"})").words, "just text");
}

TEST(prompt_estimate, counts_every_part_of_a_messages_request) {
  const auto got = walk(dialect_id::anthropic_messages, R"({"model":"m","max_tokens":9,
    "system":[{"type":"text","text":"SYSTEM","cache_control":{"type":"ephemeral"}}],"messages":[
    {"role":"user","content":[{"type":"text","text":"ASK"},
       {"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJDRA=="}},
       {"type":"document","title":"TITLE","source":{"type":"text","media_type":"text/plain","data":"DOC"}},
       {"type":"document","source":{"type":"url","url":"https://a.example/x.pdf"}},
       {"type":"search_result","title":"T","source":"S","content":[{"type":"text","text":"FOUND"}]}]},
    {"role":"assistant","content":[{"type":"tool_use","id":"t","name":"LOOK","input":{"q": 1}}]},
    {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,
       "content":[{"type":"text","text":"RESULT"},{"type":"image","source":{"type":"url","url":"https://a.example/i"}}]}]}],
    "tools":[{"name":"TOOL","description":"DESC","input_schema":{"a":1}}]})");
  EXPECT_EQ(got.words, R"(SYSTEMASKTITLEDOCTSFOUNDLOOK{"q": 1}RESULTTOOLDESC{"a":1})");
  ASSERT_EQ(got.items.size(), 3U);
  EXPECT_EQ(got.items[0].bytes, 6);
  EXPECT_EQ(got.items[1].kind, media_kind::document);
  EXPECT_EQ(got.items[2].kind, media_kind::image);
}

TEST(prompt_estimate, media_bytes_are_never_words) {
  const std::string data = repeated("QUJD", 10'000);
  const std::string bodies[] = {
      R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":"data:image/png;base64,)" +
          data + "\"}]}]}",
      R"({"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":")" + data +
          R"(","format":"wav"}}]}]})",
      R"({"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":")" + data + R"("}}]}]})"};
  for (const std::string& body : bodies) {
    const auto got = walk_chat(body);
    EXPECT_EQ(got.words, "");
    ASSERT_EQ(got.items.size(), 1U);
    EXPECT_EQ(got.items[0].bytes, 30'000);
  }
}

TEST(prompt_estimate, a_text_file_counts_as_its_text) {
  const auto got = walk_chat(
      R"({"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.txt","file_data":"data:text/plain;base64,QUJDQUJDQUJDQUJD"}}]}]})");
  EXPECT_TRUE(got.items.empty());
  EXPECT_EQ(got.counted, 3);
}

// T15's kin: no spelling of a request makes its words free.
TEST(prompt_estimate, unknown_members_and_types_count) {
  const std::string words = repeated("words ", 100);
  const std::string bodies[] = {
      R"({"messages":[{"role":"user","content":[{"type":"novel","payload":")" + words + "\"}]}]}",
      R"({"messages":[{"role":"user","content":[{"type":"novel","payload":{"deep":[")" + words + "\"]}}]}]}",
      R"({"messages":[{"role":"user","note":")" + words + "\"}]}",
      R"({"messages":[{"role":")" + words + "\"}]}",
      R"({"messages":[{"role":"user","content":{"type":"text","text":")" + words + "\"}}]}",
      R"({"messages":[{"role":"user","\u0063ontent":")" + words + "\"}]}",
      R"({"messages":[")" + words + "\"]}",
      R"({"messages":")" + words + "\"}",
      R"({"messages":{"role":"user","content":")" + words + "\"}}"};
  for (const std::string& body : bodies) {
    EXPECT_THAT(walk_chat(body).words, HasSubstr(words)) << body.substr(0, 80);
    EXPECT_THAT(walk(dialect_id::anthropic_messages, body).words, HasSubstr(words)) << body.substr(0, 80);
  }
}

TEST(prompt_estimate, depth_hides_nothing) {
  for (const int depth : {5, 12, 20, 500}) {
    const std::string body = R"({"messages":[{"role":"user","content":)" + repeated("[", depth) + "\"DEEP\"" +
                             repeated("]", depth) + "}]}";
    EXPECT_THAT(walk_chat(body).words, HasSubstr("DEEP"));
    const std::string nested = R"({"messages":[{"role":"user","content":)" +
                               repeated(R"({"content":)", depth) + "\"DEEP\"" + repeated("}", depth) + "}]}";
    EXPECT_THAT(walk_chat(nested).words, HasSubstr("DEEP"));
  }
}

// Members that hang on the object's type, by the hundred thousand: a look at the type for each would take
// minutes.
TEST(prompt_estimate, takes_time_linear_in_the_body) {
  for (const std::string_view member :
       {R"("data":"1",)", R"("source":{},)", R"("file_id":"f",)", R"("result":1,)", R"("reasoning":"1",)",
        R"("image_url":{"url":"u"},)", R"("content":[],)"}) {
    const std::string body = R"({"messages":[{)" + repeated(member, 200'000) + R"("role":"user"}]})";
    static_cast<void>(walk_chat(body));
  }
}

TEST(prompt_estimate, odd_shapes_do_no_harm) {
  for (
      const std::string_view body :
      {R"({})", R"({"messages":null,"tools":null})", R"({"messages":[null,1,true,{}]})",
       R"({"messages":[{"role":null,"content":null}]})",
       R"({"messages":[{"content":[{"image_url":null},{"image_url":[1]},{"image_url":{}},{"source":null},{"source":{}},{"type":5,"data":7}]}]})",
       R"({"input":[{"type":"reasoning","encrypted_content":5,"summary":null}]})", R"({"input":7})",
       R"({"text":{"format":3},"output_config":{"format":[]},"input":[]})",
       R"({"system":{},"messages":[]})"}) {
    for (const dialect_id d : dialects) static_cast<void>(walk(d, body));
  }
}

TEST(prompt_estimate, reasoning_under_several_names_counts_once) {
  const auto got = walk_chat(
      R"({"messages":[{"role":"assistant","reasoning":"think","reasoning_content":"think","content":"x",
      "reasoning_details":[{"type":"reasoning.text","text":"think","format":"anthropic-claude-v1","index":0}]}]})");
  EXPECT_EQ(got.words, "xthink");
}

TEST(prompt_estimate, a_seal_counts_beyond_the_words_beside_it) {
  const std::string seal = repeated("QUJD", 100);  // 300 bytes
  const auto alone =
      walk(dialect_id::anthropic_messages,
           R"({"messages":[{"role":"assistant","content":[{"type":"redacted_thinking","data":")" + seal +
               "\"}]}]}");
  ASSERT_EQ(alone.items.size(), 1U);
  EXPECT_EQ(alone.items[0].kind, media_kind::sealed);
  EXPECT_EQ(alone.items[0].bytes, 300);
  const auto beside = walk(dialect_id::anthropic_messages,
                           R"({"messages":[{"role":"assistant","content":[{"type":"thinking","signature":")" +
                               seal + R"(","thinking":")" + repeated("0123456789", 20) + "\"}]}]}");
  ASSERT_EQ(beside.items.size(), 1U);
  EXPECT_EQ(beside.items[0].bytes, 100);
  const auto covered =
      walk(dialect_id::openai_responses, R"({"input":[{"type":"reasoning","encrypted_content":")" + seal +
                                             R"(","summary":[{"type":"summary_text","text":")" +
                                             repeated("0123456789", 40) + "\"}]}]}");
  EXPECT_TRUE(covered.items.empty());
}

TEST(prompt_estimate, embeddings_input_in_all_four_forms) {
  const auto embed = [](std::string_view body) {
    remembering_sink sink;
    walk_embeddings(*json::parse(body), sink);
    return sink;
  };
  EXPECT_EQ(embed(R"({"input":"one text"})").words, "one text");
  EXPECT_EQ(embed(R"({"input":["one","two"]})").words, "onetwo");
  EXPECT_EQ(embed(R"({"input":[1,2,3]})").counted, 3);
  EXPECT_EQ(embed(R"({"input":[[1,2],[3]]})").counted, 3);
  EXPECT_EQ(embed(R"({"model":"m"})").words, "");
}

TEST(prompt_estimate, a_reply_counts_what_it_says_in_all_choices) {
  const auto reply = [](dialect_id d, std::string_view body) {
    remembering_sink sink;
    walk_reply(d, *json::parse(body), sink);
    return sink.words;
  };
  EXPECT_EQ(
      reply(
          dialect_id::openai_chat,
          R"({"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"ONE","annotations":[{"a":"b"}]}},
      {"index":1,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"F","arguments":"{}"}}]}}]})"),
      "ONEF{}");
  EXPECT_EQ(
      reply(
          dialect_id::openai_responses,
          R"({"output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ONE","annotations":[],"logprobs":[]}]},
      {"type":"function_call","call_id":"c","name":"F","arguments":"{}"}]})"),
      "ONEF{}");
  EXPECT_EQ(
      reply(
          dialect_id::anthropic_messages,
          R"({"type":"message","content":[{"type":"text","text":"ONE"},{"type":"tool_use","id":"t","name":"F","input":{}}]})"),
      "ONEF{}");
}

request conversation() {
  request r;
  r.model = "m";
  r.max_tokens = 100;
  part system;
  system.text = "You are a careful assistant. Answer in 中文 where asked.";
  r.system.push_back(system);
  part ask;
  ask.text = "What is the weather in \"Hamburg\"?\nAnd tomorrow?";
  part image;
  image.kind = part_kind::image;
  image.media_type = "image/png";
  image.data = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ";
  r.messages.push_back({.from = role::user, .parts = {ask, image}});
  part said;
  said.text = "Let me look that up.";
  part call;
  call.kind = part_kind::tool_call;
  call.id = "call_1";
  call.name = "get_weather";
  call.data = R"({"city":"Hamburg","days":2})";
  r.messages.push_back({.from = role::assistant, .parts = {said, call}});
  part result;
  result.kind = part_kind::tool_result;
  result.id = "call_1";
  part found;
  found.text = "Rain, 12 degrees; tomorrow sun, 15 degrees.";
  result.content.push_back(found);
  r.messages.push_back({.from = role::user, .parts = {result}});
  r.tools.push_back({.name = "get_weather",
                     .description = "The weather of a city",
                     .parameters = R"({"type":"object","properties":{"city":{"type":"string"}}})",
                     .strict = {},
                     .cache_control = {}});
  return r;
}

// BUD-3: what is reserved does not hang on the dialect that the caller speaks.
TEST(prompt_estimate, the_same_conversation_counts_the_same_in_every_dialect) {
  const request r = conversation();
  std::vector<remembering_sink> got;
  for (const dialect_id d : dialects) {
    const auto body = get(d).encode_request(r, "max_tokens");
    ASSERT_TRUE(body.has_value()) << body.error().message;
    got.push_back(walk(d, *body));
  }
  for (const remembering_sink& one : got) {
    EXPECT_EQ(one.words, got[0].words);
    ASSERT_EQ(one.items.size(), 1U);
    EXPECT_EQ(one.items[0].bytes, got[0].items[0].bytes);
  }
  EXPECT_THAT(got[0].words, HasSubstr("中文"));
  EXPECT_THAT(got[0].words, Not(HasSubstr("iVBOR")));
}

bool reasons(const request& r) {
  for (const message& m : r.messages) {
    for (const part& p : m.parts) {
      if (p.kind == part_kind::thinking || p.kind == part_kind::redacted_thinking) return true;
    }
  }
  return false;
}

// Recorded requests through the canonical form, without those that carry reasoning, which is not sent to
// another vendor: framing that one dialect has and another has not (a file's
// name, a schema's name, blank lines between joined texts) may differ by a twentieth and a few bytes.
TEST(prompt_estimate, recorded_requests_count_alike_after_translation) {
  std::size_t compared = 0;
  std::size_t alike = 0;
  for (const auto& path : kit::list_fixtures("exchanges", ".json")) {
    const auto text = kit::read_file(path);
    if (!text) continue;
    const auto parsed = json::parse(*text, 512);
    if (!parsed) continue;
    const std::string api = parsed->string_or("api", "");
    const dialect_id from = api == "responses"  ? dialect_id::openai_responses
                            : api == "messages" ? dialect_id::anthropic_messages
                                                : dialect_id::openai_chat;
    if (api != "responses" && api != "messages" && api != "chat") continue;
    auto sent = parsed->path({"request", "body"});
    if (!sent) continue;
    const std::string inner = sent->as_string().value_or("");
    if (sent->is_string()) {
      const auto again = json::parse(inner, 512);
      if (!again) continue;
      sent = *again;
    }
    const auto decoded = get(from).decode_request(*sent);
    if (!decoded || reasons(*decoded)) continue;
    const remembering_sink own = walk(from, sent->raw());
    for (const dialect_id to : dialects) {
      if (to == from) continue;
      const auto body = get(to).encode_request(*decoded, "max_tokens");
      if (!body) continue;
      const remembering_sink there = walk(to, *body);
      const auto a = static_cast<std::int64_t>(own.words.size());
      const auto b = static_cast<std::int64_t>(there.words.size());
      ++compared;
      if (std::abs(a - b) <= 64 + std::max(a, b) / 20) {
        ++alike;
      } else {
        std::printf("  differs: %s %lld -> %lld\n", path.filename().c_str(), static_cast<long long>(a),
                    static_cast<long long>(b));
      }
    }
  }
  std::printf("prompt_estimate: %zu/%zu translations count alike\n", alike, compared);
  EXPECT_EQ(alike, compared);
}

}  // namespace
}  // namespace tidegate::protocol::dialect
