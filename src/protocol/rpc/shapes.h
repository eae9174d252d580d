// Shapes that several channels and pushes share. Only this folder's tables include it.
#pragma once

#include <array>
#include <string_view>

#include "protocol/rpc/contract.h"
#include "protocol/rpc/schema.h"

namespace tidegate::protocol::rpc::shapes {

// A name or id that a caller makes up or gives back: longer ones are refused before anything keeps them.
inline constexpr std::size_t id_max = 256;
inline constexpr std::size_t tools_max = 128;

inline constexpr shape id{.kind = shape_kind::string, .size_max = id_max};
// Bounded by the body.
inline constexpr shape text{.kind = shape_kind::string};
inline constexpr shape uuid{.kind = shape_kind::string, .note = "UUIDv7", .size_max = 64};
inline constexpr shape trace_id{.kind = shape_kind::string, .note = "32 hex digits", .size_max = 64};
inline constexpr shape date{.kind = shape_kind::string, .note = "YYYY-MM-DD", .size_max = 32};
inline constexpr shape integer{.kind = shape_kind::integer};
inline constexpr shape instant{.kind = shape_kind::integer, .note = "Milliseconds since 1970, UTC"};
inline constexpr shape duration{.kind = shape_kind::integer, .note = "Milliseconds"};
inline constexpr shape number{.kind = shape_kind::number};
inline constexpr shape usd{.kind = shape_kind::number, .note = "US dollars"};
inline constexpr shape flag{.kind = shape_kind::boolean};
inline constexpr shape truth{.kind = shape_kind::truth};
inline constexpr shape any_object{.kind = shape_kind::any_object};
inline constexpr shape any_value{.kind = shape_kind::any_value};
inline constexpr shape nothing{.kind = shape_kind::object};
inline constexpr shape name_list{.kind = shape_kind::array, .element = &text};

constexpr shape object_of(std::span<const field> fields, std::string_view note = {}) {
  return {.kind = shape_kind::object, .note = note, .fields = fields};
}
constexpr shape named(std::string_view name, std::span<const field> fields, std::string_view note) {
  return {.kind = shape_kind::object, .name = name, .note = note, .fields = fields};
}
constexpr shape list_of(const shape& element, std::size_t size_max = 0) {
  return {.kind = shape_kind::array, .element = &element, .size_max = size_max};
}
constexpr shape words_of(std::string_view name, std::span<const std::string_view> words) {
  return {.kind = shape_kind::string, .name = name, .words = words};
}

constexpr field need(std::string_view name, const shape& type, std::string_view note = {}) {
  return {name, &type, true, note};
}
constexpr field may(std::string_view name, const shape& type, std::string_view note = {}) {
  return {name, &type, false, note};
}

// Defined in contract_run.cpp.
extern const shape code;
extern const shape finish_reason;
extern const shape tool_call_list;
extern const shape tool_error;
extern const shape degradation;
extern const shape failover_reason;
extern const shape brief_error;
// Defined in contract_judge.cpp.
extern const shape judge_result;

// The parts of the table, one a file.
struct part {
  std::span<const channel> channels = {};
  std::span<const push> pushes = {};
  std::span<const shape* const> shapes = {};  // those with a name
};
part run_part();
part chat_part();
part provider_part();
part judge_part();
part cost_part();
part skill_part();
part push_part();

}  // namespace tidegate::protocol::rpc::shapes
