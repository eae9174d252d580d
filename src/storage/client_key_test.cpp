// The text of client keys and their MAC (SEC-1).
#include "storage/client_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

namespace tidegate::storage {
namespace {

std::array<std::uint8_t, 32> counting() {
  std::array<std::uint8_t, 32> bytes{};
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

std::vector<std::uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

// Made with Python: base64.urlsafe_b64encode and zlib.crc32.
TEST(client_key_text, agrees_with_its_description) {
  EXPECT_EQ(format_client_key(std::array<std::uint8_t, 32>{}),
            "tg-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADCtZhg");
  EXPECT_EQ(format_client_key(counting()), "tg-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh876rsaQ");
  std::array<std::uint8_t, 32> ones{};
  ones.fill(0xff);
  EXPECT_EQ(format_client_key(ones), "tg-__________________________________________8FOEOpQ");
}

TEST(client_key_text, new_keys_are_well_formed_and_never_the_same) {
  std::set<std::string> seen;
  for (int i = 0; i < 1'000; ++i) {
    const std::string key = make_client_key();
    EXPECT_EQ(key.size(), client_key_length);
    EXPECT_TRUE(well_formed_client_key(key)) << key;
    EXPECT_TRUE(seen.insert(key).second);
  }
}

TEST(client_key_text, every_typing_error_is_told) {
  const std::string key = format_client_key(counting());
  for (std::size_t i = 0; i < key.size(); ++i) {
    for (const char c : {'A', 'z', '0', '-', '_', '=', ' ', '\0', '\xff'}) {
      if (key[i] == c) continue;
      std::string wrong = key;
      wrong[i] = c;
      EXPECT_FALSE(well_formed_client_key(wrong)) << wrong;
    }
    EXPECT_FALSE(well_formed_client_key(key.substr(0, i)));
  }
  std::string swapped = key;
  std::swap(swapped[5], swapped[6]);
  EXPECT_FALSE(well_formed_client_key(swapped));
  EXPECT_FALSE(well_formed_client_key(key + "A"));
  EXPECT_FALSE(well_formed_client_key("sk-" + key.substr(3)));
}

struct mac_vector {
  std::vector<std::uint8_t> key;
  std::string text;
  std::string mac;
};

// RFC 4231, test cases 1 to 4, 6 and 7.
TEST(key_mac, agrees_with_rfc_4231) {
  std::vector<std::uint8_t> counted(25);
  std::iota(counted.begin(), counted.end(), std::uint8_t{1});
  const mac_vector vectors[] = {
      {std::vector<std::uint8_t>(20, 0x0b), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {bytes_of("Jefe"), "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::vector<std::uint8_t>(20, 0xaa), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {counted, std::string(50, '\xcd'), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {std::vector<std::uint8_t>(131, 0xaa), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {std::vector<std::uint8_t>(131, 0xaa),
       "This is a test using a larger than block-size key and a larger than block-size data. The key needs "
       "to be "
       "hashed before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
  };
  for (const mac_vector& v : vectors) {
    EXPECT_EQ(format_mac(key_mac{v.key}.of_text(v.text)), "hmac-sha256:" + v.mac);
  }
}

TEST(key_mac, text_form_reads_back_and_nothing_else_does) {
  const key_mac mac{counting()};
  const mac_bytes value = mac.of_text(format_client_key(counting()));
  EXPECT_EQ(format_mac(value),
            "hmac-sha256:02f7313547d5c31f3ea1161cc4b828a59e6ac2bfebdaafc7cc7a702bc2a787ba");
  EXPECT_EQ(parse_mac(format_mac(value)), value);
  EXPECT_EQ(parse_mac("hmac-sha256:" + std::string(64, 'F'))->front(), 0xff);
  for (const std::string& text :
       {std::string{}, std::string{"hmac-sha256:"}, "hmac-sha256:" + std::string(63, '0'),
        "hmac-sha256:" + std::string(65, '0'), "hmac-sha256:" + std::string(64, 'g'),
        "sha256:" + std::string(64, '0')}) {
    EXPECT_FALSE(parse_mac(text)) << text;
  }
  mac_bytes other = value;
  EXPECT_TRUE(equal_macs(value, other));
  other.back() ^= 1;
  EXPECT_FALSE(equal_macs(value, other));
}

TEST(key_mac, is_of_the_master_key_and_safe_from_many_threads) {
  const auto one = master_key::parse(std::string(64, '1'));
  const auto two = master_key::parse(std::string(64, '2'));
  const auto mac = key_mac::of(*one);
  const std::string key = make_client_key();
  const mac_bytes expected = mac->of_text(key);
  EXPECT_NE(key_mac::of(*two)->of_text(key), expected);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1'000; ++i) EXPECT_EQ(mac->of_text(key), expected);
    });
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace tidegate::storage
