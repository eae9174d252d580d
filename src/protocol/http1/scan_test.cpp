// The vector scans against the plain definition, for every byte at every place of a block.
#include "protocol/http1/scan.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tidegate::protocol::http1 {
namespace {

template <class Find>
void expect_first(Find&& find, bool (*stops)(char), char filler) {
  for (std::size_t size = 0; size <= 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        // Exact size, so that a sanitizer sees any read beyond it.
        std::vector<char> text(size, filler);
        text[at] = static_cast<char>(byte);
        ASSERT_EQ(find(text.data(), size), stops(text[at]) ? at : size) << size << ' ' << at << ' ' << byte;
      }
    }
  }
}

TEST(http1_scan, finds_the_first_control_byte) {
  const auto find = [](const char* bytes, std::size_t size) { return find_control(bytes, 0, size); };
  expect_first(find, [](char c) { return is_control(c); }, 'x');
  expect_first(find, [](char c) { return is_control(c); }, '\t');
}

TEST(http1_scan, finds_the_end_of_a_token) {
  const auto find = [](const char* bytes, std::size_t size) { return find_token_end(bytes, size); };
  expect_first(find, [](char c) { return !has_class(c, token_byte); }, 'x');
  expect_first(find, [](char c) { return !has_class(c, token_byte); }, '_');
}

TEST(http1_scan, tokens_are_those_of_the_standard) {  // RFC 9110 5.6.2
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool mark = c != '\0' && std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
    EXPECT_EQ(has_class(c, token_byte), alphanumeric || mark) << byte;
  }
}

TEST(http1_scan, all_of_class_looks_at_every_byte) {
  EXPECT_TRUE(all_of_class("", token_byte));
  EXPECT_TRUE(all_of_class("abc", token_byte));
  EXPECT_FALSE(all_of_class("a c", token_byte));
  EXPECT_FALSE(all_of_class("ab ", token_byte));
}

}  // namespace
}  // namespace tidegate::protocol::http1
