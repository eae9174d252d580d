#include "policy/routing.h"

#include <algorithm>
#include <array>

#include "foundation/text.h"

namespace tidegate::policy {

using foundation::error_code;

bool glob_matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0;
  std::size_t n = 0;
  // Only the last star ever needs another try: what an earlier one could still take, the last one can take as
  // well.
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

namespace {

template <typename text>
std::optional<std::size_t> first_match(std::span<const text> patterns, std::string_view model) {
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    if (glob_matches(patterns[i], model)) return i;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> first_route(std::span<const std::string_view> patterns, std::string_view model) {
  return first_match(patterns, model);
}

std::optional<std::size_t> first_route(std::span<const std::string> patterns, std::string_view model) {
  return first_match(patterns, model);
}

std::string_view target_model(std::string_view configured, bool first_target, std::string_view asked) {
  if (configured == "*" || (configured.empty() && first_target)) return asked;
  return configured;
}

std::string_view name_of(provider_kind kind) {
  switch (kind) {
    case provider_kind::openai:
      return "openai";
    case provider_kind::anthropic:
      return "anthropic";
    case provider_kind::openai_compatible:
      return "openai-compatible";
  }
  return "";
}

std::optional<provider_kind> provider_kind_of(std::string_view name) {
  for (const auto kind :
       {provider_kind::openai, provider_kind::anthropic, provider_kind::openai_compatible}) {
    if (name == name_of(kind)) return kind;
  }
  return std::nullopt;
}

bool is_known_vendor(provider_kind kind, const base_url& url) {
  return (kind == provider_kind::openai && url.host == "api.openai.com") ||
         (kind == provider_kind::anthropic && url.host == "api.anthropic.com");
}

bool is_vendor_key(std::string_view key) {
  constexpr std::array<std::string_view, 4> prefixes{"sk-", "pk-", "rk-", "ak-"};
  if (key.size() < 8 || std::ranges::find(prefixes, key.substr(0, 3)) == prefixes.end()) return false;
  return std::ranges::all_of(key.substr(3), [](char c) {
    const char low = foundation::lower(c);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

bool is_foreign_model(provider_kind kind, std::string_view model) {
  constexpr std::array<std::string_view, 6> openai{"gpt-", "chatgpt-", "o1", "o3", "o4", "text-embedding-"};
  switch (kind) {
    case provider_kind::openai:
      return model.starts_with("claude-");
    case provider_kind::anthropic:
      return std::ranges::any_of(openai,
                                 [model](std::string_view prefix) { return model.starts_with(prefix); });
    case provider_kind::openai_compatible:
      break;
  }
  return false;
}

std::optional<error_code> preflight(const preflight_input& input) {
  const bool needs_key = input.kind != provider_kind::openai_compatible || input.credential_configured;
  if (needs_key && foundation::trim(input.credential).empty()) return error_code::preflight_missing_api_key;
  if (input.known_vendor && !is_vendor_key(input.credential))
    return error_code::preflight_invalid_api_key_format;
  if (foundation::trim(input.model).empty()) return error_code::preflight_missing_model;
  if (is_foreign_model(input.kind, input.model)) return error_code::preflight_model_provider_mismatch;
  return std::nullopt;
}

}  // namespace tidegate::policy
