#include "policy/keyed_hash.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <set>
#include <string>

namespace tidegate::policy {
namespace {

TEST(keyed_hash, the_same_text_and_seed_give_the_same_hash) {
  const std::string text = "session-0123456789";
  EXPECT_EQ(keyed_hash{7}(text), keyed_hash{7}(std::string{text}));
  EXPECT_NE(keyed_hash{7}(text), keyed_hash{8}(text)) << "who does not know the seed cannot tell collisions";
}

TEST(keyed_hash, every_byte_and_the_length_count) {
  std::set<std::size_t> seen;
  std::string text;
  for (int length = 0; length <= 32; ++length) {
    EXPECT_TRUE(seen.insert(keyed_hash{1}(text)).second) << length;
    text.push_back('\0');
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] = '\x80';
    EXPECT_TRUE(seen.insert(keyed_hash{1}(other)).second) << i;
  }
}

TEST(keyed_hash, numbered_names_fill_buckets_evenly) {
  std::array<int, 256> buckets{};
  for (int i = 0; i < 256 * 100; ++i) ++buckets[keyed_hash{3}("session-" + std::to_string(i)) % 256];
  for (const int filled : buckets) {
    EXPECT_GT(filled, 50);
    EXPECT_LT(filled, 150);
  }
}

}  // namespace
}  // namespace tidegate::policy
