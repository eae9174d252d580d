#include "runtime/async/frame_pool.h"

#include <array>
#include <cstdint>
#include <new>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TIDEGATE_PLAIN_FRAMES 1
#endif
#endif

namespace tidegate::runtime {

#ifdef TIDEGATE_PLAIN_FRAMES

void* allocate_frame(std::size_t size) { return ::operator new(size); }
void release_frame(void* frame, std::size_t) noexcept { ::operator delete(frame); }

#else
namespace {

constexpr std::size_t granule = 64;
constexpr std::size_t classes = 64;  // frames up to 4 KiB
constexpr std::uint16_t cached_per_class = 256;

struct free_frame {
  free_frame* next;
};

struct frame_cache {
  std::array<free_frame*, classes> head{};
  std::array<std::uint16_t, classes> count{};
  ~frame_cache() {
    for (auto& list : head) {
      while (list != nullptr) {
        free_frame* const next = list->next;
        ::operator delete(list);
        list = next;
      }
    }
    count.fill(cached_per_class);  // frames dropped after this thread's cache is gone go straight back
  }
};

thread_local frame_cache cache;

}  // namespace

void* allocate_frame(std::size_t size) {
  const std::size_t index = (size + granule - 1) / granule;
  if (index >= classes) return ::operator new(size);
  if (free_frame* const frame = cache.head[index]) {
    cache.head[index] = frame->next;
    --cache.count[index];
    return frame;
  }
  return ::operator new(index * granule);
}

void release_frame(void* frame, std::size_t size) noexcept {
  const std::size_t index = (size + granule - 1) / granule;
  if (index >= classes || cache.count[index] >= cached_per_class) {
    ::operator delete(frame);
    return;
  }
  auto* const node = static_cast<free_frame*>(frame);
  node->next = cache.head[index];
  cache.head[index] = node;
  ++cache.count[index];
}

#endif

}  // namespace tidegate::runtime
