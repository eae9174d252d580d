#include "protocol/sse/sse.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "kit/fixtures.h"

namespace tidegate::protocol::sse {
namespace {

struct seen_event {
  std::string type;
  std::string data;
  std::string id;
  bool has_id = false;
  bool dispatch = true;

  bool operator==(const seen_event&) const = default;
};

std::ostream& operator<<(std::ostream& out, const seen_event& event) {
  return out << "{type=" << event.type << " data=" << event.data << " id=" << event.id
             << " dispatch=" << event.dispatch << '}';
}

struct reading {
  std::vector<seen_event> events;
  std::string joined;  // every raw, then rest()
  feed_status status = feed_status::ok;
};

enum class at_end { finish, leave };

reading read(const std::vector<std::string_view>& pieces, at_end end = at_end::finish,
             std::size_t max = 1U << 20) {
  reading out;
  parser reader{max};
  const auto note = [&out](const event_view& event) {
    out.events.push_back({std::string{event.type}, std::string{event.data}, std::string{event.id},
                          event.has_id, event.dispatch});
    out.joined += event.raw;
    return true;
  };
  for (const std::string_view piece : pieces) {
    // A copy of exact size, so that a sanitizer sees any read beyond the piece.
    const std::vector<char> exact{piece.begin(), piece.end()};
    out.status = reader.feed({exact.data(), exact.size()}, note);
    if (out.status != feed_status::ok) return out;
  }
  if (end == at_end::finish) out.status = reader.finish(note);
  out.joined += reader.rest();
  return out;
}

std::vector<std::string_view> one_byte_pieces(std::string_view text) {
  std::vector<std::string_view> pieces;
  for (std::size_t i = 0; i < text.size(); ++i) pieces.push_back(text.substr(i, 1));
  return pieces;
}

// Whole, every pair of cuts and one byte at a time must read the same, and lose or add no byte.
void expect_split_invariance(std::string_view text, at_end end) {
  const reading whole = read({text}, end);
  EXPECT_EQ(whole.joined, text);
  const auto expect_same = [&](const std::vector<std::string_view>& pieces) {
    const reading cut = read(pieces, end);
    ASSERT_EQ(cut.events, whole.events);
    ASSERT_EQ(cut.joined, text);
  };
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      expect_same({text.substr(0, first), text.substr(first, second - first), text.substr(second)});
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  expect_same(one_byte_pieces(text));
}

const seen_event message(std::string_view data) { return {.type = "", .data = std::string{data}, .id = ""}; }

TEST(sse, reads_the_three_line_ends_alike) {  // STR-9
  const std::vector<seen_event> expected{message("a\nb"), message("c")};
  EXPECT_EQ(read({"data: a\ndata: b\n\ndata: c\n\n"}).events, expected);
  EXPECT_EQ(read({"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n"}).events, expected);
  EXPECT_EQ(read({"data: a\rdata: b\r\rdata: c\r\r"}).events, expected);
}

TEST(sse, reads_any_split_alike_and_keeps_every_byte) {  // STR-9
  const std::string_view streams[] = {
      "data: a\n\ndata: b\n\n",
      "\xEF\xBB\xBF"
      "data: a\r\n\r\ndata: b\r\n\r\n",
      "\xEF\xBB"
      "data: no mark\n\ndata: b\n\n",
      ": hello\n\nevent: x\ndata:a\rdata\rdata: \r\n\r\nid: 7\ndata: b\n\n",
      "data: \xE2\x82\xAC\n\ndata: \xF0\x9F\x98\x80\r\r\r\n\n\ndata: end\r",
      "\n\n\r\r\n\r\ndata: late\n\n:tail",
      "event: only\n\nretry: 5\nid\ndata: x\n\n",
  };
  for (const std::string_view stream : streams) {
    expect_split_invariance(stream, at_end::finish);
    expect_split_invariance(stream, at_end::leave);
  }
}

TEST(sse, an_event_closed_by_cr_is_not_delayed) {
  parser reader;
  std::vector<std::string> raws;
  const auto note = [&raws](const event_view& event) {
    raws.emplace_back(event.raw);
    return true;
  };
  EXPECT_EQ(reader.feed("data: a\r\n\r", note), feed_status::ok);
  EXPECT_EQ(raws, std::vector<std::string>{"data: a\r\n\r"});
  EXPECT_EQ(reader.feed("\n", note), feed_status::ok);
  EXPECT_EQ(reader.rest(), "\n");
  EXPECT_EQ(reader.feed("data: b\n\n", note), feed_status::ok);
  EXPECT_EQ(raws.back(), "\ndata: b\n\n");
}

TEST(sse, complete_events_are_viewed_in_place) {
  const std::string_view input = "data: one\n\ndata: two\n\n";
  parser reader;
  const auto inside = [&input](const event_view& event) {
    EXPECT_GE(event.data.data(), input.data());
    EXPECT_LT(event.data.data(), input.data() + input.size());
    return true;
  };
  EXPECT_EQ(reader.feed(input, inside), feed_status::ok);
  EXPECT_TRUE(reader.rest().empty());
}

TEST(sse, comments_and_bare_fields_are_not_dispatched_but_kept) {
  const reading out = read({": ping\n\nevent: nothing\n\nfoo: bar\n\n\n"});
  ASSERT_EQ(out.events.size(), 4U);
  for (const seen_event& event : out.events) EXPECT_FALSE(event.dispatch);
  EXPECT_EQ(out.joined, ": ping\n\nevent: nothing\n\nfoo: bar\n\n\n");
}

TEST(sse, a_comment_ahead_of_an_event_belongs_to_its_bytes) {
  parser reader;
  std::string raw;
  reader.feed(": note\ndata: x\n\n", [&raw](const event_view& event) {
    raw = event.raw;
    return true;
  });
  EXPECT_EQ(raw, ": note\ndata: x\n\n");
}

TEST(sse, one_blank_behind_the_colon_is_syntax) {
  const reading out = read({"data:  two\n\ndata:none\n\ndata:\tx\n\ndata \n\n"});
  ASSERT_EQ(out.events.size(), 4U);
  EXPECT_EQ(out.events[0].data, " two");
  EXPECT_EQ(out.events[1].data, "none");
  EXPECT_EQ(out.events[2].data, "\tx");
  EXPECT_FALSE(out.events[3].dispatch);  // the name is "data ", which is none we know
}

TEST(sse, an_id_with_nul_is_ignored_and_an_empty_one_is_told_apart) {
  using namespace std::string_view_literals;
  const reading out = read({"id: a\0b\ndata: x\n\nid:\ndata: y\n\nid: 1\nid: 2\ndata: z\n\n"sv});
  ASSERT_EQ(out.events.size(), 3U);
  EXPECT_FALSE(out.events[0].has_id);
  EXPECT_TRUE(out.events[1].has_id);
  EXPECT_EQ(out.events[1].id, "");
  EXPECT_EQ(out.events[2].id, "2");
}

TEST(sse, a_residual_event_is_flushed_at_the_end) {  // STR-9
  EXPECT_EQ(read({"data: a\n\ndata: b\n"}).events, (std::vector<seen_event>{message("a"), message("b")}));
  EXPECT_EQ(read({"data: a\n\ndata: [DONE]"}).events,
            (std::vector<seen_event>{message("a"), message("[DONE]")}));
  EXPECT_EQ(read({"data: a\n\ndata: b"}, at_end::leave).events, std::vector<seen_event>{message("a")});
  EXPECT_TRUE(read({""}).events.empty());
  EXPECT_TRUE(read({"\xEF\xBB\xBF"}).events.empty());
}

TEST(sse, an_unfinished_event_is_bounded) {
  const std::string big(200, 'x');
  EXPECT_EQ(read({"data: ", big}, at_end::finish, 100).status, feed_status::too_large);
  EXPECT_EQ(read({"data: " + big + "\n\n"}, at_end::finish, 100).status, feed_status::too_large);
  parser reader{100};
  std::size_t fed = 0;
  feed_status status = feed_status::ok;
  while (status == feed_status::ok && fed < 1000) {
    status = reader.feed("x", [](const event_view&) { return true; });
    ++fed;
  }
  EXPECT_EQ(fed, 101U);
  EXPECT_LE(reader.rest().size(), 100U);
  EXPECT_EQ(reader.feed("\n\n", [](const event_view&) { return true; }), feed_status::too_large);
}

TEST(sse, the_bound_does_not_depend_on_the_split) {
  for (const std::string_view end : {"\n\n", "\r\n\r\n", "\r\r"}) {
    const std::string text = "data: 0123456789" + std::string{end} + "data: 0123456789" + std::string{end};
    for (std::size_t max = 14; max < 24; ++max) {
      const reading whole = read({text}, at_end::finish, max);
      for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        const std::string_view view = text;
        const reading split = read({view.substr(0, cut), view.substr(cut)}, at_end::finish, max);
        ASSERT_EQ(split.status, whole.status) << max << ' ' << cut;
        ASSERT_EQ(split.events, whole.events) << max << ' ' << cut;
      }
    }
  }
}

TEST(sse, a_refusing_callback_stops_behind_its_event) {
  for (const std::size_t cut : {std::size_t{0}, std::size_t{4}}) {
    const std::string_view text = "data: a\n\ndata: b\n\n";
    parser reader;
    int calls = 0;
    const auto stop = [&calls](const event_view&) {
      ++calls;
      return false;
    };
    EXPECT_EQ(reader.feed(text.substr(0, cut), stop), feed_status::ok);
    EXPECT_EQ(reader.feed(text.substr(cut), stop), feed_status::stopped);
    EXPECT_EQ(calls, 1);
    EXPECT_TRUE(reader.rest().empty());
  }
}

TEST(sse, written_events_read_back) {
  const std::string_view texts[] = {"", "plain", "two\nlines", "\n", "a\r\nb\rc"};
  for (const std::string_view text : texts) {
    std::string out;
    append_event(out, "kind", text);
    const reading back = read({out});
    ASSERT_EQ(back.events.size(), 1U);
    EXPECT_EQ(back.events[0].type, "kind");
    std::string expected{text};
    if (text == "a\r\nb\rc") expected = "a\nb\nc";  // the format has one line end
    EXPECT_EQ(back.events[0].data, expected);
  }
  std::string out;
  append_event(out, "", "{}");
  EXPECT_EQ(out, "data: {}\n\n");
}

// What the corpus expects: dispatched events with the last event id carried on and the default type named.
std::vector<std::array<std::string, 3>> as_event_source(const reading& from) {
  std::vector<std::array<std::string, 3>> out;
  std::string last_id;
  for (const seen_event& event : from.events) {
    if (event.has_id) last_id = event.id;
    if (event.dispatch) out.push_back({event.type.empty() ? "message" : event.type, event.data, last_id});
  }
  return out;
}

bool reads_as(const std::vector<std::array<std::string, 3>>& expected, std::string_view text) {
  bool same = as_event_source(read({text}, at_end::leave)) == expected;
  same = same && as_event_source(read(one_byte_pieces(text), at_end::leave)) == expected;
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      const reading cut = read(
          {text.substr(0, first), text.substr(first, second - first), text.substr(second)}, at_end::leave);
      same = same && as_event_source(cut) == expected && cut.joined == text;
    }
  }
  return same;
}

// The corpus follows the living standard, which drops an event without its blank line; finish(), which
// flushes it, is therefore left out here.
TEST(sse, corpus_cases_hold_for_every_split) {  // STR-9
  const std::optional<std::string> file = kit::read_fixture("sse/sse_parse_cases.json");
  if (!file) GTEST_SKIP() << "no corpus";
  simdjson::dom::parser parser;
  simdjson::dom::array cases;
  ASSERT_EQ(parser.parse(*file).get(cases), simdjson::SUCCESS);
  std::size_t passed = 0;
  for (const simdjson::dom::element item : cases) {
    std::string text;
    for (const simdjson::dom::element chunk : item["chunks_base64"].get_array()) {
      text += kit::decode_base64(std::string_view{chunk}).value_or("");
    }
    std::vector<std::array<std::string, 3>> expected;
    for (const simdjson::dom::element event : item["expect_events"].get_array()) {
      const std::string type = kit::text_of(event, "type");
      expected.push_back(
          {type.empty() ? "message" : type, kit::text_of(event, "data"), kit::text_of(event, "id")});
    }
    const bool same = reads_as(expected, text);
    EXPECT_TRUE(same) << kit::text_of(item, "name");
    passed += same ? 1 : 0;
  }
  kit::report("sse_parse_cases", passed, cases.size());
}

// Every recorded provider stream of the corpus, as its bytes were.
std::vector<std::string> recorded_streams() {
  std::vector<std::string> streams;
  for (const std::filesystem::path& file : kit::list_fixtures("fixtures_anthropic_sdk", ".sse")) {
    streams.push_back(kit::read_file(file).value_or(""));
  }
  simdjson::dom::parser parser;
  for (const std::filesystem::path& file : kit::list_fixtures("exchanges", ".json")) {
    simdjson::dom::element exchange;
    bool streamed = false;
    if (parser.parse(kit::read_file(file).value_or("")).get(exchange) != simdjson::SUCCESS) continue;
    if (exchange["stream"].get(streamed) != simdjson::SUCCESS || !streamed) continue;
    simdjson::dom::element response;
    if (exchange["response"].get(response) != simdjson::SUCCESS) continue;
    std::string body = kit::text_of(response, "body");
    if (body.find("data:") != std::string::npos) streams.push_back(std::move(body));
  }
  return streams;
}

// Every byte accounted for, and one-byte pieces read as the whole.
TEST(sse, recorded_streams_survive_one_byte_pieces) {  // STR-9
  const std::vector<std::string> streams = recorded_streams();
  if (streams.empty()) GTEST_SKIP() << "no corpus";
  std::size_t passed = 0;
  std::size_t events = 0;
  for (const std::string& text : streams) {
    const reading whole = read({text});
    const reading bytes = read(one_byte_pieces(text));
    const bool same = whole.joined == text && bytes.joined == text && whole.events == bytes.events;
    EXPECT_TRUE(same) << text.substr(0, 200);
    EXPECT_FALSE(whole.events.empty()) << text.substr(0, 200);
    passed += same ? 1 : 0;
    events += whole.events.size();
  }
  kit::report("recorded_streams", passed, streams.size());
  std::printf("recorded_streams: %zu events\n", events);
}

}  // namespace
}  // namespace tidegate::protocol::sse
