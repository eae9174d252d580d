// Every recorded request, reply and stream said in every other dialect and read back there (A4): text, tool
// calls with their arguments, finish reason and usage must be the recording's. Exceptions stand in
// docs/CONFORMANCE_DIALECTS.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "conformance/canonical_text.h"
#include "conformance/recordings.h"
#include "protocol/json/json.h"

namespace tidegate::conformance {
namespace {

using namespace protocol::dialect;
namespace json = protocol::json;

constexpr std::array all_dialects = {dialect_id::openai_chat, dialect_id::openai_responses,
                                     dialect_id::anthropic_messages};

std::string_view name_of(dialect_id id) {
  switch (id) {
    case dialect_id::openai_chat:
      return "chat";
    case dialect_id::openai_responses:
      return "responses";
    case dialect_id::anthropic_messages:
      return "messages";
  }
  return "";
}

// Counts one kind of check for each pair of dialects.
class board {
 public:
  explicit board(std::string_view what) : what_{what} {}
  void count(dialect_id from, dialect_id to, bool good) {
    auto& [passed, total] = cells_[{from, to}];
    ++total;
    passed += good ? 1U : 0U;
  }
  ~board() {
    for (const auto& [pair, cell] : cells_) {
      std::printf("%s %s -> %s: %zu/%zu\n", what_.c_str(), std::string{name_of(pair.first)}.c_str(),
                  std::string{name_of(pair.second)}.c_str(), cell.first, cell.second);
    }
  }
  board(const board&) = delete;
  board& operator=(const board&) = delete;

 private:
  std::string what_;
  std::map<std::pair<dialect_id, dialect_id>, std::pair<std::size_t, std::size_t>> cells_;
};

// What both sides of a pair can say of why an answer ended: only Anthropic tells a stop sequence from a stop,
// and a reply with calls has stopped for them, whatever its provider says (docs/CONFORMANCE_DIALECTS.md).
finish_reason comparable_finish(const answer& a) {
  switch (a.finish) {
    case finish_reason::none:
    case finish_reason::stop:
    case finish_reason::stop_sequence:
    case finish_reason::tool_use:
      return a.calls.empty() ? finish_reason::stop : finish_reason::tool_use;
    case finish_reason::length:
    case finish_reason::content_filter:
      break;
  }
  return a.finish;
}

std::string comparable(const answer& a) {
  answer out = a;
  out.thinking.clear();
  out.stop_sequence.clear();
  out.finish = comparable_finish(a);
  // A stream that broke off has no last word on usage; encoders that wait for it send none (no [DONE] at
  // Perplexity).
  if (!a.ended) out.tokens = {};
  // Cache writes are Anthropic's alone; they are part of the prompt tokens everywhere.
  out.tokens.cache_write = 0;
  for (std::size_t i = 0; i < out.calls.size(); ++i) {
    if (out.calls[i].id.empty()) out.calls[i].id = "tool-call-" + std::to_string(i);
  }
  return to_text(out);
}

// Anthropic's usage has no "unknown": zeros are what a reply without usage becomes.
std::string comparable_to(const answer& was, answer is) {
  if (!was.tokens.known) is.tokens = was.tokens;
  return comparable(is);
}

TEST(cross_dialect, replies_say_the_same_in_every_dialect) {
  board seen{"reply"};
  for (const recording& r : recordings()) {
    if (r.stream || r.status != 200) continue;
    const auto body = json::parse(r.response);
    if (!body || !get(r.dialect).has_reply_shape(*body)) continue;
    const auto read = get(r.dialect).decode_reply(*body);
    EXPECT_TRUE(read) << r.name << ": " << (read ? "" : read.error().message);
    if (!read) continue;
    const answer was = answer_of(*read);
    for (const dialect_id to : all_dialects) {
      const std::string text =
          get(to).encode_reply(*read, {.id = "run", .model = "m", .created = 1, .asked = nullptr});
      const auto said = json::parse(text);
      const auto heard = said ? get(to).decode_reply(*said) : std::unexpected{complaint{"not JSON", ""}};
      const std::string expected = comparable(was);
      const std::string got = heard ? comparable_to(was, answer_of(*heard)) : heard.error().message;
      seen.count(r.dialect, to, expected == got);
      EXPECT_EQ(expected, got) << r.name << " -> " << name_of(to) << "\n" << text;
    }
  }
}

TEST(cross_dialect, streams_say_the_same_in_every_dialect) {
  board seen{"stream"};
  for (const recording& r : recordings()) {
    if (!r.stream || r.status != 200 || r.response.empty()) continue;
    const answer whole = answer_of(decode_stream(r.dialect, r.response, split::whole));
    for (const dialect_id to : all_dialects) {
      for (const split how : splits) {
        const auto events = decode_stream(r.dialect, r.response, how);
        const answer was = answer_of(events);
        EXPECT_EQ(to_text(whole), to_text(was)) << r.name << " under " << conformance::name_of(how);
        std::string bytes;
        const auto encoder = get(to).encoder({.id = "run", .model = "m", .created = 1, .asked = nullptr});
        for (const stream_event& e : events) encoder->encode(e, bytes);
        const answer is = answer_of(decode_stream(to, bytes, how));
        const bool same = comparable(was) == comparable_to(was, is);
        seen.count(r.dialect, to, same);
        EXPECT_EQ(comparable(was), comparable_to(was, is)) << r.name << " -> " << name_of(to);
      }
    }
  }
}

// What a conversation holds, apart from how a dialect cuts it into messages.
struct conversation {
  std::string text;     // of system and each role, without blanks: dialects join and split text differently
  std::string calls;    // names and arguments
  std::string results;  // texts
  std::string images;
  std::string tools;
};

void add_unblanked(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c != ' ' && c != '\n' && c != '\t' && c != '\r') out += c;
  }
}

void add_part(conversation& out, const part& p) {
  switch (p.kind) {
    case part_kind::text:
    case part_kind::refusal:
      // Chat's tool messages hold text only: media of a result follow in a user message that says where they
      // are from.
      if (!p.text.starts_with("Returned by tool call ")) add_unblanked(out.text, p.text);
      break;
    case part_kind::image:
    case part_kind::file:
      out.images += p.media_type + " " + p.url + " " + p.data + "\n";
      break;
    case part_kind::tool_call:
      out.calls += p.name + normal_json(p.data.empty() ? "{}" : p.data) + "\n";
      break;
    case part_kind::tool_result:
      for (const part& inner : p.content) {
        if (inner.kind == part_kind::text)
          add_unblanked(out.results, inner.text);
        else
          add_part(out, inner);
      }
      out.results += '\n';
      break;
    case part_kind::thinking:
    case part_kind::redacted_thinking:
      break;
  }
}

std::string comparable(const request& r) {
  conversation out;
  for (const part& p : r.system) add_part(out, p);
  out.text += "|";
  role last = role::user;
  for (const message& m : r.messages) {
    conversation one;
    for (const part& p : m.parts) add_part(one, p);
    if (!one.text.empty() && m.from != last) {
      out.text += m.from == role::user ? "|user:" : "|assistant:";
      last = m.from;
    }
    out.text += one.text;
    out.calls += one.calls;
    out.results += one.results;
    out.images += one.images;
  }
  for (const tool& t : r.tools) {
    std::string schema = normal_json(t.parameters.empty() ? "{}" : t.parameters);
    out.tools += t.name + " " + t.description + " " + schema + "\n";
  }
  return "text " + out.text + "\ncalls " + out.calls + "\nresults " + out.results + "\nimages " + out.images +
         "\ntools " + out.tools;
}

TEST(cross_dialect, requests_ask_the_same_in_every_dialect) {
  board seen{"request"};
  const std::string listed = read_all(std::string{TIDEGATE_SOURCE_DIR} + "/docs/CONFORMANCE_DIALECTS.md");
  std::size_t refused = 0;
  const auto refuse = [&](const recording& r, std::string_view to, const complaint& why) {
    ++refused;
    const std::string row =
        "| " + r.name + " | " + std::string{name_of(r.dialect)} + " | " + std::string{to} + " |";
    EXPECT_TRUE(listed.contains(row)) << row << " " << why.message;
    EXPECT_FALSE(why.param.empty()) << r.name << ": " << why.message;
  };
  for (const recording& r : recordings()) {
    if (r.request.empty() || r.status != 200) continue;
    const auto body = json::parse(r.request);
    if (!body || !body->is_object()) continue;
    const auto read = get(r.dialect).decode_request(*body);
    if (!read) {
      refuse(r, "any", read.error());
      continue;
    }
    for (const dialect_id to : all_dialects) {
      const auto text = get(to).encode_request(*read, "max_completion_tokens");
      if (!text) {
        refuse(r, name_of(to), text.error());
        continue;
      }
      const auto said = json::parse(*text);
      const auto heard = said ? get(to).decode_request(*said) : std::unexpected{complaint{"not JSON", ""}};
      const std::string expected = comparable(*read);
      const std::string got = heard ? comparable(*heard) : heard.error().message;
      seen.count(r.dialect, to, expected == got);
      EXPECT_EQ(expected, got) << r.name << " -> " << name_of(to);
    }
  }
  std::printf("requests refused with a named field: %zu\n", refused);
}

request spoken_request() {
  request r;
  r.model = "m";
  r.system.emplace_back().text = "be brief";
  part image;
  image.kind = part_kind::image;
  image.media_type = "image/png";
  image.data = "QUJD";
  part question;
  question.text = "what is this?";
  part call;
  call.kind = part_kind::tool_call;
  call.id = "call_1";
  call.name = "look";
  call.data = R"({"x":1})";
  part result;
  result.kind = part_kind::tool_result;
  result.id = "call_1";
  result.content.emplace_back().text = "a cat";
  r.messages.push_back({.from = role::user, .parts = {image, question}});
  r.messages.push_back({.from = role::assistant, .parts = {call}});
  r.messages.push_back({.from = role::user, .parts = {result}});
  tool& look = r.tools.emplace_back();
  look.name = "look";
  look.description = "looks";
  look.parameters = R"({"type":"object","properties":{}})";
  r.max_tokens = 100;
  return r;
}

// Holds without any fixtures: a conversation with an image, a call and its result, said in one dialect after
// another.
TEST(cross_dialect, a_conversation_survives_the_round_of_all_dialects) {
  const std::string expected = comparable(spoken_request());
  request r = spoken_request();
  for (const dialect_id id :
       {dialect_id::openai_chat, dialect_id::anthropic_messages, dialect_id::openai_responses,
        dialect_id::anthropic_messages, dialect_id::openai_chat}) {
    const auto text = get(id).encode_request(r, "max_tokens");
    ASSERT_TRUE(text) << text.error().message;
    const auto body = json::parse(*text);
    ASSERT_TRUE(body) << *text;
    auto heard = get(id).decode_request(*body);
    ASSERT_TRUE(heard) << heard.error().message;
    r = std::move(*heard);
    EXPECT_EQ(comparable(r), expected) << name_of(id);
    EXPECT_EQ(r.max_tokens, 100);
  }
}

// Two calls whose fragments interleave, and usage behind the finish reason: the hardest stream a chat
// provider sends.
TEST(cross_dialect, an_interleaved_stream_survives_every_dialect) {
  std::vector<stream_event> events;
  const auto add = [&](stream_event_kind kind, std::uint32_t index, std::string text) -> stream_event& {
    stream_event& e = events.emplace_back();
    e.kind = kind;
    e.index = index;
    e.text = std::move(text);
    return e;
  };
  add(stream_event_kind::start, 0, "");
  add(stream_event_kind::text, 0, "so: ");
  for (const std::uint32_t i : {0U, 1U}) {
    stream_event& e = add(stream_event_kind::tool_start, i, "");
    e.id = "call_" + std::to_string(i);
    e.name = i == 0 ? "f" : "g";
  }
  add(stream_event_kind::tool_arguments, 0, R"({"a":")");
  add(stream_event_kind::tool_arguments, 1, R"({"b")");
  add(stream_event_kind::tool_arguments, 0, R"(x}"})");
  add(stream_event_kind::tool_arguments, 1, ":[2]}");
  add(stream_event_kind::finish, 0, "").finish = finish_reason::tool_use;
  add(stream_event_kind::usage, 0, "").tokens = {.prompt = 20, .completion = 9, .cached = 5, .known = true};
  add(stream_event_kind::end, 0, "");
  const answer was = answer_of(events);
  for (const dialect_id id : all_dialects) {
    for (const split how : splits) {
      std::string bytes;
      const auto encoder = get(id).encoder({.id = "run", .model = "m", .created = 1, .asked = nullptr});
      for (const stream_event& e : events) encoder->encode(e, bytes);
      EXPECT_EQ(comparable(was), comparable(answer_of(decode_stream(id, bytes, how)))) << name_of(id);
    }
  }
}

}  // namespace
}  // namespace tidegate::conformance
