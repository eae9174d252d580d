#include "storage/chat_store.h"

#include "foundation/text.h"

namespace tidegate::storage {

std::string_view name_of(chat_role role) { return role == chat_role::user ? "user" : "assistant"; }

std::string_view chat_title(std::string_view content) {
  const char* const begin = content.data();
  const char* const end = begin + content.size();
  const char* p = begin;
  for (std::size_t taken = 0; taken < chat_title_characters && p < end; ++taken) {
    p += foundation::step_utf8(p, end).length;
  }
  return content.substr(0, static_cast<std::size_t>(p - begin));
}

}  // namespace tidegate::storage
