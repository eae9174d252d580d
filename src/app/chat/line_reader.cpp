#include "app/chat/line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace tidegate::app::chat {
namespace {

constexpr std::size_t line_max = 1U << 20;

}  // namespace

bool line_reader::take_line(typed& out) {
  const std::size_t end = kept_.find('\n', scanned_);
  if (end == std::string::npos) {
    if (kept_.size() > line_max) {
      kept_.clear();
      skipping_ = true;
    }
    scanned_ = kept_.size();
    return false;
  }
  out = {read_end::line, kept_.substr(0, end)};
  kept_.erase(0, end + 1);
  scanned_ = 0;
  if (std::exchange(skipping_, false) || out.text.size() > line_max) out = {read_end::too_long, {}};
  return true;
}

typed line_reader::next() {
  typed out;
  for (;;) {
    if (take_line(out)) return out;
    if (ended_) {
      if (skipping_) {
        skipping_ = false;
        return {read_end::too_long, {}};
      }
      if (kept_.empty()) return {read_end::end, {}};
      scanned_ = 0;
      return {read_end::line, std::exchange(kept_, {})};
    }
    std::array<pollfd, 2> either{pollfd{fd_, POLLIN, 0}, pollfd{interrupts_.source().fd(), POLLIN, 0}};
    if (::poll(either.data(), either.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return {read_end::end, {}};
    }
    // A terminal forgets the line that was being typed; so does this.
    if (either[1].revents != 0 && interrupts_.take()) {
      kept_.clear();
      scanned_ = 0;
      return {read_end::interrupted, {}};
    }
    if (either[0].revents == 0) continue;
    std::array<char, 16'384> block;
    const ssize_t count = ::read(fd_, block.data(), block.size());
    if (count > 0) {
      kept_.append(block.data(), static_cast<std::size_t>(count));
    } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
      ended_ = true;
    }
  }
}

}  // namespace tidegate::app::chat
