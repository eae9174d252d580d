// Shapes as JSON Schema 2020-12.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/json/json.h"
#include "protocol/rpc/schema.h"

namespace tidegate::protocol::rpc {

// One schema as the next value of `w`. References to named shapes are `refs` + name.
class schema_writer {
 public:
  schema_writer(json::writer& w, std::string_view refs, bool discriminators)
      : w_{w}, refs_{refs}, discriminators_{discriminators} {}

  // `type` where it is used: by reference if it has a name.
  void use(const shape& type, std::string_view note = {});
  // `type` itself. The object stays open, for members to be added.
  void open_definition(const shape& type, std::string_view note = {});
  // The members of `type`'s schema into an object that is open.
  void add_definition(const shape& type, std::string_view note = {});
  // {"$ref": ...}
  void refer(std::string_view name, std::string_view note = {});
  // The names of all error codes, sorted.
  void error_codes();

 private:
  void constraints(const shape& type);
  void object(const shape& type);
  void variants(const shape& type);
  void strings(std::string_view key, const std::vector<std::string_view>& words);

  json::writer& w_;
  std::string_view refs_;
  bool discriminators_;
};

// What no shape can say: the envelope of a failure and what it is made of.
void error_code_definition(schema_writer& schemas, json::writer& w);
void error_envelope_definition(schema_writer& schemas, json::writer& w);
void meta_definition(json::writer& w);

// Sorted.
std::vector<std::string_view> error_code_names();

// Two blanks a level and a final newline; short arrays of plain values stay on one line.
std::string pretty(std::string_view compact);

}  // namespace tidegate::protocol::rpc
