// The file system of the machine. Thread safe as far as its files are not shared.
#pragma once

#include "journal/files.h"

namespace tidegate::journal {

class posix_files final : public file_system {
 public:
  io<std::unique_ptr<file>> open(const std::string& path, open_mode mode) override;
  io<std::vector<std::string>> list(const std::string& directory) override;
  io<void> rename(const std::string& from, const std::string& to) override;
  io<void> remove(const std::string& path) override;
  io<void> make_directory(const std::string& path) override;
  io<void> sync_directory(const std::string& path) override;
};

}  // namespace tidegate::journal
