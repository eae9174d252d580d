// The schema as documents: the sample that `tidegate init` writes and the reference in docs/CONFIGURATION.md.
#pragma once

#include <string>

namespace tidegate::app {

// TOML. Prose starts with "# ", settings at their defaults with "#": taking that one character off a whole
// file changes nothing.
std::string sample_configuration();
// Markdown.
std::string configuration_reference();

}  // namespace tidegate::app
