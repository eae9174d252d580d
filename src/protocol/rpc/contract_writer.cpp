#include "protocol/rpc/contract_writer.h"

#include <algorithm>

#include "protocol/rpc/contract_names.h"
#include "protocol/rpc/schema_writer.h"

namespace tidegate::protocol::rpc {
namespace {

constexpr std::string_view dialect = "https://json-schema.org/draft/2020-12/schema";
constexpr std::string_view definitions = "#/$defs/";

// Itself or in nameless parts; named shapes are looked at by themselves.
bool uses_error_codes(const shape& type) {
  const auto within = [](const shape* s) {
    if (s == nullptr) return false;
    return s->kind == shape_kind::error_code || (s->name.empty() && uses_error_codes(*s));
  };
  return within(type.element) || std::ranges::any_of(type.fields, within, &field::type) ||
         std::ranges::any_of(type.variants, within);
}

// What follows the definition: the shapes it refers to.
void write_definitions(json::writer& w, schema_writer& schemas, const std::vector<const shape*>& below,
                       bool codes, bool meta) {
  struct entry {
    std::string_view name;
    const shape* type;
  };
  std::vector<entry> entries;
  for (const shape* s : below) {
    entries.push_back({s->name, s});
    codes = codes || uses_error_codes(*s);
  }
  if (codes) entries.push_back({"ErrorCode", nullptr});
  if (meta) entries.push_back({"Meta", nullptr});
  if (entries.empty()) return;
  std::ranges::sort(entries, {}, &entry::name);
  w.key("$defs").begin_object();
  for (const entry& e : entries) {
    w.key(e.name);
    if (e.type != nullptr) {
      schemas.open_definition(*e.type);
      w.end_object();
    } else if (e.name == "Meta") {
      meta_definition(w);
    } else {
      error_code_definition(schemas, w);
    }
  }
  w.end_object();
}

std::string error_envelope_text() {
  std::string compact;
  json::writer w{compact};
  schema_writer schemas{w, definitions, false};
  w.begin_object().member("$schema", dialect).member("title", "ErrorEnvelope");
  w.key("allOf").begin_array();
  error_envelope_definition(schemas, w);
  w.end_array();
  std::vector<const shape*> below = shapes_below(error_shape);
  below.push_back(&error_shape);
  write_definitions(w, schemas, below, true, true);
  w.end_object();
  return pretty(compact);
}

}  // namespace

std::string schema_text(std::string_view name, const shape& type) {
  std::string compact;
  json::writer w{compact};
  schema_writer schemas{w, definitions, false};
  w.begin_object().member("$schema", dialect).member("title", name);
  std::vector<const shape*> below = shapes_below(type);
  if (!type.name.empty() && type.name != name) {
    w.member("$ref", std::string{definitions} + std::string{type.name});
    below.push_back(&type);
  } else {
    schemas.add_definition(type);
  }
  write_definitions(w, schemas, below, uses_error_codes(type), false);
  w.end_object();
  return pretty(compact);
}

std::vector<contract_file> write_contract(const contract& source) {
  std::vector<contract_file> files;
  files.push_back({"client.ts", client_text(source)});
  files.push_back({"openapi.json", openapi_text(source)});
  files.push_back({"schemas/ErrorEnvelope.json", error_envelope_text()});
  for (const named_shape& n : all_named_shapes(source)) {
    files.push_back({"schemas/" + n.name + ".json", schema_text(n.name, *n.type)});
  }
  std::ranges::sort(files, {}, &contract_file::path);
  return files;
}

std::optional<difference> first_difference(std::string_view found, std::string_view wanted) {
  for (std::size_t line = 1; found != wanted; ++line) {
    const std::size_t found_end = std::min(found.find('\n'), found.size());
    const std::size_t wanted_end = std::min(wanted.find('\n'), wanted.size());
    const bool same = found.substr(0, found_end) == wanted.substr(0, wanted_end);
    const bool both_go_on = found_end < found.size() && wanted_end < wanted.size();
    if (!same || !both_go_on) {
      return difference{line, std::string{found.substr(0, found_end)},
                        std::string{wanted.substr(0, wanted_end)}};
    }
    found.remove_prefix(found_end + 1);
    wanted.remove_prefix(wanted_end + 1);
  }
  return std::nullopt;
}

}  // namespace tidegate::protocol::rpc
