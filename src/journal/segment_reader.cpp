#include "journal/segment_reader.h"

#include <algorithm>

namespace tidegate::journal {

namespace {

constexpr std::size_t chunk = std::size_t{1} << 20;

}  // namespace

io<segment_reader> segment_reader::open(file_system& files, const std::string& path, std::uint64_t offset) {
  auto opened = files.open(path, open_mode::read);
  if (!opened) return std::unexpected{opened.error()};
  segment_reader reader;
  reader.file_ = std::move(*opened);
  reader.offset_ = offset;
  reader.window_at_ = offset;
  if (auto looked = reader.look_again(); !looked) return std::unexpected{looked.error()};
  return reader;
}

io<void> segment_reader::look_again() {
  const auto size = file_->size();
  if (!size) return std::unexpected{size.error()};
  size_ = *size;
  return {};
}

io<std::string_view> segment_reader::peek(std::size_t size) {
  const auto bytes = peek_all(size);
  return bytes ? bytes->substr(0, size) : bytes;
}

io<std::string_view> segment_reader::peek_all(std::size_t size) {
  const std::uint64_t left = size_ - std::min(size_, offset_);
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size, left));
  const std::uint64_t window_end = window_at_ + window_.size();
  if (offset_ < window_at_ || offset_ + wanted > window_end) {
    const auto reach = static_cast<std::size_t>(std::min<std::uint64_t>(std::max(chunk, wanted), left));
    window_.resize(reach);
    window_at_ = offset_;
    const auto got = file_->read(offset_, window_);
    if (!got) return std::unexpected{got.error()};
    window_.resize(*got);
  }
  return std::string_view{window_}.substr(static_cast<std::size_t>(offset_ - window_at_));
}

io<segment_reader::step> segment_reader::next() {
  const auto head = peek(record_header_size);
  if (!head) return std::unexpected{head.error()};
  if (head->empty()) return step::end;
  std::size_t wanted = head->size();
  if (wanted == record_header_size) {
    wanted = std::clamp<std::size_t>(record_length_at(head->data()), wanted, record_size_max);
  }
  const auto bytes = peek(wanted);
  if (!bytes) return std::unexpected{bytes.error()};
  const auto parsed = parse_record(*bytes);
  if (!parsed) {
    fault_ = parsed.error();
    return step::broken;
  }
  found_ = *parsed;
  offset_ += parsed->bytes.size();
  return step::record;
}

}  // namespace tidegate::journal
