// Broken invariants stop the process: an assertion is about our own code, never about input.
#pragma once

namespace tidegate::foundation {

[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace tidegate::foundation

#define TG_CHECK(expression)                            \
  (static_cast<bool>(expression) ? static_cast<void>(0) \
                                 : ::tidegate::foundation::check_failed(#expression, __FILE__, __LINE__))
