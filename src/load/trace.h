// Arrival traces in the form of the Azure LLM inference traces: TIMESTAMP,ContextTokens,GeneratedTokens.
// https://github.com/Azure/AzurePublicDataset
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/time.h"

namespace tidegate::load {

struct trace_call {
  foundation::duration at{};  // since the trace's first call
  std::uint32_t context_llm_tokens = 0;
  std::uint32_t generated_llm_tokens = 0;
};

inline constexpr std::size_t trace_calls_max = 10'000'000;
inline constexpr std::uint32_t trace_llm_tokens_max = 10'000'000;

// Calls in order of time. A header line is optional; "line 7: ..." says what is wrong.
std::expected<std::vector<trace_call>, std::string> parse_trace(std::string_view csv);

}  // namespace tidegate::load
