# The skill pack as one C++ file in the build folder: skills/builtin/*.md and skills/identity.md word for word, behind
# src/session/builtin_skills.h. Included, it defines tidegate_embed_skills(target); run as a script (-DROOT, -DOUT) it
# writes the file. Written anew whenever a skill changes, comes or goes.

function(tidegate_embed_skills target)
  file(GLOB skills CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/skills/builtin/*.md")
  set(out "${CMAKE_BINARY_DIR}/generated/embedded_skills.cpp")
  set(script "${CMAKE_SOURCE_DIR}/cmake/EmbedSkills.cmake")
  add_custom_command(
    OUTPUT "${out}"
    COMMAND "${CMAKE_COMMAND}" "-DROOT=${CMAKE_SOURCE_DIR}/skills" "-DOUT=${out}" -P "${script}"
    DEPENDS ${skills} "${CMAKE_SOURCE_DIR}/skills/identity.md" "${script}"
    COMMENT "Embedding the skill pack"
    VERBATIM)
  # A target of its own: beside other sources the command would wait for all that their target links.
  add_library(tg_skill_pack STATIC "${out}")
  target_link_libraries(tg_skill_pack PRIVATE tidegate_options)
  target_link_libraries(${target} PRIVATE tg_skill_pack)
endfunction()

if(NOT CMAKE_SCRIPT_MODE_FILE)
  return()
endif()

set(quote_end ")skill_text\"")

# The text of a file as a raw string literal.
function(read_literal path out)
  file(READ "${path}" text)
  string(FIND "${text}" "${quote_end}" clash)
  if(NOT clash EQUAL -1)
    message(FATAL_ERROR "${path} holds ${quote_end}")
  endif()
  set(${out} "R\"skill_text(${text}${quote_end}" PARENT_SCOPE)
endfunction()

file(GLOB skills "${ROOT}/builtin/*.md")
list(SORT skills)
set(rows "")
foreach(path IN LISTS skills)
  get_filename_component(leaf "${path}" NAME_WE)
  read_literal("${path}" literal)
  string(APPEND rows "    {\"${leaf}\", ${literal}},\n")
endforeach()
read_literal("${ROOT}/identity.md" identity)

file(WRITE "${OUT}" "// Made by cmake/EmbedSkills.cmake.
#include \"session/builtin_skills.h\"

namespace tidegate::session {
namespace {

constexpr embedded_skill pack[] = {
${rows}};

constexpr std::string_view identity = ${identity};

}  // namespace

std::span<const embedded_skill> embedded_skills() { return pack; }
std::string_view embedded_identity() { return identity; }

}  // namespace tidegate::session
")
