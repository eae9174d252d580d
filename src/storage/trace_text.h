// What both adapters do to a run's texts on their way in and out.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "storage/seal.h"

namespace tidegate::storage {

// At most trace_text_max bytes, cut between characters.
std::string bounded_trace_text(std::string text);
// Sealed under the run and the field ("input", "output"); nothing without a sealer or a text.
std::optional<std::string> seal_trace_text(const sealer* seal, std::string_view run_id,
                                           std::string_view field, std::optional<std::string> text);
std::optional<std::string> unseal_trace_text(const sealer* seal, std::string_view run_id,
                                             std::string_view field,
                                             const std::optional<std::string>& sealed);

}  // namespace tidegate::storage
