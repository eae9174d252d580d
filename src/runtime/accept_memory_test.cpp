// Memory that runs out while a connection is taken or served costs that connection and nothing else.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <string>

#include "kit/transport_world.h"

// Allocations that fail take an operator new of the test's own; ThreadSanitizer insists on its.
#if !__has_feature(thread_sanitizer)

namespace {

// How many more allocations of this thread succeed before one fails; negative: all do.
thread_local int allocations_left = -1;

void* take(std::size_t size) {
  if (allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc{};
  if (void* const memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc{};
}

}  // namespace

void* operator new(std::size_t size) { return take(size); }
void* operator new[](std::size_t size) { return take(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace tidegate::runtime {
namespace {

using namespace std::chrono_literals;
using kit::transport::world;

std::string asked(world& w, std::string_view request) {
  const int fd = w.raw();
  w.say(fd, request);
  std::string heard;
  w.until([&] {
    heard += w.hear(fd);
    return heard.ends_with("GET /m ") || heard.ends_with("<end>");
  });
  ::close(fd);
  w.until([&] { return w.net.connections() == 0; });
  return heard;
}

TEST(accept_memory, any_allocation_that_fails_costs_one_connection) {
  world w;
  const std::string_view request = "GET /m HTTP/1.1\r\nhost: t\r\n\r\n";
  for (int i = 0; i < 3; ++i) EXPECT_NE(asked(w, request).find(" 200 "), std::string::npos);
  int failed = 0;
  for (int nth = 0; nth < 200; ++nth) {
    const int fd = w.raw();
    w.say(fd, request);
    allocations_left = nth;
    for (int i = 0; i < 20; ++i) w.l.turn(1ms);
    const bool ran_out = allocations_left < 0;
    allocations_left = -1;
    ::close(fd);
    w.until([&] { return w.net.connections() == 0; });
    EXPECT_EQ(w.budget.open, 0U);
    EXPECT_EQ(w.net.exchanges(), 0U);
    if (!ran_out) break;
    ++failed;
    ASSERT_NE(asked(w, request).find(" 200 "), std::string::npos) << "behind failure " << nth;
  }
  EXPECT_GT(failed, 3) << "connection, its coroutines, its request, its answer";
  EXPECT_LT(failed, 200);
}

}  // namespace
}  // namespace tidegate::runtime

#endif
