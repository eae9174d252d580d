#include "gateway/model_cache.h"

#include <gtest/gtest.h>

namespace tidegate::gateway {
namespace {

using std::chrono::seconds;

constexpr foundation::instant start{seconds{1000}};

model_cache::ids ids_of(std::string id) {
  return std::make_shared<const std::vector<std::string>>(1, std::move(id));
}

TEST(model_cache, an_answer_serves_for_a_minute) {
  model_cache cache;
  EXPECT_EQ(cache.find("a", start), nullptr);
  cache.keep("a", ids_of("m"), start);
  ASSERT_NE(cache.find("a", start + seconds{59}), nullptr);
  EXPECT_EQ(cache.find("a", start + seconds{59})->front(), "m");
  EXPECT_EQ(cache.find("a", start + seconds{60}), nullptr);
  EXPECT_EQ(cache.find("b", start), nullptr);
}

TEST(model_cache, a_newer_answer_replaces_the_older_one) {
  model_cache cache;
  cache.keep("a", ids_of("m"), start);
  cache.keep("a", ids_of("n"), start + seconds{50});
  EXPECT_EQ(cache.find("a", start + seconds{100})->front(), "n");
}

TEST(model_cache, the_one_asked_longest_ago_makes_room) {
  model_cache cache;
  for (std::size_t i = 0; i <= model_cache::providers_max; ++i) {
    cache.keep(std::to_string(i), ids_of("m"), start + std::chrono::milliseconds{i});
  }
  const auto now = start + seconds{1};
  EXPECT_EQ(cache.find("0", now), nullptr);
  EXPECT_NE(cache.find("1", now), nullptr);
  EXPECT_NE(cache.find(std::to_string(model_cache::providers_max), now), nullptr);
}

}  // namespace
}  // namespace tidegate::gateway
