#include "protocol/json/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "foundation/random.h"

namespace tidegate::protocol::json {
namespace {

using namespace std::string_view_literals;

value must_parse(std::string_view text) {
  const auto parsed = parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(value{});
}

std::string nested(std::size_t depth, std::string_view open, std::string_view inner, std::string_view close) {
  std::string text;
  for (std::size_t i = 0; i < depth; ++i) text += open;
  text += inner;
  for (std::size_t i = 0; i < depth; ++i) text += close;
  return text;
}

TEST(json_validate, depth_limit_is_inclusive) {  // SEC-4
  EXPECT_TRUE(validate(nested(64, "[", "", "]")));
  EXPECT_TRUE(validate(nested(64, "{\"a\":", "1", "}")));
  const auto arrays = validate(nested(65, "[", "", "]"));
  ASSERT_FALSE(arrays);
  EXPECT_TRUE(arrays.error().too_deep);
  EXPECT_EQ(arrays.error().offset, 64U);
  const auto objects = validate(nested(65, "{\"a\":", "1", "}"));
  ASSERT_FALSE(objects);
  EXPECT_TRUE(objects.error().too_deep);
  EXPECT_TRUE(validate("[[1]]", 2));
  EXPECT_FALSE(validate("[[1]]", 1));
  EXPECT_TRUE(validate("1", 0));
}

TEST(json_validate, deepest_configurable_nesting_keeps_bracket_kinds) {
  EXPECT_TRUE(validate(nested(512, "[{\"a\":", "1", "}]"), 1024));
  EXPECT_FALSE(validate(nested(513, "[{\"a\":", "1", "}]"), 1'000'000));
  std::string crossed = nested(512, "[{\"a\":", "1", "}]");
  crossed[crossed.size() - 700] = ']';
  EXPECT_FALSE(validate(crossed, 1024));
}

TEST(json_validate, hundred_thousand_levels_are_refused_without_recursion) {
  const auto refused = validate(std::string(100'000, '['), 1'000'000);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().too_deep);
  EXPECT_FALSE(validate(nested(100'000, "[", "", "]")));
}

TEST(json_validate, errors_name_place_and_reason) {
  struct wrong {
    std::string_view text;
    std::size_t offset;
    std::string_view reason;
  };
  const std::vector<wrong> cases{
      {"", 0, "expected a value"},
      {"[1 2]", 3, "expected ',' or ']'"},
      {"{\"a\":1 \"b\"", 7, "expected ',' or '}'"},
      {"{\"a\" 1}", 5, "expected ':'"},
      {"{1:2}", 1, "expected a member name"},
      {"\"a\xFFz\"", 2, "not UTF-8"},
      {"\"a\nz\"", 2, "control byte in a string"},
      {"\"a\\q\"", 2, "unknown escape"},
      {"\"a\\u12x4\"", 2, "\\u needs four hex digits"},
      {"\"abc", 4, "string is not closed"},
      {"{} x", 3, "text behind the value"},
      {"-x", 1, "expected a digit"},
      {"012", 1, "number with a leading zero"},
  };
  for (const auto& c : cases) {
    const auto verdict = validate(c.text);
    ASSERT_FALSE(verdict) << c.text;
    EXPECT_EQ(verdict.error().offset, c.offset) << c.text;
    EXPECT_EQ(verdict.error().reason, c.reason) << c.text;
    EXPECT_FALSE(verdict.error().too_deep);
  }
}

// The block-wise scan and its tail loop must agree wherever the interesting byte falls.
TEST(json_validate, every_position_in_and_around_a_block_is_checked) {
  for (std::size_t length = 0; length < 70; ++length) {
    const std::string plain(length, 'x');
    EXPECT_TRUE(validate('"' + plain + '"'));
    for (std::size_t at = 0; at < length; ++at) {
      for (const char bad : {'\0', '\x01', '\n', '\x1F', '"', '\x80', '\xFF'}) {
        std::string text = '"' + plain + '"';
        text[at + 1] = bad;
        EXPECT_FALSE(validate(text)) << length << ' ' << at;
      }
      std::string escaped = '"' + plain + "x\"";
      escaped[at + 1] = '\\';
      escaped[at + 2] = 'n';
      EXPECT_TRUE(validate(escaped));
      EXPECT_EQ(must_parse(escaped).as_string()->size(), length);
    }
  }
}

TEST(json_validate, every_prefix_of_a_document_is_refused) {
  const std::string text = R"({"a":[1,2.5e-3,{"b":"c\u00e9\n"}],"d":true,"e":null,"f":"grün, 日本"})";
  ASSERT_TRUE(validate(text));
  for (std::size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(validate(text.substr(0, size))) << size;
}

TEST(json_value, kinds_and_raw_text) {
  const value root = must_parse("  {\"a\" : [ 1 , \"x\\\"]}\" , { } ] , \"b\":null}\n");
  EXPECT_EQ(root.type(), kind::object);
  EXPECT_EQ(root.find("a")->raw(), "[ 1 , \"x\\\"]}\" , { } ]");
  std::vector<std::string_view> elements;
  for (const value& element : root.find("a")->elements()) elements.push_back(element.raw());
  EXPECT_EQ(elements, (std::vector<std::string_view>{"1", "\"x\\\"]}\"", "{ }"}));
  EXPECT_TRUE(root.find("b")->is_null());
  EXPECT_FALSE(root.find("c"));
  EXPECT_TRUE(value{}.is_null());
  EXPECT_TRUE(must_parse("[]").elements().begin() == must_parse("[]").elements().end());
  EXPECT_TRUE(must_parse("{ }").members().begin() == must_parse("{ }").members().end());
}

TEST(json_value, look_ups_are_total_over_other_kinds) {
  for (const auto text : {"null", "true", "5", "\"s\"", "[1]", "{}"}) {
    const value v = must_parse(text);
    EXPECT_FALSE(v.find("a"));
    EXPECT_FALSE(v.path({"a", "b"}));
    EXPECT_EQ(v.string_or("a", "z"), "z");
    EXPECT_FALSE(v.int_at("a"));
    if (!v.is_array()) EXPECT_TRUE(v.elements().begin() == v.elements().end());
    if (!v.is_object()) EXPECT_TRUE(v.members().begin() == v.members().end());
    if (!v.is_string()) EXPECT_FALSE(v.as_string() || v.as_plain_string() || v.equals(""));
    if (!v.is_number()) EXPECT_FALSE(v.as_int() || v.as_double());
  }
}

TEST(json_value, last_duplicate_wins_also_when_escaped) {
  const value root = must_parse(R"({"model":"a","mod\u0065l":"b","models":1,"mode":2})");
  EXPECT_EQ(root.string_or("model", ""), "b");
  EXPECT_EQ(root.int_at("mode"), 2);
}

TEST(json_value, paths_shrug_off_missing_steps) {
  const value root = must_parse(R"({"usage":{"prompt_tokens":7,"details":null}})");
  EXPECT_EQ(root.path({"usage", "prompt_tokens"})->as_int(), 7);
  EXPECT_FALSE(root.path({"usage", "details", "cached"}));
  EXPECT_EQ(root.path({})->raw(), root.raw());
}

TEST(json_value, integers_are_exact_or_nothing) {
  const std::vector<std::pair<std::string_view, std::optional<std::int64_t>>> cases{
      {"0", 0},
      {"-0", 0},
      {"5.0", 5},
      {"-7.000", -7},
      {"9223372036854775807", std::numeric_limits<std::int64_t>::max()},
      {"-9223372036854775808", std::numeric_limits<std::int64_t>::min()},
      {"9223372036854775808", std::nullopt},
      {"5.5", std::nullopt},
      {"5.0e0", std::nullopt},
      {"1e3", std::nullopt},
      {"\"5\"", std::nullopt}};
  for (const auto& [text, expected] : cases) EXPECT_EQ(must_parse(text).as_int(), expected) << text;
}

TEST(json_value, doubles) {
  EXPECT_EQ(must_parse("0.7").as_double(), 0.7);
  EXPECT_EQ(must_parse("-1e-7").as_double(), -1e-7);
  EXPECT_EQ(must_parse("5").as_double(), 5.0);
  EXPECT_FALSE(must_parse("1e999").as_double());
  EXPECT_FALSE(must_parse("true").as_double());
}

TEST(json_value, strings_decode) {
  EXPECT_EQ(must_parse(R"("a\"\\\/\b\f\n\r\tz")").as_string(), "a\"\\/\b\f\n\r\tz");
  EXPECT_EQ(must_parse(R"("\u0041\u00e9\u20AC\ud83d\ude00")").as_string(), "Aé€😀");
  EXPECT_EQ(must_parse(R"("\u0000")").as_string(), "\0"sv);
  EXPECT_EQ(must_parse(R"("\ud800")").as_string(), "\uFFFD");
  EXPECT_EQ(must_parse(R"("\udc00\ud800x\ud800\u0041")").as_string(), "\uFFFD\uFFFDx\uFFFDA");
  EXPECT_EQ(must_parse(R"("\ud800\ud83d\ude00")").as_string(), "\uFFFD😀");
  EXPECT_EQ(must_parse(R"("plain")").as_plain_string(), "plain");
  EXPECT_FALSE(must_parse(R"("pl\u0061in")").as_plain_string());
  EXPECT_TRUE(must_parse(R"("pl\u0061in")").equals("plain"));
  EXPECT_FALSE(must_parse(R"("pl\u0061in")").equals("plai"));
  EXPECT_FALSE(must_parse(R"("pl\u0061in")").equals("plain "));
  EXPECT_FALSE(must_parse(R"("a\nb")").equals("a\\nb"));
  EXPECT_TRUE(must_parse("\"\"").equals(""));
}

// Views that are no JSON must stay harmless: a caller's mistake is never a read out of bounds.
TEST(json_value, cursors_stay_inside_text_that_is_not_json) {
  foundation::random_source random{7};
  constexpr std::string_view alphabet = "{}[]\",:\\u0 ad\n";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    const std::uint64_t length = random.below(200);
    for (std::uint64_t i = 0; i < length; ++i) text += alphabet[random.below(alphabet.size())];
    const std::vector<char> exact(text.begin(),
                                  text.end());  // no terminator behind: sanitizers see an overrun
    const value v{std::string_view{exact.data(), exact.size()}};
    std::size_t steps = 0;
    for (const member& m : v.members()) steps += m.key().size() + 1;
    for (const value& element : v.elements()) steps += element.raw().size() + 1;
    EXPECT_LE(steps, 2 * text.size() + 2);
    (void)v.as_string();
    (void)v.as_int();
    (void)v.equals("a");
  }
}

// Strings full of brackets, quotes and runs of backslashes, across every border of the 64-byte blocks.
TEST(json_value, containers_end_where_their_bracket_is) {
  foundation::random_source random{17};
  constexpr std::string_view alphabet = "\\\\\\\"{}[],:a";
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::string> texts(1 + random.below(4));
    std::string out;
    writer w{out};
    w.begin_object().key("first").begin_array();
    for (std::string& text : texts) {
      for (std::uint64_t n = random.below(90); n > 0; --n) text += alphabet[random.below(alphabet.size())];
      w.begin_object()
          .key(text)
          .begin_array()
          .string(text)
          .begin_array()
          .end_array()
          .end_array()
          .end_object();
    }
    w.end_array().member("last", round).end_object();
    const value root = must_parse(out);
    ASSERT_EQ(root.int_at("last"), round) << out;
    std::size_t i = 0;
    for (const value& element : root.find("first")->elements()) {
      const auto only = element.members().begin();
      ASSERT_EQ(only->key(), texts[i]);
      ASSERT_TRUE((*only->content.elements().begin()).equals(texts[i])) << out;
      ++i;
    }
    ASSERT_EQ(i, texts.size());
  }
}

TEST(json_writer, commas_and_nesting) {
  std::string out;
  writer w{out};
  w.begin_object().member("a", 1).member("b", "x\"y").key("c").begin_array();
  w.number(std::int64_t{1}).begin_object().end_object().null().raw("[2]").boolean(false).end_array();
  w.member("d", true).member("e", 0.5).key("f").begin_array().end_array().end_object();
  EXPECT_EQ(out, R"({"a":1,"b":"x\"y","c":[1,{},null,[2],false],"d":true,"e":0.5,"f":[]})");
}

TEST(json_writer, broken_balance_is_our_own_defect) {
  const auto misuse = [](auto use) {
    std::string out;
    writer w{out};
    use(w);
  };
  EXPECT_DEATH(misuse([](writer& w) { w.end_object(); }), "");
  EXPECT_DEATH(misuse([](writer& w) { w.begin_array().end_object(); }), "");
  EXPECT_DEATH(misuse([](writer& w) { w.begin_object().null(); }), "");
  EXPECT_DEATH(misuse([](writer& w) { w.begin_object().key("a").end_object(); }), "");
  EXPECT_DEATH(misuse([](writer& w) { w.begin_array().key("a"); }), "");
}

std::string number_text(double n) {
  std::string out;
  writer{out}.number(n);
  return out;
}

TEST(json_writer, doubles_are_legal_json_and_read_back_equal) {
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(1.0), "1");
  EXPECT_EQ(number_text(-0.0), "-0");
  EXPECT_EQ(number_text(std::nan("")), "null");
  EXPECT_EQ(number_text(std::numeric_limits<double>::infinity()), "null");
  foundation::random_source random{11};
  int finite = 0;
  for (int i = 0; i < 20'000; ++i) {
    const auto n = std::bit_cast<double>(random.next());
    if (!std::isfinite(n)) continue;
    ++finite;
    const std::string text = number_text(n);
    ASSERT_TRUE(validate(text)) << text;
    ASSERT_EQ(value{text}.as_double(), n) << text;
  }
  EXPECT_GT(finite, 19'000);
}

std::string as_literal(std::string_view text) {
  std::string out;
  append_quoted(out, text);
  return out;
}

// Lengths decide how bytes are looked at and copied, and when the text grows.
TEST(json_writer, members_of_every_length_are_written_whole) {
  std::string all;
  writer w{all};
  w.begin_object();
  std::string expected = "{";
  for (std::size_t n = 0; n < 150; ++n) {
    const std::string name(n, 'k');
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += static_cast<char>('a' + i % 26);
    w.member(name, text).member(name, static_cast<std::int64_t>(n)).key(name).string(text);
    const std::string quoted_name = '"' + name + "\":";
    const std::string quoted_text = '"' + text + '"';
    if (n != 0) expected += ',';
    expected +=
        quoted_name + quoted_text + ',' + quoted_name + std::to_string(n) + ',' + quoted_name + quoted_text;
    for (std::size_t i = 0; i < n; ++i) {
      std::string odd = text;
      odd[i] = '"';
      ASSERT_EQ(as_literal(odd), '"' + text.substr(0, i) + "\\\"" + text.substr(i + 1) + '"');
    }
  }
  w.end_object();
  EXPECT_EQ(all, expected + '}');
}

TEST(json_writer, quoting) {
  EXPECT_EQ(as_literal(""), "\"\"");
  EXPECT_EQ(as_literal("a\"b\\c\n\r\t\b\f\x01\x7F/"), "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\x7F/\"");
  EXPECT_EQ(as_literal("\0x"sv), "\"\\u0000x\"");
  EXPECT_EQ(as_literal("grün \n 😀"), "\"grün \\n 😀\"");
}

TEST(json_writer, ill_formed_utf8_becomes_replacement_characters) {
  EXPECT_EQ(as_literal("a\x80z"), "\"a\uFFFDz\"");
  EXPECT_EQ(as_literal("\xC0\x80"), "\"\uFFFD\uFFFD\"");
  EXPECT_EQ(as_literal("\xED\xA0\x80"), "\"\uFFFD\uFFFD\uFFFD\"");
  EXPECT_EQ(as_literal("\xE2\x82"
                       "x\n"),
            "\"\uFFFDx\\n\"");
  EXPECT_EQ(as_literal("\xF0\x9F\x98"), "\"\uFFFD\"");
  EXPECT_EQ(as_literal("é\xFF😀\""), "\"é\uFFFD😀\\\"\"");
}

TEST(json_writer, any_bytes_round_trip_or_are_repaired) {
  foundation::random_source random{13};
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes;
    const std::uint64_t length = random.below(60);
    const bool ascii = random.below(2) == 0;
    for (std::uint64_t i = 0; i < length; ++i) bytes += static_cast<char>(random.below(ascii ? 128 : 256));
    const std::string text = as_literal(bytes);
    ASSERT_TRUE(validate(text)) << text;
    if (ascii) ASSERT_EQ(value{text}.as_string(), bytes);
    if (ascii) ASSERT_TRUE(value{text}.equals(bytes));
    ASSERT_EQ(as_literal(*value{text}.as_string()), text);
  }
}

// Long strings are left by a shortcut: escapes wherever a block of bytes may end must not mislead it.
TEST(json_value, containers_with_long_escaped_strings_are_passed_over_whole) {
  for (std::size_t lead = 60; lead < 260; ++lead) {
    for (const std::string_view escapes : {R"(\\)", R"(\")", R"(\\\")", R"(\\\\)", R"([{\"}])", ""}) {
      const std::string inside =
          std::string(lead, 'x') + std::string{escapes} + std::string(lead % 67, ']') + std::string{escapes};
      const std::string text = R"({"a":[")" + inside + R"(",{"b":")" + inside + R"("}],"c":7})";
      const auto parsed = parse(text);
      ASSERT_TRUE(parsed) << text;
      ASSERT_EQ(parsed->int_at("c"), 7) << text;
    }
  }
}

}  // namespace
}  // namespace tidegate::protocol::json
