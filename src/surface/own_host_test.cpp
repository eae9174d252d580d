#include "surface/own_host.h"

#include <gtest/gtest.h>

namespace tidegate::surface {
namespace {

TEST(own_host, a_port_and_brackets_are_no_part_of_the_name) {
  EXPECT_EQ(host_of("localhost:8788"), "localhost");
  EXPECT_EQ(host_of("localhost"), "localhost");
  EXPECT_EQ(host_of("[::1]:8788"), "::1");
  EXPECT_EQ(host_of("[::1"), "");
  EXPECT_EQ(host_of(""), "");
}

TEST(own_host, only_names_that_nobody_else_can_give_are_the_loopbacks) {
  for (const char* const name :
       {"localhost", "LocalHost", "localhost.", "app.localhost", "127.0.0.1", "127.8.9.10", "::1"})
    EXPECT_TRUE(is_loopback_name(name)) << name;
  for (const char* const name : {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                                 "127.1", "1270.0.0.1", "10.0.0.1", "::2", "notlocalhost", "0.0.0.0"})
    EXPECT_FALSE(is_loopback_name(name)) << name;
}

TEST(own_host, an_address_is_no_name) {
  for (const char* const host : {"10.0.0.1", "127.0.0.1", "::1", "fe80::1"})
    EXPECT_TRUE(is_address(host)) << host;
  for (const char* const host : {"", "localhost", "evil.example", "10.0.0.1.evil.example", "10.1"})
    EXPECT_FALSE(is_address(host)) << host;
}

}  // namespace
}  // namespace tidegate::surface
