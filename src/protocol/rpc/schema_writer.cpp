#include "protocol/rpc/schema_writer.h"

#include <algorithm>

#include "foundation/error.h"
#include "protocol/rpc/contract.h"

namespace tidegate::protocol::rpc {

void schema_writer::refer(std::string_view name, std::string_view note) {
  w_.begin_object().member("$ref", std::string{refs_} + std::string{name});
  if (!note.empty()) w_.member("description", note);
  w_.end_object();
}

void schema_writer::use(const shape& type, std::string_view note) {
  if (type.kind == shape_kind::error_code) return refer("ErrorCode", note);
  if (!type.name.empty()) return refer(type.name, note);
  open_definition(type, note);
  w_.end_object();
}

void schema_writer::open_definition(const shape& type, std::string_view note) {
  w_.begin_object();
  add_definition(type, note);
}

void schema_writer::add_definition(const shape& type, std::string_view note) {
  if (const std::string_view told = note.empty() ? type.note : note; !told.empty()) {
    w_.member("description", told);
  }
  constraints(type);
}

void schema_writer::constraints(const shape& type) {
  switch (type.kind) {
    case shape_kind::object:
      return object(type);
    case shape_kind::map:
      w_.member("type", "object");
      if (type.size_max != 0) w_.member("maxProperties", static_cast<std::int64_t>(type.size_max));
      w_.key("additionalProperties");
      return use(*type.element);
    case shape_kind::array:
      w_.member("type", "array");
      if (type.size_max != 0) w_.member("maxItems", static_cast<std::int64_t>(type.size_max));
      w_.key("items");
      return use(*type.element);
    case shape_kind::string:
      w_.member("type", "string");
      if (!type.words.empty()) return strings("enum", {type.words.begin(), type.words.end()});
      if (type.size_max != 0) w_.member("maxLength", static_cast<std::int64_t>(type.size_max));
      return;
    case shape_kind::integer:
      w_.member("type", "integer").member("format", "int64");
      return;
    case shape_kind::number:
      w_.member("type", "number");
      return;
    case shape_kind::boolean:
      w_.member("type", "boolean");
      return;
    case shape_kind::truth:
      w_.member("type", "boolean").member("const", true);
      return;
    case shape_kind::error_code:
      return error_codes();
    case shape_kind::any_object:
      w_.member("type", "object").member("additionalProperties", true);
      return;
    case shape_kind::one_of:
      return variants(type);
    case shape_kind::any_value:
      return;
  }
}

void schema_writer::object(const shape& type) {
  w_.member("type", "object");
  w_.key("properties").begin_object();
  std::vector<std::string_view> required;
  for (const field& f : type.fields) {
    w_.key(f.name);
    use(*f.type, f.note);
    if (f.required) required.push_back(f.name);
  }
  w_.end_object();
  if (!required.empty()) strings("required", required);
  w_.member("additionalProperties", false);
}

void schema_writer::variants(const shape& type) {
  w_.key("oneOf").begin_array();
  for (const shape* variant : type.variants) use(*variant);
  w_.end_array();
  if (!discriminators_) return;
  w_.key("discriminator").begin_object().member("propertyName", type.tag);
  w_.key("mapping").begin_object();
  for (const shape* variant : type.variants) {
    const auto at = std::ranges::find(variant->fields, type.tag, &field::name);
    for (const std::string_view word : at->type->words) {
      w_.member(word, std::string{refs_} + std::string{variant->name});
    }
  }
  w_.end_object().end_object();
}

void schema_writer::strings(std::string_view key, const std::vector<std::string_view>& words) {
  w_.key(key).begin_array();
  for (const std::string_view word : words) w_.string(word);
  w_.end_array();
}

void schema_writer::error_codes() {
  w_.member("type", "string");
  strings("enum", error_code_names());
}

void error_code_definition(schema_writer& schemas, json::writer& w) {
  w.begin_object().member("description", "The code of an error, a warning or a marker");
  schemas.error_codes();
  w.end_object();
}

void meta_definition(json::writer& w) {
  w.begin_object().member("type", "object").key("properties").begin_object();
  w.key("requestId").begin_object().member("type", "string").end_object();
  w.key("ts").begin_object().member("description", "Milliseconds since 1970, UTC");
  w.member("type", "integer").member("format", "int64").end_object();
  w.end_object();
  w.key("required").begin_array().string("requestId").string("ts").end_array();
  w.member("additionalProperties", false).end_object();
}

void error_envelope_definition(schema_writer& schemas, json::writer& w) {
  w.begin_object().member("type", "object").key("properties").begin_object();
  w.key("ok").begin_object().member("type", "boolean").member("const", false).end_object();
  w.key("error");
  schemas.refer(error_shape.name);
  w.key("meta");
  schemas.refer("Meta");
  w.end_object();
  w.key("required").begin_array().string("ok").string("error").string("meta").end_array();
  w.member("additionalProperties", false).end_object();
}

std::vector<std::string_view> error_code_names() {
  std::vector<std::string_view> names;
  for (const foundation::error_code code : foundation::all_error_codes()) {
    names.push_back(foundation::name_of(code));
  }
  std::ranges::sort(names);
  return names;
}

namespace {

constexpr std::size_t line_max = 100;

class printer {
 public:
  std::string out;

  void print(const json::value& v, std::size_t indent) {
    if (v.is_object()) {
      list('{', '}', indent, v.members(), [&](const json::member& m) {
        out += '"';
        out += m.raw_key;
        out += "\": ";
        print(m.content, indent + 2);
      });
    } else if (v.is_array() && !fits(v)) {
      list('[', ']', indent, v.elements(), [&](const json::value& e) { print(e, indent + 2); });
    } else if (v.is_array()) {
      short_array(v);
    } else {
      out += v.raw();
    }
  }

 private:
  static bool fits(const json::value& array) {
    if (array.raw().size() > line_max) return false;
    return std::ranges::none_of(array.raw(), [](char c) { return c == '{'; });
  }

  void short_array(const json::value& array) {
    out += '[';
    bool first = true;
    for (const json::value& e : array.elements()) {
      if (!first) out += ", ";
      first = false;
      out += e.raw();
    }
    out += ']';
  }

  template <class Range, class Item>
  void list(char open, char close, std::size_t indent, Range range, Item item) {
    out += open;
    bool first = true;
    for (const auto& each : range) {
      out += first ? "\n" : ",\n";
      first = false;
      out.append(indent + 2, ' ');
      item(each);
    }
    if (!first) {
      out += '\n';
      out.append(indent, ' ');
    }
    out += close;
  }
};

}  // namespace

std::string pretty(std::string_view compact) {
  printer p;
  p.print(json::value{compact}, 0);
  p.out += '\n';
  return std::move(p.out);
}

}  // namespace tidegate::protocol::rpc
