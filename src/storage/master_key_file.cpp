#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include "storage/seal.h"

namespace tidegate::storage {
namespace {

// A key's file is one line; what is longer is another file.
constexpr std::size_t key_file_max = 256;

class descriptor {
 public:
  explicit descriptor(int number) : number_{number} {}
  ~descriptor() { close(); }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  int number() const { return number_; }
  bool open() const { return number_ >= 0; }
  bool close() { return number_ < 0 || ::close(std::exchange(number_, -1)) == 0; }

 private:
  int number_;
};

std::unexpected<std::string> refuse(const std::string& path, std::string_view why) {
  return std::unexpected{"master key " + path + ": " + std::string{why}};
}

std::unexpected<std::string> refuse_with_errno(const std::string& path, int error_number) {
  return refuse(path, std::generic_category().message(error_number));
}

// At most key_file_max + 1 bytes.
std::expected<std::string, int> read_line(int from) {
  std::string text(key_file_max + 1, '\0');
  std::size_t length = 0;
  while (length < text.size()) {
    const ssize_t count = ::read(from, text.data() + length, text.size() - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected{errno};
    if (count == 0) break;
    length += static_cast<std::size_t>(count);
  }
  text.resize(length);
  return text;
}

std::expected<std::optional<master_key>, std::string> read_file(const std::string& path) {
  // Not to hang on a pipe of that name.
  const descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!file.open() && errno == ENOENT) return std::optional<master_key>{};
  if (!file.open()) return refuse_with_errno(path, errno);
  struct stat facts{};
  if (::fstat(file.number(), &facts) != 0) return refuse_with_errno(path, errno);
  if (!S_ISREG(facts.st_mode)) return refuse(path, "not a regular file");
  if ((facts.st_mode & 0077) != 0) return refuse(path, "others may open it; it needs mode 0600 (chmod 600)");
  auto text = read_line(file.number());
  if (!text) return refuse_with_errno(path, text.error());
  auto key = text->size() <= key_file_max ? master_key::parse(*text) : std::nullopt;
  wipe(*text);
  if (!key) return refuse(path, "expected 64 hex digits or 43 base64 characters");
  return std::optional<master_key>{std::move(*key)};
}

bool write_all(int to, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(to, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool write_synced(const std::string& path, std::string_view text) {
  descriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
  if (!file.open()) return false;
  // The umask may have taken bits of ours; it must not have.
  return ::fchmod(file.number(), 0600) == 0 && write_all(file.number(), text) &&
         ::fsync(file.number()) == 0 && file.close();
}

bool sync_folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : (slash == 0 ? std::string{"/"} : path.substr(0, slash));
  const descriptor dir{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  return dir.open() && ::fsync(dir.number()) == 0;
}

// Written beside it and linked into place: link(2) fails where the name is taken, so that nobody's key is
// ever replaced, and a reader sees all of it or nothing.
std::expected<void, int> make_file(const std::string& path) {
  auto key = master_key::random();
  if (!key) return std::unexpected{ENOMEM};
  static std::atomic<unsigned> made{0};
  const std::string beside = path + ".new." + std::to_string(::getpid()) + "." + std::to_string(++made);
  ::unlink(beside.c_str());  // of a process that had our number and died
  std::string text = key->to_hex() + "\n";
  const bool written = write_synced(beside, text);
  int problem = written ? 0 : errno;
  wipe(text);
  if (written && ::link(beside.c_str(), path.c_str()) != 0 && errno != EEXIST) problem = errno;
  ::unlink(beside.c_str());
  if (problem == 0 && !sync_folder_of(path)) problem = errno;
  if (problem != 0) return std::unexpected{problem};
  return {};
}

}  // namespace

std::expected<std::optional<master_key>, std::string> find_master_key(const master_key_source& from) {
  if (from.environment) {
    auto key = master_key::parse(*from.environment);
    if (!key) return refuse("TIDEGATE_MASTER_KEY", "expected 64 hex digits or 43 base64 characters");
    return std::optional<master_key>{std::move(*key)};
  }
  return read_file(from.file);
}

std::expected<master_key, std::string> find_or_make_master_key(const master_key_source& from) {
  auto found = find_master_key(from);
  if (!found) return std::unexpected{found.error()};
  if (*found) return std::move(**found);
  if (const auto made = make_file(from.file); !made) return refuse_with_errno(from.file, made.error());
  found = read_file(from.file);
  if (!found) return std::unexpected{found.error()};
  if (!*found) return refuse(from.file, "it was removed while it was made");
  return std::move(**found);
}

}  // namespace tidegate::storage
