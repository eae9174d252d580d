#include "journal/checkpoint_lines.h"

#include <algorithm>
#include <cerrno>

namespace tidegate::journal {

namespace {

constexpr std::size_t chunk = std::size_t{64} << 10;
// No checkpoint is nearly as long; what is longer is no line of ours.
constexpr std::size_t line_max = 4096;

}  // namespace

io<checkpoint_lines> checkpoint_lines::open(file_system& files, const std::string& path) {
  checkpoint_lines lines;
  auto opened = files.open(path, open_mode::read);
  if (!opened && opened.error().code == ENOENT) return lines;
  if (!opened) return std::unexpected{opened.error()};
  lines.file_ = std::move(*opened);
  const auto size = lines.file_->size();
  if (!size) return std::unexpected{size.error()};
  lines.size_ = *size;
  if (auto read = lines.read_front(); !read) return std::unexpected{read.error()};
  return lines;
}

io<void> checkpoint_lines::pop() {
  if (!front_) return {};
  last_popped_at_ = front_->offset;
  popped_to_ = front_->end();
  return read_front();
}

io<bool> checkpoint_lines::read_more() {
  const auto left = static_cast<std::size_t>(std::min<std::uint64_t>(chunk, size_ - read_to_));
  if (left == 0) return false;
  window_.erase(0, at_);
  at_ = 0;
  const std::size_t had = window_.size();
  window_.resize(had + left);
  const auto got = file_->read(read_to_, std::span{window_}.subspan(had));
  if (!got) return std::unexpected{got.error()};
  window_.resize(had + *got);
  read_to_ += *got;
  if (*got == 0) size_ = read_to_;
  return *got > 0;
}

io<void> checkpoint_lines::read_front() {
  front_.reset();
  while (true) {
    const std::string_view rest = std::string_view{window_}.substr(at_);
    const std::size_t length = rest.find('\n');
    const bool complete = length != std::string_view::npos;
    if (!complete && rest.size() <= line_max) {
      const auto more = read_more();
      if (!more) return std::unexpected{more.error()};
      if (*more) continue;
      if (window_.size() == at_) return {};
    }
    const std::string_view text = std::string_view{window_}.substr(at_).substr(0, length);
    front_ = line{read_to_ - (window_.size() - at_), std::string{text}, complete, std::nullopt};
    if (complete && text.size() <= line_max) front_->meaning = checkpoint_of_line(text);
    at_ += text.size() + (complete ? 1 : 0);
    return {};
  }
}

}  // namespace tidegate::journal
