// Any bytes through the validator (simdjson's DOM parser as a second opinion), the cursor and the edits.
#include <simdjson.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "foundation/check.h"
#include "protocol/json/json.h"

namespace {

using namespace tidegate::protocol;

// `sound`: the text is validated; otherwise staying inside it is all that is asked.
std::size_t walk(json::value v, bool sound) {
  std::size_t seen = 1 + v.as_string().value_or("").size();
  if (const auto n = v.as_int(); sound && n) TG_CHECK(v.as_double() == static_cast<double>(*n));
  for (const json::member& m : v.members()) {
    TG_CHECK(!sound || m.key_is(m.key()));
    seen += walk(m.content, sound);
  }
  for (const json::value& element : v.elements()) seen += walk(element, sound);
  return seen;
}

void compare_with_simdjson(std::string_view text, bool accepted) {
  static simdjson::dom::parser parser;
  const simdjson::error_code error = parser.parse(text.data(), text.size()).error();
  if (error == simdjson::SUCCESS) TG_CHECK(accepted);
  // Numbers out of range, lone surrogates and the parser's own limits are not the grammar's business.
  const bool stricter = error == simdjson::NUMBER_ERROR || error == simdjson::STRING_ERROR ||
                        error == simdjson::DEPTH_ERROR || error == simdjson::CAPACITY;
  if (error != simdjson::SUCCESS && !stricter) TG_CHECK(!accepted);
}

void edit_and_check(json::value root) {
  std::string some_key = "a";
  for (const json::member& m : root.members()) some_key = m.key();
  const std::array<json::edit, 3> edits{{{some_key, "[1]"}, {"model", R"("x")"}, {"stream", std::nullopt}}};
  const std::string changed = json::apply(root.raw(), edits);
  const auto parsed = json::parse(changed, 1024);
  TG_CHECK(parsed);
  if (!root.is_object()) return;
  TG_CHECK(parsed->find("model")->equals("x"));
  TG_CHECK(!parsed->find("stream"));
  TG_CHECK(json::apply(root.raw(), {}) == root.raw());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  std::string quoted;
  json::append_quoted(quoted, text);
  TG_CHECK(json::validate(quoted));
  const auto parsed = json::parse(text, 1024);
  if (!parsed) TG_CHECK(parsed.error().offset <= size);
  compare_with_simdjson(text, parsed.has_value());
  if (!parsed) {
    (void)walk(json::value{text.substr(0, 256)}, false);
    return 0;
  }
  (void)walk(*parsed, true);
  edit_and_check(*parsed);
  return 0;
}
