#include "app/process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string_view>
#include <system_error>

namespace tidegate::app {

namespace {

class descriptor {
 public:
  explicit descriptor(int number) : number_{number} {}
  ~descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

std::string reason_of(int error_number) {
  if (error_number == ENOENT) return std::string{file_not_found};
  return std::generic_category().message(error_number);
}

}  // namespace

environment current_environment() {
  environment result;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view pair{*at};
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    result.emplace(pair.substr(0, equals), pair.substr(equals + 1));
  }
  return result;
}

std::expected<std::string, std::string> read_system_file(const std::string& path) {
  const descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.number() < 0) return std::unexpected{reason_of(errno)};
  std::string content;
  char block[16'384];
  while (content.size() <= config_text_max) {
    const ssize_t count = ::read(file.number(), block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected{reason_of(errno)};
    if (count == 0) break;
    content.append(block, static_cast<std::size_t>(count));
  }
  return content;
}

bool wants_colour(int descriptor_number, const environment& env) {
  // https://no-color.org: set and not empty.
  if (const auto off = env.find("NO_COLOR"); off != env.end() && !off->second.empty()) return false;
  if (const auto term = env.find("TERM"); term != env.end() && term->second == "dumb") return false;
  return ::isatty(descriptor_number) == 1;
}

}  // namespace tidegate::app
