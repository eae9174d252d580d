#include "protocol/dialect/models.h"

#include <gtest/gtest.h>

#include <vector>

#include "protocol/json/json.h"

namespace tidegate::protocol::dialect {
namespace {

const std::vector<model_entry> two = {{.id = "gpt-x", .owned_by = "openai", .created = 1'700'000'000},
                                      {.id = "claude-\"y\"", .owned_by = "anthropic", .created = 0}};

TEST(models, openai_shape_is_a_list_of_model_objects) {
  const std::string text = encode_model_list(dialect_id::openai_chat, two);
  EXPECT_EQ(
      text,
      R"({"object":"list","data":[{"id":"gpt-x","object":"model","created":1700000000,"owned_by":"openai"},)"
      R"({"id":"claude-\"y\"","object":"model","created":0,"owned_by":"anthropic"}]})");
  EXPECT_EQ(text, encode_model_list(dialect_id::openai_responses, two));
}

TEST(models, anthropic_shape_is_one_page_with_its_edges) {
  const std::string text = encode_model_list(dialect_id::anthropic_messages, two);
  EXPECT_EQ(
      text,
      R"({"data":[{"type":"model","id":"gpt-x","display_name":"gpt-x","created_at":"2023-11-14T22:13:20.000Z"},)"
      R"({"type":"model","id":"claude-\"y\"","display_name":"claude-\"y\"",)"
      R"("created_at":"1970-01-01T00:00:00.000Z"}],"has_more":false,"first_id":"gpt-x","last_id":"claude-\"y\""})");
}

TEST(models, an_empty_list_is_valid_in_both_shapes) {
  EXPECT_EQ(encode_model_list(dialect_id::openai_chat, {}), R"({"object":"list","data":[]})");
  EXPECT_EQ(encode_model_list(dialect_id::anthropic_messages, {}),
            R"({"data":[],"has_more":false,"first_id":null,"last_id":null})");
}

TEST(models, a_date_beyond_rfc3339_is_cut_to_its_last_year) {
  const model_entry far{.id = "m", .owned_by = "o", .created = INT64_MAX};
  EXPECT_TRUE(encode_model(dialect_id::anthropic_messages, far).contains("\"9999-12-31T23:59:59"));
}

}  // namespace
}  // namespace tidegate::protocol::dialect
