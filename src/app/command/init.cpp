#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>

#include "app/command/commands.h"
#include "app/configuration_text.h"

namespace tidegate::app::command {

namespace {

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

// O_EXCL rather than a look beforehand: of two at once, one fails.
std::error_code write_new_file(const std::string& path, std::string_view text) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor < 0) return {errno, std::generic_category()};
  const bool written = write_all(descriptor, text);
  const int write_error = errno;
  const bool closed = ::close(descriptor) == 0;
  if (written && closed) return {};
  const int problem = written ? errno : write_error;
  ::unlink(path.c_str());
  return {problem, std::generic_category()};
}

}  // namespace

int run_init(const init_options& options, console& terminal) {
  if (options.markdown) {
    terminal.out << configuration_reference();
    return 0;
  }
  const std::filesystem::path dir{options.dir};
  const std::string path = (dir / "tidegate.toml").string();
  std::error_code problem;
  std::filesystem::create_directories(dir, problem);
  if (!problem) problem = write_new_file(path, sample_configuration());
  if (problem == std::errc::file_exists) {
    terminal.err << path << " exists already; it was left as it is\n";
    return 1;
  }
  if (problem) {
    terminal.err << path << ": " << problem.message() << '\n';
    return 1;
  }
  terminal.out << "wrote " << path << "\n";
  return 0;
}

}  // namespace tidegate::app::command
