#include "app/configuration_values.h"

#include <gtest/gtest.h>

namespace tidegate::app {
namespace {

TEST(durations, units_add_up_in_falling_order) {
  EXPECT_EQ(parse_duration("250ms"), milliseconds{250});
  EXPECT_EQ(parse_duration("15m"), milliseconds{900'000});
  EXPECT_EQ(parse_duration("1h30m"), milliseconds{5'400'000});
  EXPECT_EQ(parse_duration("2d"), milliseconds{172'800'000});
  EXPECT_EQ(parse_duration("1s500ms"), milliseconds{1'500});
  EXPECT_EQ(parse_duration("0"), milliseconds{0});
  EXPECT_EQ(parse_duration("0s"), milliseconds{0});
  EXPECT_EQ(parse_duration("87600h"), milliseconds{315'360'000'000});
}

TEST(durations, anything_else_is_refused) {
  for (const char* text :
       {"", "5", "s", "-1s", "1.5s", "1 s", " 1s", "1s ", "30m1h", "1m1m", "1x", "1S", "1ms1s", "87601h",
        "99999999999999999999s", "18446744073709551615ms", "1s\n", "+1s", "0x1s"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
}

TEST(durations, format_reads_back_equal) {
  EXPECT_EQ(format_duration(milliseconds{0}), "0s");
  EXPECT_EQ(format_duration(milliseconds{60'000}), "60s");
  EXPECT_EQ(format_duration(milliseconds{125'000}), "125s");
  EXPECT_EQ(format_duration(milliseconds{900'000}), "15m");
  EXPECT_EQ(format_duration(milliseconds{86'400'000}), "24h");
  EXPECT_EQ(format_duration(milliseconds{1'001}), "1001ms");
  for (std::int64_t ms = 0; ms < 20'000'000; ms += 7'919) {
    EXPECT_EQ(parse_duration(format_duration(milliseconds{ms})), milliseconds{ms});
  }
}

TEST(sizes, binary_units_only) {
  EXPECT_EQ(parse_size("10MiB"), 10 * mebibyte);
  EXPECT_EQ(parse_size("512B"), 512);
  EXPECT_EQ(parse_size("1MiB1KiB"), mebibyte + kibibyte);
  EXPECT_EQ(parse_size("0"), 0);
  for (const char* text :
       {"", "10", "10MB", "10mib", "-1B", "1.5MiB", "10 MiB", "9007199254740992B", "9999999TiB"}) {
    EXPECT_EQ(parse_size(text), std::nullopt) << text;
  }
}

TEST(sizes, format_reads_back_equal) {
  EXPECT_EQ(format_size(0), "0B");
  EXPECT_EQ(format_size(32 * kibibyte), "32KiB");
  EXPECT_EQ(format_size(1'025), "1025B");
  for (std::uint64_t bytes = 0; bytes < 10 * mebibyte; bytes += 4'099) {
    EXPECT_EQ(parse_size(format_size(bytes)), bytes);
  }
}

TEST(listen_addresses, forms_of_an_address) {
  const auto v4 = parse_listen("127.0.0.1:8787");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->host, "127.0.0.1");
  EXPECT_EQ(v4->port, 8787);
  const auto v6 = parse_listen("[::1]:0");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, 0);
  const auto unix_socket = parse_listen("unix:/run/tidegate.sock");
  ASSERT_TRUE(unix_socket);
  EXPECT_EQ(unix_socket->unix_path, "/run/tidegate.sock");
  EXPECT_TRUE(parse_listen("localhost:80"));
}

TEST(listen_addresses, what_is_none_is_refused) {
  for (const char* text :
       {"", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", "127.0.0.256:80", "::1:80",
        "[::1]", "[]:80", "[127.0.0.1]:80", "unix:", "unix:relative", "a b:80", "a/b:80", "http://h:80",
        "127.0.0.1:-1", "127.0.0.1:+1"}) {
    EXPECT_FALSE(parse_listen(text)) << text;
  }
  EXPECT_FALSE(parse_listen("unix:/" + std::string(107, 'a')));
}

TEST(listen_addresses, loopback_is_told_from_the_rest) {
  for (const char* text :
       {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "[::ffff:127.0.0.1]:1", "unix:/s"}) {
    EXPECT_TRUE(parse_listen(text)->is_loopback()) << text;
  }
  for (const char* text :
       {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "gateway:1", "[::ffff:10.0.0.1]:1", "localhost.evil:1"}) {
    EXPECT_FALSE(parse_listen(text)->is_loopback()) << text;
  }
}

TEST(key_hashes, hex_or_base64url_of_32_bytes) {
  EXPECT_TRUE(is_key_hash("hmac-sha256:" + std::string(64, 'a')));
  EXPECT_TRUE(is_key_hash("hmac-sha256:" + std::string(42, 'Z') + "_"));
  EXPECT_FALSE(is_key_hash("hmac-sha256:" + std::string(64, 'g')));
  EXPECT_FALSE(is_key_hash("hmac-sha256:"));
  EXPECT_FALSE(is_key_hash("sha256:" + std::string(64, 'a')));
  EXPECT_FALSE(is_key_hash("tg-" + std::string(43, 'a')));
}

TEST(suggestions, a_slip_of_the_hand_is_recognised) {
  const std::string_view known[] = {"listen", "threads", "max_body"};
  EXPECT_EQ(closest("lisen", known), "listen");
  EXPECT_EQ(closest("Listen", known), "listen");
  EXPECT_EQ(closest("maxbody", known), "max_body");
  EXPECT_EQ(closest("quantum", known), "");
  EXPECT_EQ(closest(std::string(100'000, 'x'), known), "");
}

}  // namespace
}  // namespace tidegate::app
