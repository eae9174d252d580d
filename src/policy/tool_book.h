// The requests that tool rounds belong to (TOOL-2): who may go on with which requestId, and for how long.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "foundation/time.h"
#include "policy/keyed_hash.h"
#include "policy/tool_rounds.h"

namespace tidegate::policy {

// A round that waits for its results, with all that the next leg needs.
struct open_round {
  int number = 1;
  std::vector<tool_call> calls;
  // Names, as of the round's request.
  std::vector<std::string> declared;
  // The conversation up to and with the calls, and the tools that every round declares again, both in the
  // owner's own form; not looked into.
  std::string transcript;
  std::string tools;
  // The skill, and the text that its output is measured by: a caller need not send them again.
  std::string skill_id;
  std::string subject;
  std::string input;  // what the user said, for the chat's turn
  // What the model has said in all rounds.
  std::string text;
  // When the calls were handed out.
  foundation::instant opened{};
};

struct tool_book_limits {
  // Exactly that old has expired.
  foundation::duration open_for = std::chrono::minutes{10};
  // How long an ended or expired request is still known.
  foundation::duration known_for = std::chrono::hours{24};
  // Beyond either, the least recently touched request that is not running is forgotten, or its round closed.
  std::size_t requests_max = 65'536;
  std::size_t bytes_max = std::size_t{256} << 20;
};

enum class tool_book_refusal : std::uint8_t {
  not_found,  // results for a request that is unknown, or whose calls have expired
  conflict,   // the requestId is in use, or has no open calls
};

// Keys are the owner's: client key and requestId. Not thread safe; the owner locks. A request is running from
// `begin` or `resume` until one of the other three.
class tool_book {
 public:
  using instant = foundation::instant;

  explicit tool_book(tool_book_limits limits, std::uint64_t hash_seed = 0);

  // A run without results.
  std::expected<void, tool_book_refusal> begin(std::string_view key, instant now);
  // A run with results: the round, which the run now owns.
  std::expected<open_round, tool_book_refusal> resume(std::string_view key, instant now);

  // The run ended with calls to be answered; `round.opened` becomes `now`.
  void open(std::string_view key, open_round round, instant now);
  // The run ended for good.
  void end(std::string_view key, instant now);
  // The run that `begin` let in was refused: as if it had never been.
  void forget(std::string_view key);
  // The run that `resume` let in was refused or broke: its round is open again, for no longer than before.
  void give_back(std::string_view key, open_round round, instant now);

  std::size_t size() const { return entries_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  using key_list = std::list<std::string_view>;
  enum class state : std::uint8_t { running, open, closed, expired };
  struct entry {
    state is = state::running;
    open_round round;  // while open
    std::size_t bytes = 0;
    instant touched{};
    key_list::iterator place;       // in age_, unless running
    key_list::iterator open_place;  // in open_, while open
  };
  using table = std::unordered_map<std::string, entry, keyed_hash, std::equal_to<>>;

  entry* find(std::string_view key, instant now);
  void rest(std::string_view key, state is, open_round round, instant now);
  void close(entry& known, state is);
  void shed(instant now);
  void drop(table::iterator at);

  tool_book_limits limits_;
  table entries_;
  key_list age_;   // keys of requests that do not run, the least recently touched first
  key_list open_;  // those of them that are open
  std::size_t bytes_ = 0;
};

}  // namespace tidegate::policy
