#include "app/command/verify_journal.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tidegate::app::command {
namespace {

constexpr int looks_max = 6;

using picture = std::vector<std::pair<std::string, std::uint64_t>>;

// Names and sizes: what somebody who came and went has changed at least.
picture take_picture(journal::file_system& files, const std::string& dir) {
  picture taken;
  const auto names = files.list(dir);
  if (!names) return taken;
  for (const std::string& name : *names) {
    const auto opened = files.open(dir + '/' + name, journal::open_mode::read);
    const auto size = opened ? (*opened)->size() : std::unexpected{opened.error()};
    taken.emplace_back(name, size.value_or(0));
  }
  return taken;
}

bool same_place(const std::optional<journal::finding>& a, const std::optional<journal::finding>& b) {
  return a && b && a->file == b->file && a->offset == b->offset;
}

}  // namespace

journal_verdict verify_journal(journal::file_system& files, journal::survey_request request,
                               const std::function<bool()>& held) {
  std::optional<journal::finding> last_fault;
  for (int look = 1;; ++look) {
    request.live = held();
    const picture before = take_picture(files, request.dir);
    journal::survey seen = journal::verify(files, request);
    const bool steady = request.live ? !seen.fault || same_place(seen.fault, last_fault)
                                     : before == take_picture(files, request.dir);
    if (look == looks_max || (steady && held() == request.live)) return {std::move(seen), request.live};
    last_fault = request.live ? seen.fault : std::nullopt;
  }
}

}  // namespace tidegate::app::command
