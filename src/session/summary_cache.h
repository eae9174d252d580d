// Summaries of chat messages by the SHA-256 of the text they stand for (CHAT-8): the latest used are kept,
// and equal texts that are asked for at the same time are summarised once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"
#include "journal/digest.h"

namespace tidegate::session {

// Thread safe.
class summary_cache {
 public:
  using answer = std::expected<std::string, foundation::failure>;
  using waiter = std::move_only_function<void(answer)>;

  static constexpr std::size_t kept_default = 500;
  explicit summary_cache(std::size_t kept_max = kept_default) : kept_max_{kept_max} {}

  bool knows(std::string_view text);

  enum class role : std::uint8_t {
    told,    // `tell` has been called
    waits,   // `tell` will be called, on the thread that settles
    settles  // the caller summarises and then calls settle, whatever came of it; `tell` will be called there
  };
  role ask(std::string_view text, waiter tell);
  // Tells all who wait for this text. A failure is not kept.
  void settle(std::string_view text, const answer& what);

  std::size_t size() const;

 private:
  using key = journal::digest;
  struct entry {
    std::string summary;
    std::list<key>::iterator place;  // in used_
  };
  key key_of(std::string_view text);

  const std::size_t kept_max_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  journal::hasher hash_;
  std::map<key, entry> kept_;
  std::list<key> used_;  // the least recently used first
  std::map<key, std::vector<waiter>> open_;
};

}  // namespace tidegate::session
