#include "policy/tool_book.h"

#include <utility>

#include "foundation/check.h"

namespace tidegate::policy {
namespace {

// What a round costs to keep, by the texts it holds.
std::size_t bytes_of(const open_round& round) {
  std::size_t bytes = sizeof(open_round);
  for (const std::string* text :
       {&round.transcript, &round.tools, &round.skill_id, &round.subject, &round.input, &round.text}) {
    bytes += text->size();
  }
  for (const tool_call& call : round.calls) {
    bytes += sizeof(tool_call) + call.id.size() + call.name.size() + call.arguments.size();
  }
  for (const std::string& name : round.declared) bytes += sizeof(std::string) + name.size();
  return bytes;
}

}  // namespace

tool_book::tool_book(tool_book_limits limits, std::uint64_t hash_seed)
    : limits_{limits}, entries_{0, keyed_hash{hash_seed}} {}

std::expected<void, tool_book_refusal> tool_book::begin(std::string_view key, instant now) {
  if (find(key, now) != nullptr) return std::unexpected{tool_book_refusal::conflict};
  entries_.try_emplace(std::string{key}).first->second.touched = now;
  shed(now);
  return {};
}

std::expected<open_round, tool_book_refusal> tool_book::resume(std::string_view key, instant now) {
  entry* const known = find(key, now);
  if (known == nullptr || known->is == state::expired) return std::unexpected{tool_book_refusal::not_found};
  if (known->is != state::open) return std::unexpected{tool_book_refusal::conflict};
  open_round round = std::move(known->round);
  close(*known, state::running);
  age_.erase(known->place);
  return round;
}

void tool_book::open(std::string_view key, open_round round, instant now) {
  round.opened = now;
  rest(key, state::open, std::move(round), now);
}

void tool_book::end(std::string_view key, instant now) { rest(key, state::closed, {}, now); }

void tool_book::forget(std::string_view key) {
  const auto at = entries_.find(key);
  if (at != entries_.end() && at->second.is == state::running) entries_.erase(at);
}

void tool_book::give_back(std::string_view key, open_round round, instant now) {
  rest(key, state::open, std::move(round), now);
}

// What is known of a key at `now`.
tool_book::entry* tool_book::find(std::string_view key, instant now) {
  shed(now);
  const auto at = entries_.find(key);
  if (at == entries_.end()) return nullptr;
  entry& known = at->second;
  // A round that was given back stands behind younger ones in open_.
  if (known.is == state::open && now - known.round.opened >= limits_.open_for) close(known, state::expired);
  return &known;
}

// Ends the running of a request.
void tool_book::rest(std::string_view key, state is, open_round round, instant now) {
  const auto at = entries_.find(key);
  TG_CHECK(at != entries_.end() && at->second.is == state::running);
  entry& known = at->second;
  known.is = is;
  known.touched = now;
  known.place = age_.insert(age_.end(), at->first);
  if (is == state::open) {
    known.bytes = bytes_of(round);
    known.round = std::move(round);
    known.open_place = open_.insert(open_.end(), at->first);
    bytes_ += known.bytes;
  }
  shed(now);
}

// An open round's end.
void tool_book::close(entry& known, state is) {
  open_.erase(known.open_place);
  bytes_ -= std::exchange(known.bytes, 0);
  known.round = {};
  known.is = is;
}

void tool_book::drop(table::iterator at) {
  if (at->second.is == state::open) close(at->second, state::closed);
  age_.erase(at->second.place);
  entries_.erase(at);
}

// Lets go of what is too old or too much. Running requests are bounded by whoever admits runs; here they only
// count.
void tool_book::shed(instant now) {
  while (!age_.empty()) {
    const auto oldest = entries_.find(age_.front());
    if (entries_.size() <= limits_.requests_max && now - oldest->second.touched < limits_.known_for) break;
    drop(oldest);
  }
  while (!open_.empty()) {
    entry& oldest = entries_.find(open_.front())->second;
    if (bytes_ <= limits_.bytes_max && now - oldest.round.opened < limits_.open_for) break;
    close(oldest, state::expired);
  }
}

}  // namespace tidegate::policy
