#include "protocol/rpc/contract.h"

#include <algorithm>
#include <array>

#include "protocol/rpc/shapes.h"

namespace tidegate::protocol::rpc {
namespace {

constexpr std::array domains{std::string_view{"ai"}, std::string_view{"cost"}, std::string_view{"judge"},
                             std::string_view{"skill"}};

// The parts put together, each list by name.
struct tables {
  std::vector<channel> channels;
  std::vector<push> pushes;
  std::vector<const shape*> shapes;

  tables() {
    for (const shapes::part& p :
         {shapes::run_part(), shapes::chat_part(), shapes::provider_part(), shapes::judge_part(),
          shapes::cost_part(), shapes::skill_part(), shapes::push_part()}) {
      channels.insert(channels.end(), p.channels.begin(), p.channels.end());
      pushes.insert(pushes.end(), p.pushes.begin(), p.pushes.end());
      shapes.insert(shapes.end(), p.shapes.begin(), p.shapes.end());
    }
    std::ranges::sort(channels, {}, &channel::name);
    std::ranges::sort(pushes, {}, &push::name);
    std::ranges::sort(shapes, {}, &shape::name);
  }
};

template <class Entry>
const Entry* find_sorted(std::span<const Entry> entries, std::string_view name) {
  const auto at = std::ranges::lower_bound(entries, name, {}, &Entry::name);
  return at != entries.end() && at->name == name ? &*at : nullptr;
}

}  // namespace

const contract& session_contract() {
  static const tables all;
  static const contract whole{
      .domains = domains, .channels = all.channels, .pushes = all.pushes, .shapes = all.shapes};
  return whole;
}

const channel* find_channel(std::string_view name) { return find_sorted(session_contract().channels, name); }
const push* find_push(std::string_view name) { return find_sorted(session_contract().pushes, name); }

bool is_declared(foundation::error_code code) {
  const auto codes = foundation::all_error_codes();
  return std::ranges::find(codes, code) != codes.end() && foundation::http_status_of(code) != 200;
}

}  // namespace tidegate::protocol::rpc
