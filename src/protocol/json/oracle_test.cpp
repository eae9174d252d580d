// simdjson's DOM parser as a second opinion over random and mutated documents.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <string>

#include "foundation/random.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::json {
namespace {

using foundation::random_source;
namespace dom = simdjson::dom;

void generate(random_source& random, std::string& out, int budget) {
  constexpr std::string_view leaves[] = {"0",
                                         "-12",
                                         "3.25",
                                         "1e-3",
                                         "true",
                                         "false",
                                         "null",
                                         "\"\"",
                                         "\"a\\nb\"",
                                         "\"\\u00e9\\ud83d\\ude00\"",
                                         "\"grün 日本 😀\"",
                                         "\"some longer text that fills more than one block {[,:]}\""};
  const std::uint64_t choice = budget <= 0 ? 9 : random.below(8);
  if (choice > 3) {
    out += leaves[random.below(std::size(leaves))];
    return;
  }
  const bool object = choice > 1;
  const std::uint64_t count = random.below(5);
  out += object ? '{' : '[';
  for (std::uint64_t i = 0; i < count; ++i) {
    if (i > 0) out += random.below(3) == 0 ? " ,\n" : ",";
    if (object) out += "\"key" + std::to_string(random.below(9)) + "\":";
    generate(random, out, budget - 1);
  }
  out += object ? '}' : ']';
}

void mutate(random_source& random, std::string& text) {
  constexpr std::string_view alphabet = "{}[]\",:\\u/ \n\t0123456789.-+eEtrufalsn\x01\x80\xC3\xFF";
  const std::uint64_t times = random.below(3);
  for (std::uint64_t i = 0; i < times && !text.empty(); ++i) {
    const std::size_t at = random.below(text.size());
    switch (random.below(4)) {
      case 0:
        text[at] = alphabet[random.below(alphabet.size())];
        break;
      case 1:
        text.erase(at, 1);
        break;
      case 2:
        text.insert(at, 1, alphabet[random.below(alphabet.size())]);
        break;
      default:
        text.resize(at);
        break;
    }
  }
}

void expect_same(value ours, dom::element theirs) {
  switch (theirs.type()) {
    case dom::element_type::OBJECT: {
      ASSERT_TRUE(ours.is_object());
      auto it = ours.members().begin();
      for (const auto field : dom::object{theirs}) {
        ASSERT_FALSE(it == ours.members().end());
        ASSERT_EQ(it->key(), field.key);
        ASSERT_TRUE(it->key_is(field.key));
        expect_same(it->content, field.value);
        ++it;
      }
      ASSERT_TRUE(it == ours.members().end());
      return;
    }
    case dom::element_type::ARRAY: {
      ASSERT_TRUE(ours.is_array());
      auto it = ours.elements().begin();
      for (const dom::element element : dom::array{theirs}) {
        ASSERT_FALSE(it == ours.elements().end());
        expect_same(*it, element);
        ++it;
      }
      ASSERT_TRUE(it == ours.elements().end());
      return;
    }
    case dom::element_type::STRING:
      ASSERT_EQ(ours.as_string(), std::string_view{theirs});
      return;
    case dom::element_type::INT64:
      ASSERT_EQ(ours.as_int(), std::int64_t{theirs});
      return;
    case dom::element_type::UINT64:
      ASSERT_FALSE(ours.as_int());
      return;
    case dom::element_type::DOUBLE:
      ASSERT_EQ(ours.as_double(), double{theirs});
      return;
    case dom::element_type::BOOL:
      ASSERT_EQ(ours.as_bool(), bool{theirs});
      return;
    case dom::element_type::NULL_VALUE:
      ASSERT_TRUE(ours.is_null());
      return;
  }
}

// What simdjson refuses beyond the grammar: numbers out of its range, lone surrogate escapes.
bool stricter_than_grammar(simdjson::error_code error, std::string_view text) {
  if (error == simdjson::NUMBER_ERROR) return true;
  return error == simdjson::STRING_ERROR &&
         (text.find("\\ud") != text.npos || text.find("\\uD") != text.npos);
}

TEST(json_oracle, agrees_with_simdjson_on_mutated_documents) {
  random_source random{2026};
  dom::parser parser;
  int accepted = 0;
  int refused = 0;
  for (int round = 0; round < 60'000; ++round) {
    std::string text;
    generate(random, text, 5);
    mutate(random, text);
    dom::element theirs;
    const simdjson::error_code error = parser.parse(text).get(theirs);
    const auto ours = parse(text);
    if (error == simdjson::SUCCESS) {
      ASSERT_TRUE(ours) << text << ": " << ours.error().reason << " at " << ours.error().offset;
      expect_same(*ours, theirs);
      ++accepted;
    } else if (!stricter_than_grammar(error, text)) {
      ASSERT_FALSE(ours) << text << ": " << simdjson::error_message(error);
      ASSERT_LE(ours.error().offset, text.size());
      ++refused;
    }
    if (HasFatalFailure()) FAIL() << text;
  }
  std::printf("json_oracle: %d accepted, %d refused alike\n", accepted, refused);
  EXPECT_GT(accepted, 10'000);
  EXPECT_GT(refused, 10'000);
}

}  // namespace
}  // namespace tidegate::protocol::json
