// A small vocabulary for strict JSON shapes, and the check of a value against one (RPC-3). Shapes are
// constant data: the channel table (contract.h) is made of them, and the contract is written from them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/json/json.h"

namespace tidegate::protocol::rpc {

enum class shape_kind : std::uint8_t {
  object,      // the members of `fields` and no others
  map,         // any member names, each value of shape `element`
  array,       // each element of shape `element`
  string,      // one of `words` where there are any
  integer,     // within int64, written without exponent; a zero fraction passes
  number,      // finite
  boolean,     //
  truth,       // the literal true
  error_code,  // the name of a code of foundation/error.h
  any_object,  // free-form object
  any_value,   // free-form JSON
  one_of,      // an object of that one of `variants` whose member `tag` has the object's value of it
};

struct shape;

struct field {
  std::string_view name;
  const shape* type = nullptr;
  bool required = true;
  std::string_view note = {};
};

struct shape {
  shape_kind kind = shape_kind::any_value;
  // A named shape is written once in the contract and referred to; a nameless one where it is used.
  std::string_view name = {};
  std::string_view note = {};
  std::span<const field> fields = {};
  const shape* element = nullptr;
  // Elements of an array, members of a map, code points of a string; 0: bounded by the body's size only.
  std::size_t size_max = 0;
  std::span<const std::string_view> words = {};
  std::span<const shape* const> variants = {};
  std::string_view tag = {};
};

// One way in which a value is not of its shape.
struct issue {
  // "context.userRules", "tools[0].name"; "$" for the value itself. Names the caller made up are cut short.
  std::string path;
  // Never holds the value.
  std::string message;
  // "string", "one of agent, plan, ask", "no such field"
  std::string expected;
  // string, number, boolean, object, array, null; "missing"; "invalid" for text that is no JSON
  std::string received_type;
};

inline constexpr std::size_t issues_max = 20;

// The first issues_max issues, in the order of the text (missing members behind the others of their object);
// none: the value is of the shape. A member named twice is an issue. Recurses along the shape only, which has
// no cycles; time is linear in the text for a given shape.
std::vector<issue> validate(const shape& wanted, json::value given);

// The value of `text`, or why it is not JSON or not of the shape.
struct reading {
  json::value content;  // a view into the text
  std::vector<issue> issues;
  bool ok() const { return issues.empty(); }
};
reading read(const shape& wanted, std::string_view text, std::size_t depth_max = json::depth_max);

// [{"path","message","expected","receivedType"}], for a failure's details.
std::string issues_json(std::span<const issue> issues);

// "string", "object", ...
std::string_view type_name(json::kind kind);

}  // namespace tidegate::protocol::rpc
