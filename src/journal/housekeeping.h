// The payloads of the records that the journal writes about itself. One text for one meaning: what does not
// come out of the functions here to the byte is not read either.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "journal/digest.h"

namespace tidegate::journal {

// The fold up to and with this record is in the file state_name(sequence).
struct state_note {
  std::uint64_t sequence = 0;
  std::uint64_t size = 0;
  digest sha256{};
};

// Records before `first` may be gone; `previous` is the hash that the segment starting with it goes on from.
struct trim_note {
  std::uint64_t first = 0;
  digest previous{};
};

std::string to_payload(const state_note& note);
std::string to_payload(const trim_note& note);
std::optional<state_note> state_of_payload(std::string_view payload);
std::optional<trim_note> trim_of_payload(std::string_view payload);

}  // namespace tidegate::journal
