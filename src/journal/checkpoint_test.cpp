#include "journal/checkpoint.h"

#include <gtest/gtest.h>

#include <cstring>

#include "journal/housekeeping.h"

namespace tidegate::journal {
namespace {

signing_key::seed seed_of(std::string_view hex) { return *digest_from_hex(hex); }

// RFC 8032, section 7.1, test 1.
constexpr std::string_view rfc_secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
constexpr std::string_view rfc_public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

checkpoint signed_checkpoint(const signing_key& key) {
  checkpoint c;
  c.count = 1000;
  c.head.fill(std::byte{0x5A});
  c.time = foundation::wall_time{foundation::milliseconds{1'700'000'000'123}};
  key.sign(c);
  return c;
}

TEST(signing_key, has_the_published_public_key) {
  const signing_key key{seed_of(rfc_secret)};
  EXPECT_EQ(to_hex(key.verifying()), rfc_public);
}

TEST(signing_key, derives_a_secret_for_each_purpose) {
  const signing_key key{seed_of(rfc_secret)};
  const signing_key same{seed_of(rfc_secret)};
  EXPECT_EQ(key.derive("a"), same.derive("a"));
  EXPECT_NE(key.derive("a"), key.derive("b"));
  EXPECT_NE(key.derive("a"), signing_key{signing_key::make_seed()}.derive("a"));
  // HKDF-SHA-256 as python3's hmac computes it from RFC 5869.
  EXPECT_EQ(to_hex(digest{key.derive("credential fingerprints")}),
            "88d17f4212f7c4dea000ce29e26352b19b87295a0ad93a28e5e5a8f12912b9fb");
}

TEST(signing_key, reads_its_own_file_and_no_other) {
  const signing_key::seed seed = signing_key::make_seed();
  EXPECT_EQ(parse_seed(format_seed(seed)), seed);
  EXPECT_FALSE(parse_seed(""));
  EXPECT_FALSE(parse_seed(std::string{rfc_secret}));
  EXPECT_FALSE(parse_seed(std::string(64, 'g') + '\n'));
}

TEST(checkpoint, its_line_reads_back_to_the_byte) {
  const checkpoint c = signed_checkpoint(signing_key{seed_of(rfc_secret)});
  const std::string line = to_line(c);
  EXPECT_TRUE(line.starts_with(R"({"count":1000,"head":"5a5a)")) << line;
  const auto read = checkpoint_of_line(line);
  ASSERT_TRUE(read);
  EXPECT_EQ(to_line(*read), line);
  for (const char* odd : {"", "{}", "[]", "null", R"({"count":1})"})
    EXPECT_FALSE(checkpoint_of_line(odd)) << odd;
  EXPECT_FALSE(checkpoint_of_line(line + ' '));
  EXPECT_FALSE(checkpoint_of_line(' ' + line));
}

TEST(checkpoint, a_signature_holds_for_what_was_signed_only) {
  const signing_key key{seed_of(rfc_secret)};
  const verifier check{key.verifying()};
  const checkpoint good = signed_checkpoint(key);
  EXPECT_TRUE(check.holds(good));
  checkpoint c = good;
  ++c.count;
  EXPECT_FALSE(check.holds(c));
  c = good;
  c.head[0] ^= std::byte{1};
  EXPECT_FALSE(check.holds(c));
  c = good;
  c.time += foundation::milliseconds{1};
  EXPECT_FALSE(check.holds(c));
  c = good;
  c.signed_by[63] ^= std::byte{0x80};
  EXPECT_FALSE(check.holds(c));
  c = good;
  signing_key{signing_key::make_seed()}.sign(c);
  EXPECT_FALSE(check.holds(c)) << "another key's";
}

TEST(housekeeping, payloads_read_back_to_the_byte) {
  digest some;
  some.fill(std::byte{0xC3});
  const std::string state = to_payload(state_note{7, 99, some});
  EXPECT_TRUE(state.starts_with(R"({"event":"journal_state","sequence":7,"size":99,"sha256":"c3c3)"))
      << state;
  ASSERT_TRUE(state_of_payload(state));
  EXPECT_EQ(state_of_payload(state)->size, 99U);
  EXPECT_FALSE(state_of_payload(state + '\n'));
  const std::string trim = to_payload(trim_note{12, some});
  EXPECT_TRUE(trim.starts_with(R"({"event":"journal_trimmed","first":12,"previous":"c3c3)")) << trim;
  ASSERT_TRUE(trim_of_payload(trim));
  EXPECT_EQ(trim_of_payload(trim)->previous, some);
  EXPECT_FALSE(trim_of_payload(state));
}

}  // namespace
}  // namespace tidegate::journal
