// One contract for every file system that the journal may be given.
#include "journal/files.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "journal/posix_files.h"
#include "journal/simulated_disk.h"

namespace tidegate::journal {
namespace {

struct posix_world {
  posix_world() : root{testing::TempDir() + "tidegate-files-XXXXXX"} {
    if (::mkdtemp(root.data()) == nullptr) ADD_FAILURE() << "no temporary folder";
  }
  ~posix_world() { std::filesystem::remove_all(root); }
  posix_files files;
  std::string root;
};

struct simulated_world {
  simulated_disk files;
  std::string root = "root";
};

template <typename World>
class file_system_contract : public testing::Test {
 protected:
  World world;
  file_system& files = world.files;
  std::string dir = world.root + "/a/b";

  void SetUp() override { ASSERT_TRUE(files.make_directory(dir)); }
  void write(const std::string& name, std::string_view bytes) {
    auto opened = files.open(dir + '/' + name, open_mode::create);
    ASSERT_TRUE(opened);
    const std::array pieces{bytes};
    ASSERT_TRUE((*opened)->write(0, pieces));
    ASSERT_TRUE((*opened)->sync());
  }
  std::string read(const std::string& name) {
    return read_whole(files, dir + '/' + name, 1 << 20).value_or("(unreadable)");
  }
};

using worlds = testing::Types<posix_world, simulated_world>;
TYPED_TEST_SUITE(file_system_contract, worlds);

TYPED_TEST(file_system_contract, pieces_are_written_one_behind_the_other) {
  this->write("x", "0123456789");
  auto opened = this->files.open(this->dir + "/x", open_mode::update);
  ASSERT_TRUE(opened);
  const std::array<std::string_view, 4> pieces{"ab", "", "cd", "e"};
  ASSERT_TRUE((*opened)->write(8, pieces));
  EXPECT_EQ(this->read("x"), "01234567abcde");
  EXPECT_EQ((*opened)->size(), 13U);
  char some[4];
  EXPECT_EQ((*opened)->read(11, some), 2U);
  EXPECT_EQ((*opened)->read(100, some), 0U);
  ASSERT_TRUE((*opened)->truncate(3));
  EXPECT_EQ(this->read("x"), "012");
}

TYPED_TEST(file_system_contract, takes_more_pieces_than_one_call_does) {
  this->write("x", "");
  auto opened = this->files.open(this->dir + "/x", open_mode::update);
  ASSERT_TRUE(opened);
  const std::vector<std::string_view> pieces(3000, "ab");
  ASSERT_TRUE((*opened)->write(0, pieces));
  EXPECT_EQ((*opened)->size(), 6000U);
}

TYPED_TEST(file_system_contract, lists_renames_and_removes) {
  this->write("b", "1");
  this->write("a", "2");
  EXPECT_EQ(this->files.list(this->dir), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(this->files.rename(this->dir + "/b", this->dir + "/a"));
  EXPECT_EQ(this->files.list(this->dir), std::vector<std::string>{"a"});
  EXPECT_EQ(this->read("a"), "1");
  ASSERT_TRUE(this->files.remove(this->dir + "/a"));
  EXPECT_EQ(this->files.list(this->dir), std::vector<std::string>{});
}

TYPED_TEST(file_system_contract, says_what_is_not_there) {
  EXPECT_EQ(this->files.open(this->dir + "/none", open_mode::read).error().code, ENOENT);
  EXPECT_EQ(this->files.open(this->dir + "/none", open_mode::update).error().code, ENOENT);
  EXPECT_EQ(this->files.remove(this->dir + "/none").error().code, ENOENT);
  EXPECT_EQ(read_whole(this->files, this->dir + "/none", 10).error().code, ENOENT);
}

TYPED_TEST(file_system_contract, a_whole_file_is_replaced_and_bounded) {
  ASSERT_TRUE(replace_whole(this->files, this->dir, "x", "one"));
  ASSERT_TRUE(replace_whole(this->files, this->dir, "x", "three"));
  EXPECT_EQ(this->read("x"), "three");
  EXPECT_EQ(this->files.list(this->dir), std::vector<std::string>{"x"});
  EXPECT_EQ(read_whole(this->files, this->dir + "/x", 4).error().code, EFBIG);
}

TEST(posix_files, keeps_what_it_makes_to_its_owner) {
  posix_world world;
  const std::string dir = world.root + "/journal";
  ASSERT_TRUE(world.files.make_directory(dir));
  ASSERT_TRUE(world.files.open(dir + "/x", open_mode::create));
  struct stat about{};
  ASSERT_EQ(::stat(dir.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0700U);
  ASSERT_EQ(::stat((dir + "/x").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
}

TEST(posix_files, makes_what_is_missing_above_and_takes_what_is_there) {
  posix_world world;
  for (const char* name : {"/a/b/c", "/a//d/", "/a/b/c", "/e"}) {
    ASSERT_TRUE(world.files.make_directory(world.root + name)) << name;
    struct stat about{};
    ASSERT_EQ(::stat((world.root + name).c_str(), &about), 0) << name;
    EXPECT_TRUE(S_ISDIR(about.st_mode));
  }
  ASSERT_TRUE(world.files.open(world.root + "/file", open_mode::create));
  EXPECT_EQ(world.files.make_directory(world.root + "/file").error().code, ENOTDIR);
  EXPECT_FALSE(world.files.make_directory(world.root + "/file/below"));
  EXPECT_EQ(world.files.make_directory("").error().code, ENOENT);
}

TEST(posix_files, reports_a_full_disk) {
  posix_files files;
  auto full = files.open("/dev/full", open_mode::update);
  if (!full) GTEST_SKIP() << "no /dev/full here";
  const std::array<std::string_view, 1> pieces{"x"};
  const auto done = (*full)->write(0, pieces);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ENOSPC);
  EXPECT_EQ(done.error().what, "write /dev/full: No space left on device");
}

}  // namespace
}  // namespace tidegate::journal
