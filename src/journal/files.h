// The journal's one seam to the disk. Everything it reads, writes, syncs, renames and removes goes through
// here, so that a test can lose unsynced bytes and fail the Nth operation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::journal {

// An operation that the system refused. `code` is an errno value; `what` says it for a person, with the path.
struct io_failure {
  int code = 0;
  std::string what;
};

template <typename T>
using io = std::expected<T, io_failure>;

class file {
 public:
  virtual ~file() = default;
  // Writes all pieces, one behind the other, from `offset` on. After a failure any part of them may be there.
  virtual io<void> write(std::uint64_t offset, std::span<const std::string_view> pieces) = 0;
  // Reads up to `into.size()` bytes; fewer only at the end of the file.
  virtual io<std::size_t> read(std::uint64_t offset, std::span<char> into) = 0;
  virtual io<std::uint64_t> size() = 0;
  virtual io<void> truncate(std::uint64_t size) = 0;
  // Contents and size survive a power cut once this has returned (fdatasync).
  virtual io<void> sync() = 0;
};

// `create` empties a file that is there. Created files are 0600, directories 0700.
enum class open_mode : std::uint8_t { read, update, create };

class file_system {
 public:
  virtual ~file_system() = default;
  virtual io<std::unique_ptr<file>> open(const std::string& path, open_mode mode) = 0;
  // Plain names of regular files, sorted.
  virtual io<std::vector<std::string>> list(const std::string& directory) = 0;
  virtual io<void> rename(const std::string& from, const std::string& to) = 0;
  virtual io<void> remove(const std::string& path) = 0;
  // Makes the directory and what is missing above it; one that is there is no failure.
  virtual io<void> make_directory(const std::string& path) = 0;
  // Names made, renamed and removed in it survive a power cut once this has returned.
  virtual io<void> sync_directory(const std::string& path) = 0;
};

// Up to `size_max` bytes of a file; a longer one is a failure (EFBIG).
io<std::string> read_whole(file_system& files, const std::string& path, std::uint64_t size_max);
// The file then holds exactly `bytes`, durably, or what it held before: written beside it, synced, renamed.
io<void> replace_whole(file_system& files, const std::string& directory, const std::string& name,
                       std::string_view bytes);

}  // namespace tidegate::journal
