#include "journal/files.h"

#include <array>
#include <cerrno>

namespace tidegate::journal {

io<std::string> read_whole(file_system& files, const std::string& path, std::uint64_t size_max) {
  const auto opened = files.open(path, open_mode::read);
  if (!opened) return std::unexpected{opened.error()};
  const auto size = (*opened)->size();
  if (!size) return std::unexpected{size.error()};
  if (*size > size_max) return std::unexpected{io_failure{EFBIG, path + ": larger than it can be"}};
  std::string bytes(static_cast<std::size_t>(*size), '\0');
  const auto got = (*opened)->read(0, bytes);
  if (!got) return std::unexpected{got.error()};
  bytes.resize(*got);
  return bytes;
}

io<void> replace_whole(file_system& files, const std::string& directory, const std::string& name,
                       std::string_view bytes) {
  const std::string path = directory + '/' + name;
  const std::string beside = path + ".tmp";
  auto opened = files.open(beside, open_mode::create);
  if (!opened) return std::unexpected{opened.error()};
  const std::array pieces{bytes};
  if (auto done = (*opened)->write(0, pieces); !done) return done;
  if (auto done = (*opened)->sync(); !done) return done;
  opened->reset();
  if (auto done = files.rename(beside, path); !done) return done;
  return files.sync_directory(directory);
}

}  // namespace tidegate::journal
