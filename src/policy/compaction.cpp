#include "policy/compaction.h"

#include <algorithm>
#include <optional>

#include "policy/tokens.h"

namespace tidegate::policy {
namespace {

// A message that a summary would shorten.
struct replaceable {
  std::size_t index = 0;
  std::int64_t gain = 0;
  bool known = false;
};

// All of them, in the order of replacement, and where each turn's begin.
class order_of_replacement {
 public:
  order_of_replacement(std::span<const history_message> history, std::span<const std::int64_t> tokens,
                       const std::function<bool(std::size_t)>& is_known)
      : history_{history} {
    for (std::size_t i = 0; i < history.size();) {
      const std::size_t end = turn_end(i);
      if (history[i].role == chat_role::user) turns_.push_back({i, all_.size()});
      const auto turn = static_cast<std::ptrdiff_t>(all_.size());
      for (; i < end; ++i) {
        if (tokens[i] < compaction_tokens_min) continue;
        all_.push_back({i, tokens[i] - summary_tokens_max(tokens[i]), is_known(i)});
      }
      std::sort(all_.begin() + turn, all_.end(), [](const replaceable& a, const replaceable& b) {
        return a.gain != b.gain ? a.gain > b.gain : a.index < b.index;
      });
    }
  }

  struct turn {
    std::size_t first = 0;  // message
    std::size_t place = 0;  // in all()
  };
  const std::vector<turn>& turns() const { return turns_; }
  std::span<const replaceable> from(const turn& where) const { return std::span{all_}.subspan(where.place); }

 private:
  std::size_t turn_end(std::size_t i) const {
    for (++i; i < history_.size() && history_[i].role == chat_role::assistant;) ++i;
    return i;
  }

  std::span<const history_message> history_;
  std::vector<replaceable> all_;
  std::vector<turn> turns_;
};

// What is to be replaced so that `excess` tokens are saved; nothing where that takes more than may be asked.
std::optional<std::vector<std::size_t>> save(std::int64_t excess, std::span<const replaceable> order,
                                             std::size_t asked_max) {
  std::vector<std::size_t> replaced;
  for (const replaceable& each : order) {
    if (excess <= 0) break;
    if (!each.known && asked_max-- == 0) return std::nullopt;
    excess -= each.gain;
    replaced.push_back(each.index);
  }
  if (excess > 0) return std::nullopt;
  return replaced;
}

}  // namespace

compaction_plan plan_compaction(std::string_view system, std::span<const history_message> history,
                                std::string_view current, std::int64_t budget, std::size_t asked_max,
                                const std::function<bool(std::size_t)>& is_known) {
  std::vector<std::int64_t> tokens(history.size());
  std::ranges::transform(history, tokens.begin(),
                         [](const auto& each) { return estimate_tokens(each.text); });
  std::int64_t excess = estimate_tokens(system) + estimate_tokens(current) - budget;
  for (const std::int64_t each : tokens) excess += each;

  std::size_t first = 0;
  const auto drop_until = [&](std::size_t index) {
    for (; first < index; ++first) excess -= tokens[first];
  };
  const auto user = std::ranges::find(history, chat_role::user, &history_message::role);
  drop_until(static_cast<std::size_t>(user - history.begin()));
  if (excess <= 0) return {first, {}};

  const order_of_replacement order{history, tokens, is_known};
  for (const auto& turn : order.turns()) {
    drop_until(turn.first);
    if (auto replaced = save(excess, order.from(turn), asked_max)) return {first, *std::move(replaced)};
  }
  return {history.size(), {}};
}

}  // namespace tidegate::policy
