#include "policy/access.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "foundation/random.h"

namespace tidegate::policy {
namespace {

key_mac mac_of(std::uint64_t seed) {
  foundation::random_source random{seed};
  key_mac mac{};
  for (std::byte& b : mac) b = static_cast<std::byte>(random.below(256));
  return mac;
}

principal named(const std::string& name) { return {.id = name, .name = name}; }

// SEC-1
TEST(access, finds_exactly_the_keys_that_are_defined) {
  std::vector<key_entry> entries;
  for (std::uint64_t i = 0; i < 1'000; ++i) entries.push_back({mac_of(i), named(std::to_string(i))});
  const key_table table{entries};
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    const auto* who = table.find(mac_of(i));
    ASSERT_NE(who, nullptr);
    EXPECT_EQ(who->name, std::to_string(i));
  }
  for (std::uint64_t i = 1'000; i < 2'000; ++i) EXPECT_EQ(table.find(mac_of(i)), nullptr);
}

TEST(access, every_single_bit_of_the_hmac_counts) {
  const key_mac mac = mac_of(1);
  const key_table table{{{mac, named("one")}}};
  ASSERT_NE(table.find(mac), nullptr);
  for (std::size_t bit = 0; bit < 256; ++bit) {
    key_mac other = mac;
    other[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_EQ(table.find(other), nullptr) << bit;
  }
}

TEST(access, keys_that_begin_alike_are_told_apart) {
  key_mac one = mac_of(1);
  key_mac two = one;
  two[31] ^= std::byte{1};
  const key_table table{{{two, named("two")}, {one, named("one")}}};
  EXPECT_EQ(table.find(one)->name, "one");
  EXPECT_EQ(table.find(two)->name, "two");
}

TEST(access, a_disabled_key_is_unknown_but_defined) {
  principal off = named("off");
  off.enabled = false;
  const key_table table{{{mac_of(1), off}}};
  EXPECT_EQ(table.find(mac_of(1)), nullptr);
  EXPECT_FALSE(table.empty());
  EXPECT_TRUE(key_table{}.empty());
  EXPECT_EQ(key_table{}.find(mac_of(1)), nullptr);
}

TEST(access, of_two_entries_with_the_same_hmac_the_first_counts) {
  principal off = named("first");
  off.enabled = false;
  const key_table table{{{mac_of(1), off}, {mac_of(1), named("second")}}};
  EXPECT_EQ(table.find(mac_of(1)), nullptr) << "a later entry does not revive a key that is switched off";
}

TEST(access, without_keys_everybody_is_the_local_admin) {
  const principal local = local_principal();
  EXPECT_EQ(local.name, "local");
  EXPECT_EQ(local.policy, "default");
  EXPECT_EQ(local.role, caller_role::admin);
  EXPECT_TRUE(local.enabled && may_use_project(local, "any") && may_use_channel(local, "ai:skill:run"));
}

// SEC-2
TEST(access, projects_and_channels_are_granted_by_exact_name) {
  principal who = named("who");
  who.projects = {"alpha"};
  who.channels = {"ai:skill:run"};
  EXPECT_TRUE(may_use_project(who, "alpha"));
  EXPECT_FALSE(may_use_project(who, "alpha2"));
  EXPECT_FALSE(may_use_project(who, ""));
  EXPECT_FALSE(may_use_project(who, "*")) << "a caller cannot ask for all";
  EXPECT_TRUE(may_use_channel(who, "ai:skill:run"));
  EXPECT_FALSE(may_use_channel(who, "ai:skill:cancel"));
  who.projects.clear();
  EXPECT_FALSE(may_use_project(who, "alpha"));
}

TEST(access, five_channels_need_an_admin) {
  for (const auto* channel : {"ai:config:update", "skill:registry:toggle", "cost:budget:update",
                              "cost:budget:reset", "cost:pricing:update"}) {
    EXPECT_TRUE(needs_admin(channel)) << channel;
  }
  for (const auto* channel : {"ai:config:get", "cost:budget:get", "ai:skill:run", ""}) {
    EXPECT_FALSE(needs_admin(channel)) << channel;
  }
}

}  // namespace
}  // namespace tidegate::policy
