// The skill pack and the identity text that are compiled into the binary (skills/, cmake/EmbedSkills.cmake).
#pragma once

#include <span>
#include <string_view>

namespace tidegate::session {

struct embedded_skill {
  // "polish"
  std::string_view leaf;
  // The whole file.
  std::string_view text;
};

// By file name; the pack's own order is the registry's business.
std::span<const embedded_skill> embedded_skills();
std::string_view embedded_identity();

}  // namespace tidegate::session
