// The smallest instance that a JSON Schema is content with, as far as tests of tools and structured output
// need: types, required members, enum, const, minimum, minLength, minItems, local $ref, the first of
// anyOf/oneOf/allOf.
#pragma once

#include <string>
#include <string_view>

#include "protocol/json/json.h"

namespace tidegate::mock {

// `schema`: JSON text; empty or no object: "{}". Bounded whatever the schema says.
std::string sample_of(std::string_view schema);

}  // namespace tidegate::mock
