#include "journal/audit.h"

#include <cerrno>
#include <utility>

namespace tidegate::journal {

survey verify(file_system& files, const survey_request& request) {
  constexpr int attempts = 3;
  for (int attempt = 1;; ++attempt) {
    survey seen = take_survey(files, request);
    if (!seen.vanished || attempt == attempts) return seen;
  }
}

std::expected<std::vector<checkpoint>, shipped_fault> read_shipped(std::string_view text) {
  std::vector<checkpoint> found;
  std::size_t line = 0;
  while (!text.empty()) {
    ++line;
    const std::size_t end = text.find('\n');
    std::string_view one = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (one.ends_with('\r')) one.remove_suffix(1);
    if (one.empty()) continue;
    const auto c = checkpoint_of_line(one);
    if (!c) return std::unexpected{shipped_fault{line, "not a checkpoint"}};
    found.push_back(*c);
  }
  if (found.empty()) return std::unexpected{shipped_fault{line, "holds no checkpoint"}};
  return found;
}

// --- walker

std::expected<std::vector<std::uint64_t>, std::string> walker::segments() {
  const auto names = files_.list(dir_);
  if (!names) return std::unexpected{names.error().what};
  std::vector<std::uint64_t> found;
  for (const std::string& name : *names) {
    if (const auto first = number_in_name(name, ".seg")) found.push_back(*first);
  }
  return found;
}

std::expected<void, std::string> walker::seek(std::uint64_t sequence) {
  const auto found = segments();
  if (!found) return std::unexpected{found.error()};
  segment_ = 0;
  offset_ = 0;
  next_ = 0;
  for (const std::uint64_t first : *found) {
    if (segment_ == 0 || first <= sequence) segment_ = first;
  }
  next_ = segment_;
  return {};
}

std::expected<std::uint64_t, std::string> walker::last() {
  walker ahead{files_, dir_};
  if (auto done = ahead.seek(~std::uint64_t{0}); !done) return std::unexpected{done.error()};
  std::uint64_t sequence = ahead.segment_ == 0 ? 0 : ahead.segment_ - 1;
  const auto done = ahead.go_on([&](const record_view& record) {
    sequence = record.sequence;
    return true;
  });
  if (!done) return std::unexpected{done.error()};
  return sequence;
}

std::expected<void, std::string> walker::go_on(const std::function<bool(const record_view&)>& visit) {
  const auto found = segments();
  if (!found) return std::unexpected{found.error()};
  for (std::size_t i = 0; i < found->size(); ++i) {
    const std::uint64_t first = (*found)[i];
    if (first < segment_) continue;
    if (first != segment_) {
      if (next_ != 0 && first != next_) {
        return std::unexpected{segment_name(first) + ": record " + std::to_string(next_) +
                               " is missing before it"};
      }
      segment_ = first;
      offset_ = 0;
      next_ = first;
    }
    const auto went_on = read_on(visit, i + 1 == found->size());
    if (!went_on) return std::unexpected{went_on.error()};
    if (!*went_on) return {};
  }
  return {};
}

// False: `visit` wants no more.
std::expected<bool, std::string> walker::read_on(const std::function<bool(const record_view&)>& visit,
                                                 bool newest) {
  const std::string name = segment_name(segment_);
  auto reader = segment_reader::open(files_, dir_ + '/' + name, offset_);
  if (!reader) {
    // Retention took it; what it held was not asked for in time.
    if (reader.error().code == ENOENT) return true;
    return std::unexpected{reader.error().what};
  }
  const auto damaged = [&] {
    return std::unexpected{name + ": offset " + std::to_string(reader->offset()) + ", record " +
                           std::to_string(next_) + ": damaged; `audit verify` says more"};
  };
  if (offset_ == 0) {
    const auto bytes = reader->peek(segment_header_size);
    if (!bytes) return std::unexpected{bytes.error().what};
    if (!parse_segment_header(*bytes)) {
      if (newest) return true;
      return damaged();
    }
    reader->skip(segment_header_size);
  }
  while (true) {
    offset_ = reader->offset();
    const auto step = reader->next();
    if (!step) return std::unexpected{step.error().what};
    if (*step == segment_reader::step::end) return true;
    if (*step == segment_reader::step::broken) {
      if (newest) return true;
      return damaged();
    }
    if (reader->found().view.sequence != next_) return damaged();
    ++next_;
    if (!visit(reader->found().view)) {
      offset_ = reader->offset();
      return false;
    }
  }
}

}  // namespace tidegate::journal
