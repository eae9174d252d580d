#include "mock/schema_sample.h"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace tidegate::mock {
namespace {

namespace json = protocol::json;

class sampler {
 public:
  sampler(json::value root, json::writer& out) : root_{root}, out_{out} {}

  void write(json::value schema, int depth) {
    if (depth > depth_max || budget_ == 0) {
      out_.null();
      return;
    }
    --budget_;
    schema = resolve(schema);
    if (const auto fixed = schema.find("const")) {
      out_.raw(fixed->raw());
    } else if (const auto first = first_of(schema.find("enum"))) {
      out_.raw(first->raw());
    } else {
      write_type(schema, depth);
    }
  }

 private:
  static constexpr int depth_max = 24;

  static std::optional<json::value> first_of(std::optional<json::value> list) {
    if (!list) return std::nullopt;
    for (const json::value each : list->elements()) return each;
    return std::nullopt;
  }

  // Through $ref and the first alternative, to something with a type.
  json::value resolve(json::value schema) const {
    for (int i = 0; i < depth_max; ++i) {
      std::optional<json::value> next;
      if (const auto ref = schema.find("$ref")) {
        next = target_of(ref->as_string().value_or(""));
      } else if (!schema.find("type")) {
        for (const std::string_view key : {"anyOf", "oneOf", "allOf"}) {
          if (!next) next = first_of(schema.find(key));
        }
      }
      if (!next) return schema;
      schema = *next;
    }
    return schema;
  }

  // "#/$defs/name"
  std::optional<json::value> target_of(std::string_view ref) const {
    if (!ref.starts_with("#")) return std::nullopt;
    json::value at = root_;
    ref.remove_prefix(1);
    while (ref.starts_with("/")) {
      ref.remove_prefix(1);
      const std::string_view key = ref.substr(0, ref.find('/'));
      const auto next = at.find(key);
      if (!next) return std::nullopt;
      at = *next;
      ref.remove_prefix(key.size());
    }
    return at;
  }

  static std::string type_of(json::value schema) {
    const auto type = schema.find("type");
    if (!type) return schema.find("properties") ? "object" : "";
    if (type->is_string()) return type->as_string().value_or("");
    for (const json::value each : type->elements()) {
      if (!each.equals("null")) return each.as_string().value_or("");
    }
    return "null";
  }

  void write_type(json::value schema, int depth) {
    const std::string type = type_of(schema);
    if (type == "object") {
      write_object(schema, depth);
    } else if (type == "array") {
      out_.begin_array();
      const std::int64_t wanted = std::clamp<std::int64_t>(schema.int_at("minItems").value_or(0), 0, 8);
      for (std::int64_t i = 0; i < wanted; ++i)
        write(schema.find("items").value_or(json::value{}), depth + 1);
      out_.end_array();
    } else if (type == "integer" || type == "number") {
      const auto least = schema.find("minimum");
      if (least && least->is_number()) {
        out_.raw(least->raw());
      } else {
        out_.number(std::int64_t{1});
      }
    } else if (type == "boolean") {
      out_.boolean(true);
    } else if (type == "null") {
      out_.null();
    } else {
      std::string text = "text";
      const std::int64_t least = std::clamp<std::int64_t>(schema.int_at("minLength").value_or(0), 0, 1024);
      text.resize(std::max(text.size(), static_cast<std::size_t>(least)), 'x');
      out_.string(text);
    }
  }

  void write_object(json::value schema, int depth) {
    out_.begin_object();
    const auto properties = schema.find("properties");
    const auto required = schema.find("required");
    if (required) {
      for (const json::value name : required->elements()) {
        const std::string key = name.as_string().value_or("");
        out_.key(key);
        write((properties ? properties->find(key) : std::nullopt).value_or(json::value{}), depth + 1);
      }
    }
    out_.end_object();
  }

  json::value root_;
  json::writer& out_;
  int budget_ = 4096;  // values, for references may fan out
};

}  // namespace

std::string sample_of(std::string_view schema) {
  const auto root = json::parse(schema);
  if (!root || !root->is_object()) return "{}";
  std::string out;
  json::writer w{out};
  sampler{*root, w}.write(*root, 0);
  return out;
}

}  // namespace tidegate::mock
