#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "foundation/random.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::json {
namespace {

using foundation::random_source;

std::string edited(std::string_view object, std::vector<edit> edits) { return json::apply(object, edits); }

TEST(json_edit, replaces_in_place_and_keeps_every_other_byte) {
  EXPECT_EQ(edited(R"( { "model" : "a" , "n":1.50 } )", {{"model", R"("b")"}}),
            R"( { "model" : "b" , "n":1.50 } )");
  EXPECT_EQ(edited(R"({"a":{"model":1},"model":[1,2]})", {{"model", "{}"}}),
            R"({"a":{"model":1},"model":{}})");
}

TEST(json_edit, appends_what_is_missing) {
  EXPECT_EQ(edited(R"({"a":1})", {{"b", "2"}, {"c\n", "3"}}), R"({"a":1,"b":2,"c\n":3})");
  EXPECT_EQ(edited("{ \"a\":1\n}", {{"b", "2"}}), "{ \"a\":1,\"b\":2\n}");
  EXPECT_EQ(edited("{}", {{"b", "2"}}), R"({"b":2})");
  EXPECT_TRUE(validate(edited(" { } ", {{"b", "2"}, {"c", "3"}})));
}

TEST(json_edit, removes_with_the_right_comma) {
  constexpr std::string_view text = R"({ "a":1, "b":2, "c":3 })";
  EXPECT_EQ(edited(text, {{"a", std::nullopt}}), R"({ "b":2, "c":3 })");
  EXPECT_EQ(edited(text, {{"b", std::nullopt}}), R"({ "a":1, "c":3 })");
  EXPECT_EQ(edited(text, {{"c", std::nullopt}}), R"({ "a":1, "b":2 })");
  EXPECT_EQ(edited(text, {{"a", std::nullopt}, {"b", std::nullopt}, {"c", std::nullopt}}), "{  }");
  EXPECT_EQ(edited(text, {{"a", std::nullopt}, {"b", std::nullopt}, {"c", std::nullopt}, {"d", "4"}}),
            R"({ "d":4 })");
  EXPECT_EQ(edited(text, {{"z", std::nullopt}}), text);
}

TEST(json_edit, touches_every_occurrence_of_a_key) {
  EXPECT_EQ(edited(R"({"k":1,"x":2,"\u006b":3})", {{"k", "9"}}), R"({"k":9,"x":2,"\u006b":9})");
  EXPECT_EQ(edited(R"({"k":1,"x":2,"\u006b":3})", {{"k", std::nullopt}}), R"({"x":2})");
  EXPECT_EQ(edited(R"({"k":1,"k":2})", {{"k", std::nullopt}}), "{}");
}

TEST(json_edit, last_edit_of_a_key_decides) {
  EXPECT_EQ(edited(R"({"a":1})", {{"a", "2"}, {"a", "3"}}), R"({"a":3})");
  EXPECT_EQ(edited(R"({"a":1})", {{"b", "2"}, {"b", "3"}}), R"({"a":1,"b":3})");
  EXPECT_EQ(edited(R"({"a":1})", {{"b", "2"}, {"b", std::nullopt}}), R"({"a":1})");
  EXPECT_EQ(edited(R"({"a":1})", {{"a", std::nullopt}, {"a", "7"}}), R"({"a":7})");
}

TEST(json_edit, other_kinds_and_no_edits_are_left_alone) {
  EXPECT_EQ(edited("[1]", {{"a", "2"}}), "[1]");
  EXPECT_EQ(edited(" {\"a\" : 1} ", {}), " {\"a\" : 1} ");
}

std::string blanks(random_source& random) {
  constexpr std::string_view some = " \t\r\n";
  std::string out;
  while (random.below(3) == 0) out += some[random.below(some.size())];
  return out;
}

std::string random_value(random_source& random) {
  constexpr std::string_view values[] = {"1",
                                         "-0.5e3",
                                         "true",
                                         "null",
                                         R"("a,\"}{]")",
                                         R"({"k0":[1,{"k1":2}]})",
                                         "[]",
                                         "[ [\"]\"] , {} ]",
                                         R"("\\")",
                                         "\"日本語 a longer text, beyond a block\""};
  return std::string{values[random.below(std::size(values))]};
}

// One of eight keys, in one of several spellings.
std::string random_key(random_source& random) {
  const auto digit = static_cast<char>('0' + random.below(8));
  switch (random.below(4)) {
    case 0:
      return std::string{"\"\\u006b"} + digit + '"';
    case 1:
      return std::string{"\"k\\u003"} + digit + '"';
    default:
      return std::string{"\"k"} + digit + '"';
  }
}

std::string random_object(random_source& random) {
  std::string text = blanks(random) + '{' + blanks(random);
  const std::uint64_t count = random.below(6);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (i > 0) text += blanks(random) + ',' + blanks(random);
    text += random_key(random) + blanks(random) + ':' + blanks(random) + random_value(random);
  }
  return text + blanks(random) + '}' + blanks(random);
}

using listing = std::vector<std::pair<std::string, std::string>>;

listing list(std::string_view text) {
  listing out;
  for (const member& m : parse(text)->members()) out.emplace_back(m.key(), m.content.raw());
  return out;
}

listing reference(listing members, const std::vector<edit>& edits) {
  std::map<std::string, std::optional<std::string>> last;
  std::vector<std::string> order;
  for (const edit& e : edits) {
    last[std::string{e.key}] = e.raw_value ? std::optional<std::string>{*e.raw_value} : std::nullopt;
  }
  for (std::size_t i = 0; i < edits.size(); ++i) {
    bool later = false;
    for (std::size_t j = i + 1; j < edits.size(); ++j) later = later || edits[j].key == edits[i].key;
    if (!later) order.emplace_back(edits[i].key);
  }
  listing out;
  std::map<std::string, bool> met;
  for (auto& [key, content] : members) {
    met[key] = true;
    const auto change = last.find(key);
    if (change == last.end())
      out.emplace_back(key, content);
    else if (change->second)
      out.emplace_back(key, *change->second);
  }
  for (const std::string& key : order) {
    if (!met[key] && last[key]) out.emplace_back(key, *last[key]);
  }
  return out;
}

TEST(json_edit, random_edits_agree_with_a_reference) {
  random_source random{42};
  for (int round = 0; round < 50'000; ++round) {
    const std::string text = random_object(random);
    ASSERT_TRUE(validate(text)) << text;
    std::vector<std::string> store;
    store.reserve(16);
    std::vector<edit> edits;
    const std::uint64_t count = random.below(5);
    for (std::uint64_t i = 0; i < count; ++i) {
      store.push_back("k" + std::to_string(random.below(8)));
      const std::string_view key = store.back();
      store.push_back(random_value(random));
      edits.push_back(
          {key, random.below(2) == 0 ? std::nullopt : std::optional<std::string_view>{store.back()}});
    }
    const std::string result = json::apply(text, edits);
    ASSERT_TRUE(validate(result)) << text << " -> " << result;
    ASSERT_EQ(list(result), reference(list(text), edits)) << text << " -> " << result;
    if (edits.empty()) ASSERT_EQ(result, text);
  }
}

}  // namespace
}  // namespace tidegate::protocol::json
