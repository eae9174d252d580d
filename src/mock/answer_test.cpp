// What the scripted provider says, and that its shapes are those that the vendors were recorded with.
#include "mock/answer.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "kit/fixtures.h"
#include "mock/recording.h"
#include "mock/reply_stream.h"
#include "mock/schema_sample.h"
#include "mock/vendor.h"
#include "protocol/sse/sse.h"

namespace tidegate::mock {
namespace {

namespace json = protocol::json;
using dialect::dialect_id;
using dialect::finish_reason;
using dialect::part_kind;

struct said {
  dialect::request asked;
  answer reply;
  std::string text() const {
    for (const auto& p : reply.reply.parts) {
      if (p.kind == part_kind::text) return p.text;
    }
    return {};
  }
};

said say(dialect_id speaks, std::string_view body, const behavior& does = {}) {
  const auto parsed = json::parse(body);
  EXPECT_TRUE(parsed.has_value()) << body;
  auto asked = read_request(dialect::get(speaks), *parsed);
  EXPECT_TRUE(asked.has_value()) << body;
  said out{std::move(*asked), {}};
  out.reply =
      compose(speaks, out.asked, body, read_markers(last_user_text(out.asked)), does, {7, 1'700'000'000});
  return out;
}

said chat(std::string_view text, std::string_view members = {}, const behavior& does = {}) {
  std::string body =
      R"({"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":)";
  json::append_quoted(body, text);
  return say(dialect_id::openai_chat, body.append("}]").append(members).append("}"), does);
}

constexpr std::string_view two_tools =
    R"(,"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city","days"]}}},
                 {"type":"function","function":{"name":"get_time"}}])";

std::vector<scripted_call> calls_of(const said& s) {
  std::vector<scripted_call> out;
  for (const auto& p : s.reply.reply.parts) {
    if (p.kind == part_kind::tool_call) out.push_back({p.name, p.data});
  }
  return out;
}

TEST(answer, echoes_at_most_200_characters_of_the_last_user_text) {
  EXPECT_EQ(chat("Hello").text(), "You said: Hello");
  std::string umlauts;
  for (int i = 0; i < 300; ++i) umlauts += "ü";
  EXPECT_EQ(chat(umlauts).text(), "You said: " + umlauts.substr(0, 400));
}

TEST(answer, counts_a_token_for_four_bytes_begun) {
  const said s = chat("12345");  // "Be brief." 9 + 5 bytes; "You said: 12345" 15 bytes
  EXPECT_EQ(s.reply.reply.tokens.prompt, 4);
  EXPECT_EQ(s.reply.reply.tokens.completion, 4);
  EXPECT_TRUE(s.reply.reply.tokens.known);
}

TEST(answer, max_tokens_cuts_at_a_character_and_says_length) {
  const said s = chat("ääääääää", R"(,"max_tokens":4)");
  EXPECT_EQ(s.text(), "You said: äää");
  EXPECT_EQ(s.reply.reply.finish, finish_reason::length);
  EXPECT_EQ(s.reply.reply.tokens.completion, 4);
}

TEST(answer, stops_before_the_first_stop_sequence) {
  const said s = chat("one two three", R"(,"stop":["three","two"])");
  EXPECT_EQ(s.text(), "You said: one ");
  EXPECT_EQ(s.reply.reply.finish, finish_reason::stop_sequence);
  EXPECT_EQ(s.reply.reply.stop_sequence, "two");
}

TEST(answer, markers_call_declared_tools_in_parallel) {
  const said s = chat(
      R"(Use [[tool:get_weather {"city":"Berlin","x":[[1]]}]] and [[tool:get_time]] and [[tool:unknown]])",
      two_tools);
  const auto calls = calls_of(s);
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].name, "get_weather");
  EXPECT_EQ(calls[0].arguments, R"({"city":"Berlin","x":[[1]]})");
  EXPECT_EQ(calls[1].name, "get_time");
  EXPECT_EQ(calls[1].arguments, "{}");
  EXPECT_EQ(s.reply.reply.finish, finish_reason::tool_use);
  EXPECT_EQ(calls_of(chat("[[tool:get_time]] [[tool:get_weather]]",
                          std::string{two_tools} + R"(,"parallel_tool_calls":false)"))
                .size(),
            1U);
  EXPECT_TRUE(
      calls_of(chat("[[tool:get_time]]", std::string{two_tools} + R"(,"tool_choice":"none")")).empty());
  EXPECT_TRUE(calls_of(chat("[[tool:get_time]]")).empty());
}

TEST(answer, a_forced_tool_gets_arguments_that_its_schema_allows) {
  auto calls = calls_of(chat("Hi", std::string{two_tools} + R"(,"tool_choice":"required")"));
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].arguments, R"({"city":"text","days":1})");
  calls = calls_of(chat(
      "Hi", std::string{two_tools} + R"(,"tool_choice":{"type":"function","function":{"name":"get_time"}})"));
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].name, "get_time");
}

TEST(answer, repeats_tool_results) {
  const said s = say(dialect_id::anthropic_messages,
                     R"({"model":"m","max_tokens":99,"messages":[{"role":"user","content":"[[tool:a]]"},
                         {"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"a","input":{}},{"type":"tool_use","id":"t2","name":"a","input":{}}]},
                         {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"one"},{"type":"tool_result","tool_use_id":"t2","content":[{"type":"text","text":"two"}]}]}]})");
  EXPECT_EQ(s.text(), "Tool said: one; two");
}

TEST(answer, structured_output_is_an_instance_of_the_schema) {
  const said s = chat(
      "Who?",
      R"(,"response_format":{"type":"json_schema","json_schema":{"name":"p","schema":{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name","age"]}}})");
  EXPECT_EQ(s.text(), R"({"name":"text","age":1})");
}

TEST(answer, tells_that_images_arrived_whole) {
  EXPECT_EQ(
      say(dialect_id::openai_chat,
          R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"See"},{"type":"image_url","image_url":{"url":"data:image/png;base64,aGVsbG8="}},{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]})")
          .text(),
      "You said: See [image image/png 5 bytes] [image https://x/y.png]");
}

TEST(answer, shows_system_text_and_raw_request_when_asked) {
  EXPECT_EQ(chat("[[system]]").text(), "Be brief.");
  EXPECT_TRUE(chat("[[echo-request]]").text().starts_with(R"({"model":"m","messages":[)"));
}

TEST(answer, what_only_the_vendors_servers_can_do_is_no_obstacle) {
  EXPECT_EQ(
      say(dialect_id::anthropic_messages,
          R"({"model":"m","max_tokens":99,"tools":[{"type":"web_search_20250305","name":"web_search"}],"messages":[{"role":"user","content":"Search"}]})")
          .text(),
      "You said: Search");
}

TEST(answer, scripts_may_say_everything_themselves) {
  behavior does;
  does.text = "Scripted";
  does.reasoning = "Hm";
  does.tool_calls = {{"get_time", "{\"zone\":1}"}};
  does.finish = "content_filter";
  does.usage.prompt = 1000;
  does.usage.cached = 900;
  const said s = chat("Hi", two_tools, does);
  ASSERT_EQ(s.reply.reply.parts.size(), 3U);
  EXPECT_EQ(s.reply.reply.parts[0].kind, part_kind::thinking);
  EXPECT_EQ(s.text(), "Scripted");
  EXPECT_EQ(s.reply.reply.finish, finish_reason::content_filter);
  EXPECT_EQ(s.reply.reply.tokens.prompt, 1000);
  EXPECT_EQ(s.reply.reply.tokens.cached, 900);
}

TEST(markers, read_what_they_know_and_leave_the_rest_as_text) {
  markers m = read_markers("a [[mock:status=429 retry-after=7]] b [[nothing]] [[mock:bogus]] [[mock:cut=x]]");
  ASSERT_TRUE(m.asked.has_value());
  EXPECT_EQ(m.asked->status, 429);
  ASSERT_EQ(m.asked->headers.size(), 1U);
  EXPECT_EQ(m.asked->headers[0].value, "7");
  EXPECT_EQ(m.rest, "a  b [[nothing]] [[mock:bogus]] [[mock:cut=x]]");
  EXPECT_EQ(read_markers("[[mock:slow=100]]").asked->bytes_per_second, 100U);
  EXPECT_EQ(read_markers("[[mock:delay=50]]").asked->delay, milliseconds{50});
  EXPECT_EQ(read_markers("[[mock:delay]]").asked->delay, milliseconds{600});
  EXPECT_EQ(read_markers("[[mock:stall=2]]").asked->after, 2U);
  EXPECT_FALSE(read_markers("[[mock:status=99]] [[mock:slow]] [[").asked.has_value());
  EXPECT_EQ(read_markers("[[[[mock:hang]]]]").rest, "[[]]");
}

TEST(schema_sample, meets_constraints_and_stays_bounded) {
  EXPECT_EQ(sample_of(""), "{}");
  EXPECT_EQ(
      sample_of(
          R"({"type":"object","properties":{"a":{"enum":["x","y"]},"b":{"const":3},"c":{"type":["null","number"],"minimum":2.5},"d":{"type":"array","items":{"type":"boolean"},"minItems":2},"e":{"type":"string","minLength":6},"f":{"anyOf":[{"type":"null"}]},"g":{"$ref":"#/$defs/g"}},"required":["a","b","c","d","e","f","g"],"$defs":{"g":{"type":"object","properties":{"h":{"type":"integer"}},"required":["h"]}}})"),
      R"({"a":"x","b":3,"c":2.5,"d":[true,true],"e":"textxx","f":null,"g":{"h":1}})");
  // A reference that leads to itself, twice a level.
  const std::string endless =
      sample_of(R"({"type":"object","properties":{"a":{"$ref":"#"},"b":{"$ref":"#"}},"required":["a","b"]})");
  EXPECT_LT(endless.size(), 200'000U);
  EXPECT_TRUE(json::parse(endless).has_value());
  EXPECT_TRUE(json::parse(sample_of(R"({"$ref":"#"})")).has_value());
}

TEST(base64, round_trips) {
  for (const std::string_view bytes : {"", "a", "ab", "abc", "abcd"})
    EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes);
  EXPECT_FALSE(decode_base64("a===").has_value());
  EXPECT_FALSE(decode_base64("!aaa").has_value());
}

TEST(embeddings, are_unit_vectors_in_both_encodings) {
  const auto floats = embeddings_body(*json::parse(R"({"model":"m","input":"hello","dimensions":64})"));
  ASSERT_TRUE(floats.has_value());
  const json::value root{*floats};
  double squares = 0;
  for (const json::value data : root.find("data")->elements()) {
    for (const json::value x : data.find("embedding")->elements()) squares += *x.as_double() * *x.as_double();
  }
  EXPECT_NEAR(squares, 1, 1e-4);
  const auto coded =
      embeddings_body(*json::parse(R"({"model":"m","input":[[1,2],[3]],"encoding_format":"base64"})"));
  ASSERT_TRUE(coded.has_value());
  for (const json::value data : json::value{*coded}.find("data")->elements()) {
    EXPECT_EQ(decode_base64(data.string_or("embedding", ""))->size(), 1536U * 4U);
  }
  EXPECT_FALSE(embeddings_body(*json::parse(R"({"model":"m"})")).has_value());
  EXPECT_FALSE(embeddings_body(*json::parse(R"({"input":"a","dimensions":0})")).has_value());
}

// --- shapes: every member that all recordings of a kind have, the scripted provider has too

using key_paths = std::set<std::string>;

// "choices[].delta.content"; what stands under a null is not known.
void collect(json::value v, const std::string& at, key_paths& out) {
  for (const json::member& m : v.members()) {
    const std::string path = at + "." + m.key();
    out.insert(path);
    collect(m.content, path, out);
  }
  for (const json::value each : v.elements()) collect(each, at + "[]", out);
}

class common_shape {
 public:
  void add(const key_paths& seen) {
    if (count_++ == 0) {
      common_ = seen;
      return;
    }
    std::erase_if(common_, [&](const std::string& path) { return !seen.contains(path); });
  }
  const key_paths& paths() const { return common_; }
  std::size_t count() const { return count_; }

 private:
  key_paths common_;
  std::size_t count_ = 0;
};

using shapes = std::map<std::string, common_shape>;  // by event type; "" for whole replies

void add_stream(std::string_view body, shapes& out) {
  protocol::sse::parser parser;
  const auto look = [&](const protocol::sse::event_view& event) {
    const auto parsed =
        event.dispatch ? json::parse(event.data) : std::expected<json::value, json::syntax_error>{};
    if (!parsed || !parsed->is_object()) return true;
    key_paths seen;
    collect(*parsed, "", seen);
    std::string kind = parsed->string_or("type", "chunk");
    // Deltas, blocks and items come in kinds of their own.
    for (const std::string_view inner : {"delta", "content_block", "item", "part"}) {
      if (const auto v = parsed->find(inner); v && v->is_object()) kind += "/" + v->string_or("type", "");
    }
    out[kind].add(seen);
    return true;
  };
  parser.feed(body, look);
  parser.finish(look);
}

shapes recorded_shapes(std::string_view prefix) {
  shapes out;
  for (const auto& file : kit::list_fixtures("exchanges", ".json")) {
    if (!file.filename().string().starts_with(prefix)) continue;
    const std::string content = kit::read_file(file).value_or("");
    const auto reply = parse_recording(content);
    if (!reply || reply->status != 200) continue;
    if (reply->event_stream) {
      add_stream(reply->body, out);
    } else if (const auto parsed = json::parse(reply->body)) {
      key_paths seen;
      collect(*parsed, "", seen);
      out[""].add(seen);
    }
  }
  return out;
}

shapes own_shapes(dialect_id speaks, std::string_view body) {
  shapes out;
  const said s = say(speaks, body);
  const auto& d = dialect::get(speaks);
  reply_stream stream{d, s.reply, s.asked, 6};
  std::string all;
  for (reply_stream::event e; stream.next(e);) all += e.bytes;
  add_stream(all, out);
  dialect::encode_context context;
  context.id = s.reply.reply.id;
  context.model = "m";
  context.asked = &s.asked;
  const std::string whole = d.encode_reply(s.reply.reply, context);
  key_paths seen;
  collect(json::value{whole}, "", seen);
  out[""].add(seen);
  return out;
}

void expect_covered(std::string_view name, const shapes& recorded, const shapes& own) {
  std::size_t compared = 0;
  for (const auto& [kind, shape] : own) {
    const auto found = recorded.find(kind);
    if (found == recorded.end()) continue;
    ++compared;
    for (const std::string& path : found->second.paths()) {
      // Optional and deprecated by the vendor's description, though every recording has it.
      if (path == ".system_fingerprint") continue;
      EXPECT_TRUE(shape.paths().contains(path))
          << name << " " << kind << ": " << path << " is in all " << found->second.count() << " recordings";
    }
  }
  kit::report(std::string{"mock_shapes "} + std::string{name}, compared, own.size());
}

TEST(recorded_shapes, are_covered_in_every_dialect) {
  if (!kit::fixtures_root()) GTEST_SKIP() << "no fixtures";
  expect_covered(
      "chat", recorded_shapes("openai.chat."),
      own_shapes(
          dialect_id::openai_chat,
          R"({"model":"m","stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]})"));
  expect_covered("messages", recorded_shapes("anthropic.messages."),
                 own_shapes(dialect_id::anthropic_messages,
                            R"({"model":"m","max_tokens":99,"messages":[{"role":"user","content":"Hi"}]})"));
  expect_covered("responses", recorded_shapes("openai.responses."),
                 own_shapes(dialect_id::openai_responses, R"({"model":"m","input":"Hi"})"));
}

TEST(recordings, every_recorded_exchange_can_be_replayed_in_any_split) {
  std::size_t good = 0;
  std::size_t total = 0;
  for (const auto& file : kit::list_fixtures("exchanges", ".json")) {
    ++total;
    const auto reply = parse_recording(kit::read_file(file).value_or(""));
    if (!reply) continue;
    bool whole = true;
    for (const split_mode mode :
         {split_mode::whole, split_mode::event, split_mode::random, split_mode::byte}) {
      std::size_t sum = 0;
      for (const std::size_t size : split_body(reply->body, mode, 3)) sum += size;
      whole = whole && sum == reply->body.size();
    }
    good += whole ? 1 : 0;
  }
  kit::report("mock_recordings", good, total);
  EXPECT_EQ(good, total);
}

TEST(recordings, what_is_none_is_refused) {
  EXPECT_FALSE(parse_recording("{").has_value());
  EXPECT_FALSE(parse_recording("{}").has_value());
  EXPECT_FALSE(parse_recording(R"({"response":{"status":99,"body":""}})").has_value());
  EXPECT_FALSE(parse_recording(R"({"response":{"status":200,"body_base64":"!"}})").has_value());
  const auto good = parse_recording(
      R"({"response":{"status":200,"headers":[["Content-Type","text/event-stream"],["Content-Length","3"],["X-A","b\r\nc: d"]],"body":"abc"}})");
  ASSERT_TRUE(good.has_value());
  EXPECT_EQ(good->headers, "content-type: text/event-stream\r\n");
  EXPECT_TRUE(good->event_stream);
}

}  // namespace
}  // namespace tidegate::mock
