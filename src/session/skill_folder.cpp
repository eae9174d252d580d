#include "session/skill_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

namespace tidegate::session {
namespace {

// More names than this are not even looked at.
constexpr std::size_t names_max = 10'000;

std::string reason(int code) { return std::generic_category().message(code); }

struct close_directory {
  void operator()(DIR* directory) const { closedir(directory); }
};

class descriptor {
 public:
  explicit descriptor(int fd) : fd_{fd} {}
  ~descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

bool is_skill_name(std::string_view name) {
  return !name.starts_with('.') && name.ends_with(".md") && name.size() > 3;
}

// Up to `bytes_max` + 1 bytes.
std::expected<std::string, int> read_some(int fd, std::size_t bytes_max) {
  std::string text(bytes_max + 1, '\0');
  std::size_t fill = 0;
  while (fill < text.size()) {
    const ssize_t got = read(fd, text.data() + fill, text.size() - fill);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected{errno};
    if (got == 0) break;
    fill += static_cast<std::size_t>(got);
  }
  text.resize(fill);
  return text;
}

// Nothing for what is no regular file of this very directory.
std::optional<folder_file> read_file(int directory, std::string name, std::size_t bytes_max) {
  struct stat status{};
  if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) {
    return std::nullopt;
  }
  folder_file file{std::move(name), std::nullopt, {}, false};
  // What the name stands for may have changed since: it is asked once more of what was opened.
  const descriptor opened{
      openat(directory, file.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
  if (opened.get() < 0) {
    if (errno == ELOOP || errno == ENOENT) return std::nullopt;
    file.fault = reason(errno);
    return file;
  }
  if (fstat(opened.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  auto text = read_some(opened.get(), bytes_max);
  if (!text) {
    file.fault = reason(text.error());
  } else if (text->size() > bytes_max) {
    file.too_large = true;
    file.fault = "larger than " + std::to_string(bytes_max) + " bytes";
  } else {
    file.text = *std::move(text);
  }
  return file;
}

}  // namespace

std::expected<folder_content, std::string> read_skill_folder(const std::string& path, std::size_t files_max,
                                                             std::size_t bytes_max) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return std::unexpected{path + ": " + reason(errno)};
  const std::unique_ptr<DIR, close_directory> directory{fdopendir(fd)};
  if (directory == nullptr) {
    const int code = errno;
    close(fd);
    return std::unexpected{path + ": " + reason(code)};
  }
  folder_content content;
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* const entry = readdir(directory.get())) {
    if (is_skill_name(entry->d_name)) names.emplace_back(entry->d_name);
    if (names.size() == names_max) break;
  }
  if (errno != 0) return std::unexpected{path + ": " + reason(errno)};
  std::ranges::sort(names);
  for (std::string& name : names) {
    auto file = read_file(dirfd(directory.get()), std::move(name), bytes_max);
    if (!file) continue;
    if (content.files.size() == files_max) {
      content.cut = true;
      break;
    }
    content.files.push_back(*std::move(file));
  }
  return content;
}

}  // namespace tidegate::session
