#include "protocol/dialect/models.h"

#include <algorithm>
#include <chrono>

#include "foundation/time.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::dialect {
namespace {

// The years 1970 to 9999, which RFC 3339 can write.
constexpr std::int64_t created_max = 253'402'300'799;

void write_openai(json::writer& out, const model_entry& m) {
  out.begin_object().member("id", m.id).member("object", "model").member("created", m.created);
  out.member("owned_by", m.owned_by).end_object();
}

void write_anthropic(json::writer& out, const model_entry& m) {
  const std::chrono::seconds created{std::clamp(m.created, std::int64_t{0}, created_max)};
  out.begin_object().member("type", "model").member("id", m.id).member("display_name", m.id);
  out.member("created_at", foundation::to_rfc3339(foundation::wall_time{created})).end_object();
}

void write_edge(json::writer& out, std::string_view key, std::span<const model_entry> models, bool first) {
  out.key(key);
  if (models.empty())
    out.null();
  else
    out.string(first ? models.front().id : models.back().id);
}

}  // namespace

std::string encode_model_list(dialect_id shape, std::span<const model_entry> models) {
  std::string text;
  json::writer out{text};
  out.begin_object();
  const bool is_anthropic = shape == dialect_id::anthropic_messages;
  if (!is_anthropic) out.member("object", "list");
  out.key("data").begin_array();
  for (const model_entry& m : models) is_anthropic ? write_anthropic(out, m) : write_openai(out, m);
  out.end_array();
  if (is_anthropic) {
    out.member("has_more", false);
    write_edge(out, "first_id", models, true);
    write_edge(out, "last_id", models, false);
  }
  out.end_object();
  return text;
}

std::string encode_model(dialect_id shape, const model_entry& model) {
  std::string text;
  json::writer out{text};
  shape == dialect_id::anthropic_messages ? write_anthropic(out, model) : write_openai(out, model);
  return text;
}

}  // namespace tidegate::protocol::dialect
