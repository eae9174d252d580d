#include "app/data_directory.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "journal/posix_files.h"

namespace tidegate::app {
namespace {

constexpr int lock_tries = 10;
constexpr int lock_wait_ms = 50;

std::unexpected<directory_failure> unusable(const std::string& what, int error_number) {
  return std::unexpected{directory_failure{directory_problem::unusable,
                                           what + ": " + std::generic_category().message(error_number)}};
}

}  // namespace

std::expected<data_directory, directory_failure> data_directory::take(const std::string& dir) {
  journal::posix_files files;
  if (const auto made = files.make_directory(dir); !made) {
    return std::unexpected{directory_failure{directory_problem::unusable, "cannot " + made.error().what}};
  }
  const std::string path = dir + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return unusable("cannot open " + path, errno);
  // A command holds it for a moment only: that is worth a moment's wait.
  for (int left = lock_tries; ::flock(fd, LOCK_EX | LOCK_NB) != 0; --left) {
    if (errno != EWOULDBLOCK || left == 0) break;
    ::poll(nullptr, 0, lock_wait_ms);
    errno = EWOULDBLOCK;
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return data_directory{dir, fd};
  const int problem = errno;
  ::close(fd);
  if (problem != EWOULDBLOCK) return unusable("cannot lock " + path, problem);
  return std::unexpected{directory_failure{
      directory_problem::held,
      "another tidegate process uses " + dir +
          ": give this one a --data directory of its own, or try again if it is only a command at work"}};
}

data_directory::data_directory(data_directory&& other) noexcept
    : path_{std::move(other.path_)}, lock_{std::exchange(other.lock_, -1)} {}

data_directory::~data_directory() {
  if (lock_ >= 0) ::close(lock_);
}

std::expected<control_path, std::string> control_path::of(const std::string& dir) {
  std::string path = dir + "/control.sock";
  if (path.size() < sizeof(sockaddr_un{}.sun_path)) return control_path{std::move(path), -1};
  const int folder = ::open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) {
    return std::unexpected{"cannot open " + dir + ": " + std::generic_category().message(errno)};
  }
  return control_path{"/proc/self/fd/" + std::to_string(folder) + "/control.sock", folder};
}

control_path::control_path(control_path&& other) noexcept
    : path_{std::move(other.path_)}, folder_{std::exchange(other.folder_, -1)} {}

control_path::~control_path() {
  if (folder_ >= 0) ::close(folder_);
}

}  // namespace tidegate::app
