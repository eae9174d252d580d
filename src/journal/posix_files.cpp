#include "journal/posix_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace tidegate::journal {

namespace {

std::unexpected<io_failure> failed(std::string_view act, const std::string& path, int code) {
  std::string what{act};
  what.append(" ").append(path).append(": ").append(std::strerror(code));
  return std::unexpected{io_failure{code, std::move(what)}};
}

// The folder that a path's last name stands in.
std::string folder_of(std::string_view path) {
  const auto name_end = path.find_last_not_of('/');
  if (name_end == std::string_view::npos) return std::string{path.substr(0, 1)};
  const auto slash = path.substr(0, name_end + 1).find_last_of('/');
  if (slash == std::string_view::npos) return ".";
  const auto folder_end = path.substr(0, slash).find_last_not_of('/');
  return folder_end == std::string_view::npos ? "/" : std::string{path.substr(0, folder_end + 1)};
}

class posix_file final : public file {
 public:
  posix_file(int descriptor, std::string path) : descriptor_{descriptor}, path_{std::move(path)} {}
  ~posix_file() override { ::close(descriptor_); }
  posix_file(const posix_file&) = delete;
  posix_file& operator=(const posix_file&) = delete;

  io<void> write(std::uint64_t offset, std::span<const std::string_view> pieces) override {
    constexpr std::size_t group_max = 256;
    std::array<iovec, group_max> group{};
    while (!pieces.empty()) {
      const std::size_t count = std::min(pieces.size(), group_max);
      for (std::size_t i = 0; i < count; ++i) {
        group[i] = {.iov_base = const_cast<char*>(pieces[i].data()), .iov_len = pieces[i].size()};
      }
      if (auto done = write_group(offset, std::span{group}.first(count)); !done) return done;
      pieces = pieces.subspan(count);
    }
    return {};
  }

  io<std::size_t> read(std::uint64_t offset, std::span<char> into) override {
    std::size_t got = 0;
    while (got < into.size()) {
      const ssize_t n =
          ::pread(descriptor_, into.data() + got, into.size() - got, static_cast<off_t>(offset + got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failed("read", path_, errno);
      if (n == 0) break;
      got += static_cast<std::size_t>(n);
    }
    return got;
  }

  io<std::uint64_t> size() override {
    struct stat about{};
    if (::fstat(descriptor_, &about) != 0) return failed("stat", path_, errno);
    return static_cast<std::uint64_t>(about.st_size);
  }

  io<void> truncate(std::uint64_t size) override {
    if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0) return failed("truncate", path_, errno);
    return {};
  }

  io<void> sync() override {
    if (::fdatasync(descriptor_) != 0) return failed("sync", path_, errno);
    return {};
  }

 private:
  // A short count is no failure: the rest is tried, and the system then says what is wrong.
  io<void> write_group(std::uint64_t& offset, std::span<iovec> group) {
    while (!group.empty()) {
      const ssize_t n =
          ::pwritev(descriptor_, group.data(), static_cast<int>(group.size()), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failed("write", path_, errno);
      offset += static_cast<std::uint64_t>(n);
      auto left = static_cast<std::size_t>(n);
      while (!group.empty() && left >= group.front().iov_len) {
        left -= group.front().iov_len;
        group = group.subspan(1);
      }
      if (group.empty()) break;
      if (n == 0) return failed("write", path_, EIO);
      group.front().iov_base = static_cast<char*>(group.front().iov_base) + left;
      group.front().iov_len -= left;
    }
    return {};
  }

  int descriptor_;
  std::string path_;
};

}  // namespace

io<std::unique_ptr<file>> posix_files::open(const std::string& path, open_mode mode) {
  int flags = O_CLOEXEC;
  if (mode == open_mode::read) flags |= O_RDONLY;
  if (mode == open_mode::update) flags |= O_RDWR;
  if (mode == open_mode::create) flags |= O_RDWR | O_CREAT | O_TRUNC;
  const int descriptor = ::open(path.c_str(), flags, S_IRUSR | S_IWUSR);
  if (descriptor < 0) return failed("open", path, errno);
  return std::make_unique<posix_file>(descriptor, path);
}

io<std::vector<std::string>> posix_files::list(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> opened{::opendir(directory.c_str()), ::closedir};
  if (!opened) return failed("list", directory, errno);
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(opened.get());
    if (entry == nullptr) break;
    struct stat about{};
    if (::fstatat(::dirfd(opened.get()), entry->d_name, &about, 0) == 0 && S_ISREG(about.st_mode)) {
      names.emplace_back(entry->d_name);
    }
  }
  if (errno != 0) return failed("list", directory, errno);
  std::ranges::sort(names);
  return names;
}

io<void> posix_files::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return failed("rename", from, errno);
  return {};
}

io<void> posix_files::remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return failed("remove", path, errno);
  return {};
}

io<void> posix_files::make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), S_IRWXU) != 0) {
    struct stat about{};
    if (errno == EEXIST && (::stat(path.c_str(), &about) != 0 || !S_ISDIR(about.st_mode)))
      return failed("make", path, ENOTDIR);
    if (errno == EEXIST) {
      // Whoever made it may have ended before its name was durable; where the folder above cannot be read, it
      // was made by somebody else.
      static_cast<void>(sync_directory(folder_of(path)));
      return {};
    }
    const std::string above = folder_of(path);
    if (errno != ENOENT || above == path) return failed("make", path, errno);
    if (auto made = make_directory(above); !made) return made;
    if (::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST) return failed("make", path, errno);
  }
  // What is made in it is durable only if its own name is.
  return sync_directory(folder_of(path));
}

io<void> posix_files::sync_directory(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return failed("open", path, errno);
  const int code = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (code != 0) return failed("sync", path, code);
  return {};
}

}  // namespace tidegate::journal
