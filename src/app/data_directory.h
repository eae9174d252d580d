// The folder of `--data` (interface section 7): made where it is missing, held by one process at a time.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace tidegate::app {

enum class directory_problem : std::uint8_t { unusable, held };

struct directory_failure {
  directory_problem problem = directory_problem::unusable;
  // For an operator.
  std::string message;
};

// Holds the lock of a data directory; the kernel drops it with the process, however it ends.
class data_directory {
 public:
  // Makes the folder (0700) where it is missing. `held`: another process has it.
  static std::expected<data_directory, directory_failure> take(const std::string& dir);
  data_directory(data_directory&& other) noexcept;
  data_directory& operator=(data_directory&&) = delete;
  ~data_directory();

  const std::string& path() const { return path_; }
  std::string database() const { return path_ + "/tidegate.db"; }
  std::string journal() const { return path_ + "/journal"; }

 private:
  data_directory(std::string path, int lock) : path_{std::move(path)}, lock_{lock} {}
  std::string path_;
  int lock_;
};

// DIR/control.sock, whose owner may change keys and secrets without a token: who can open it could write the
// folder as well. A Unix address holds 107 bytes; where the path is longer it goes through a descriptor of
// the folder (/proc/self/fd/N), which this object keeps open.
class control_path {
 public:
  static std::expected<control_path, std::string> of(const std::string& dir);
  control_path(control_path&& other) noexcept;
  control_path& operator=(control_path&&) = delete;
  ~control_path();

  // Fits into a Unix address.
  const std::string& path() const { return path_; }

 private:
  control_path(std::string path, int folder) : path_{std::move(path)}, folder_{folder} {}
  std::string path_;
  int folder_;
};

}  // namespace tidegate::app
