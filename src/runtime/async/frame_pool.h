// Memory for coroutine frames: per-thread free lists by size class, since an exchange makes and drops the
// same few frames thousands of times a second. Bounded per class; plain allocation under a sanitizer, so that
// it sees misuse.
#pragma once

#include <cstddef>

namespace tidegate::runtime {

void* allocate_frame(std::size_t size);
void release_frame(void* frame, std::size_t size) noexcept;

}  // namespace tidegate::runtime
