// Sealing and the master key's file (CFG-4).
#include "storage/seal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>
#include <vector>

#include "kit/temporary_folder.h"

namespace tidegate::storage {
namespace {

using kit::temporary_folder;
using testing::HasSubstr;
using testing::Not;

constexpr const char* key_hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr const char* key_base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

sealer sealer_of(std::string_view master) { return *sealer::of(*master_key::parse(master)); }

std::string content_of(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

void write_file(const std::string& path, std::string_view text, mode_t mode) {
  std::ofstream{path, std::ios::binary} << text;
  ASSERT_EQ(::chmod(path.c_str(), mode), 0);
}

mode_t mode_of(const std::string& path) {
  struct stat facts{};
  EXPECT_EQ(::stat(path.c_str(), &facts), 0);
  return facts.st_mode & 07777;
}

TEST(master_key, takes_the_documented_forms_and_no_other) {
  const std::string same = master_key::parse(key_hex)->to_hex();
  EXPECT_EQ(same, key_hex);
  for (const std::string& text :
       {std::string{key_base64}, std::string{key_base64} + "=", "  " + std::string{key_hex} + "\n",
        std::string{"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"}}) {
    const auto key = master_key::parse(text);
    ASSERT_TRUE(key) << text;
    EXPECT_EQ(key->to_hex(), same);
  }
  const std::string url_safe(43, '_');  // its last character has bits beyond the 32nd byte
  for (const std::string& text :
       {std::string{}, std::string{"x"}, std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'g'),
        std::string(43, '!'), std::string(44, 'A'), url_safe, std::string{key_base64} + "=="}) {
    EXPECT_FALSE(master_key::parse(text)) << text;
  }
  EXPECT_EQ(master_key::parse(std::string(42, '_') + "8")->to_hex(), std::string(64, 'f'));
  EXPECT_EQ(master_key::parse(std::string(42, '/') + "8")->to_hex(), std::string(64, 'f'));
}

TEST(master_key, subkeys_differ_by_use_and_never_change) {
  const auto key = master_key::parse(key_hex);
  const auto bytes = [&](key_use use) {
    const auto sub = key->subkey(use);
    return std::vector<std::uint8_t>{sub->bytes().begin(), sub->bytes().end()};
  };
  EXPECT_EQ(bytes(key_use::sealing), bytes(key_use::sealing));
  EXPECT_NE(bytes(key_use::sealing), bytes(key_use::client_keys));
  EXPECT_NE(bytes(key_use::client_keys), bytes(key_use::fingerprint));
  // Part of the format on disk: BLAKE2b with the label as personalisation and subkey id 1, as crypto_kdf.
  EXPECT_EQ(key->fingerprint(), "431507afbf20deea");
}

TEST(sealer, opens_what_it_sealed) {
  const sealer seal = sealer_of(key_hex);
  for (const std::string& plain :
       {std::string{}, std::string{"sk-openai-byok-secret"}, std::string(4'095, 'a'), std::string(4'096, 'b'),
        std::string(4'097, 'c'), std::string(100'000, '\0')}) {
    const std::string sealed = seal.seal("secret/openai", plain);
    EXPECT_EQ(sealed.size(), plain.size() + sealer::overhead);
    EXPECT_EQ(seal.unseal("secret/openai", sealed), plain);
  }
  std::set<std::string> nonces;
  for (int i = 0; i < 1'000; ++i) nonces.insert(seal.seal("a", "same").substr(1, 24));
  EXPECT_EQ(nonces.size(), 1'000U) << "a nonce came twice";
  EXPECT_EQ(sealer_of(key_base64).unseal("a", seal.seal("a", "text")), "text");
}

TEST(sealer, any_altered_byte_is_found) {
  const sealer seal = sealer_of(key_hex);
  const std::string sealed = seal.seal("secret/openai", "sk-openai-byok-secret");
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    for (const int bit : {1, 128}) {
      std::string altered = sealed;
      altered[i] = static_cast<char>(altered[i] ^ bit);
      EXPECT_FALSE(seal.unseal("secret/openai", altered)) << "byte " << i;
    }
    EXPECT_FALSE(seal.unseal("secret/openai", sealed.substr(0, i))) << "cut at " << i;
  }
  EXPECT_FALSE(seal.unseal("secret/openai", sealed + '\0'));
}

TEST(sealer, another_record_or_key_does_not_open_it) {
  const sealer seal = sealer_of(key_hex);
  const std::string sealed = seal.seal("secret/openai", "sk-openai-byok-secret");
  EXPECT_FALSE(seal.unseal("secret/anthropic", sealed));
  EXPECT_FALSE(seal.unseal("", sealed));
  EXPECT_FALSE(sealer_of(std::string(64, '1')).unseal("secret/openai", sealed));
}

TEST(master_key_file, is_made_at_first_need_for_its_owner_only) {
  const temporary_folder folder;
  const master_key_source from{std::nullopt, folder.file("master.key")};
  const auto missing = find_master_key(from);
  ASSERT_TRUE(missing);
  EXPECT_FALSE(*missing);
  EXPECT_FALSE(std::filesystem::exists(from.file)) << "a look made it";
  const mode_t before = ::umask(0777);
  const auto made = find_or_make_master_key(from);
  ::umask(before);
  ASSERT_TRUE(made) << made.error();
  EXPECT_EQ(mode_of(from.file), 0600);
  EXPECT_EQ(content_of(from.file), made->to_hex() + "\n");
  const auto again = find_or_make_master_key(from);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->to_hex(), made->to_hex());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator{folder.path()}, {}), 1) << "something was left";
}

TEST(master_key_file, that_others_may_open_is_refused_and_left_alone) {
  const temporary_folder folder;
  const master_key_source from{std::nullopt, folder.file("master.key")};
  for (const mode_t mode : {0644U, 0640U, 0660U, 0601U, 0604U}) {
    write_file(from.file, std::string{key_hex} + "\n", mode);
    const auto found = find_or_make_master_key(from);
    ASSERT_FALSE(found) << std::oct << mode;
    EXPECT_THAT(found.error(), HasSubstr("0600"));
    EXPECT_THAT(found.error(), Not(HasSubstr(key_hex)));
    EXPECT_EQ(mode_of(from.file), mode);
  }
  for (const mode_t mode : {0600U, 0400U}) {
    write_file(from.file, key_hex, mode);
    EXPECT_TRUE(find_master_key(from).value());
    ASSERT_EQ(::chmod(from.file.c_str(), 0600), 0);
  }
}

TEST(master_key_file, malformed_or_no_file_is_refused_without_its_content) {
  const temporary_folder folder;
  const master_key_source from{std::nullopt, folder.file("master.key")};
  for (const std::string& text : {std::string{}, std::string{"hunter2hunter2"}, std::string(5'000, 'a')}) {
    write_file(from.file, text, 0600);
    const auto found = find_or_make_master_key(from);
    ASSERT_FALSE(found);
    EXPECT_THAT(found.error(), Not(HasSubstr("hunter2")));
    EXPECT_EQ(content_of(from.file), text);
  }
  EXPECT_FALSE(find_master_key({std::nullopt, folder.path()})) << "a folder";
  const std::string pipe = folder.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(find_master_key({std::nullopt, pipe}));
  EXPECT_FALSE(find_or_make_master_key({std::nullopt, folder.file("not/there/master.key")}))
      << "not creatable";
}

TEST(master_key_file, of_many_makers_all_get_one_key) {
  const temporary_folder folder;
  const master_key_source from{std::nullopt, folder.file("master.key")};
  std::vector<std::string> keys(8);
  std::vector<std::thread> threads;
  for (std::string& key : keys) {
    threads.emplace_back([&] {
      const auto made = find_or_make_master_key(from);
      EXPECT_TRUE(made) << made.error();
      if (made) key = made->to_hex();
    });
  }
  for (std::thread& t : threads) t.join();
  for (const std::string& key : keys) EXPECT_EQ(key, keys.front());
}

TEST(master_key_source, the_environment_comes_first_and_must_be_right) {
  const temporary_folder folder;
  const auto found = find_or_make_master_key({key_hex, folder.file("master.key")});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->to_hex(), key_hex);
  const auto wrong = find_or_make_master_key({"hunter2", folder.file("master.key")});
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error(), HasSubstr("TIDEGATE_MASTER_KEY"));
  EXPECT_THAT(wrong.error(), Not(HasSubstr("hunter2")));
  EXPECT_FALSE(std::filesystem::exists(folder.file("master.key")));
}

}  // namespace
}  // namespace tidegate::storage
