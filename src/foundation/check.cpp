#include "foundation/check.h"

#include <cstdio>
#include <cstdlib>

namespace tidegate::foundation {

void check_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "invariant broken: %s at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace tidegate::foundation
