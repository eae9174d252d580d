#include "journal/record.h"

#include <gtest/gtest.h>

#include "foundation/random.h"
#include "journal/batch.h"
#include "journal/crc32c.h"

namespace tidegate::journal {
namespace {

using foundation::milliseconds;
using foundation::wall_time;

// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
TEST(crc32c, gives_the_published_sums) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(crc32c, the_portable_way_gives_the_same_sums) {
  foundation::random_source random{7};
  for (std::size_t size = 0; size < 200; ++size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(random.below(256));
    ASSERT_EQ(crc32c(bytes), crc32c_portable(bytes)) << size;
  }
}

TEST(digest, gives_the_published_hash_and_reads_its_own_text) {
  hasher hash;
  const digest value = hash("abc");
  EXPECT_EQ(to_hex(value), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_from_hex(to_hex(value)), value);
  EXPECT_FALSE(digest_from_hex("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"));
  EXPECT_FALSE(digest_from_hex("ba78"));
}

std::string sealed(std::string_view payload) {
  std::string bytes;
  append_unsealed(bytes, record_type::event, wall_time{milliseconds{1'700'000'000'123}}, payload);
  digest previous;
  previous.fill(std::byte{0xAB});
  seal_record(bytes.data(), 42, 40, previous);
  return bytes;
}

TEST(record, reads_back_what_was_written) {
  const std::string bytes = sealed(R"({"event":"x"})") + "what follows";
  const auto parsed = parse_record(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->view.sequence, 42U);
  EXPECT_EQ(parsed->view.time, wall_time{milliseconds{1'700'000'000'123}});
  EXPECT_EQ(parsed->view.type, record_type::event);
  EXPECT_EQ(parsed->view.payload, R"({"event":"x"})");
  EXPECT_EQ(parsed->synced, 40U);
  EXPECT_EQ(parsed->previous[31], std::byte{0xAB});
  EXPECT_EQ(parsed->bytes.size(), record_header_size + 13);
}

TEST(record, no_bit_can_change_unnoticed) {
  const std::string bytes = sealed(R"({"event":"x","n":1})");
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(parse_record(changed)) << bit;
  }
}

TEST(record, a_part_of_it_is_incomplete) {
  const std::string bytes = sealed(R"({"event":"x"})");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto parsed = parse_record(std::string_view{bytes}.substr(0, size));
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error(), record_fault::incomplete) << size;
  }
}

TEST(record, another_version_is_told_from_damage) {
  std::string bytes = sealed(R"({"event":"x"})");
  bytes[10] = 2;
  digest previous{};
  seal_record(bytes.data(), 42, 40, previous);  // a sum that holds
  const auto parsed = parse_record(bytes);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error(), record_fault::version);
}

TEST(record, is_found_again_by_its_marker) {
  const std::string bytes = std::string(100, 'x') + sealed(R"({"event":"x"})");
  EXPECT_EQ(find_record(bytes, 0), 100U);
  EXPECT_EQ(find_record(bytes, 101), std::string_view::npos);
}

TEST(segment_header, reads_back_what_was_written_and_notices_any_change) {
  segment_header header{7, wall_time{milliseconds{99}}, {}};
  header.previous.fill(std::byte{3});
  const std::string bytes = to_bytes(header);
  ASSERT_EQ(bytes.size(), segment_header_size);
  const auto parsed = parse_segment_header(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->first, 7U);
  EXPECT_EQ(parsed->created, header.created);
  EXPECT_EQ(parsed->previous, header.previous);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(parse_segment_header(changed)) << bit;
  }
}

TEST(names, carry_their_number) {
  EXPECT_EQ(segment_name(1), "00000000000000000001.seg");
  EXPECT_EQ(number_in_name(segment_name(123), ".seg"), 123U);
  EXPECT_EQ(number_in_name(state_name(123), ".state"), 123U);
  EXPECT_FALSE(number_in_name("1.seg", ".seg"));
  EXPECT_FALSE(number_in_name("0000000000000000000x.seg", ".seg"));
  EXPECT_FALSE(number_in_name("00000000000000000001.seg.tmp", ".seg"));
}

TEST(batch, refuses_what_no_record_can_hold) {
  batch records;
  EXPECT_TRUE(records.add({}, std::string(payload_max, 'x')));
  EXPECT_FALSE(records.spoilt());
  EXPECT_FALSE(records.add({}, std::string(payload_max + 1, 'x')));
  EXPECT_TRUE(records.spoilt());
  EXPECT_EQ(records.count(), 1U);
  records.clear();
  EXPECT_FALSE(records.spoilt());
  EXPECT_TRUE(records.empty());
}

}  // namespace
}  // namespace tidegate::journal
