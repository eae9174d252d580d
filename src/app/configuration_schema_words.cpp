// The words of the schema: ranges as an operator reads them, and the key that was probably meant.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "app/configuration_schema.h"
#include "app/configuration_values.h"
#include "foundation/text.h"

namespace tidegate::app {

namespace {

using kind = value_kind;

std::string bound_text(const key_row& row, std::uint64_t bound) {
  switch (row.kind) {
    case kind::size:
      return format_size(bound);
    case kind::duration:
    case kind::optional_duration:
    case kind::duration_list:
      return format_duration(milliseconds{static_cast<std::int64_t>(bound)});
    default:
      return std::to_string(bound);
  }
}

bool is_measured(value_kind row_kind) {
  switch (row_kind) {
    case kind::count:
    case kind::size:
    case kind::duration:
    case kind::optional_duration:
    case kind::duration_list:
    case kind::number:
    case kind::optional_number:
    case kind::number_or_omit:
      return true;
    default:
      return false;
  }
}

std::string words_for(value_kind row_kind) {
  switch (row_kind) {
    case kind::address:
      return "host:port or unix:/path";
    case kind::optional_address:
      return "host:port, unix:/path or \"\"";
    case kind::base_url:
      return "URL";
    case kind::credential:
      return "env:NAME, file:PATH, secret:NAME";
    case kind::key_hash:
      return "hmac-sha256:…";
    case kind::date:
      return "date";
    case kind::flag:
      return "true, false";
    case kind::path:
      return "path";
    case kind::model:
      return "model name";
    case kind::name:
      return "name";
    case kind::origin_list:
      return "origins";
    default:
      return {};
  }
}

// Edits (insert, remove, replace) that turn one word into the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (foundation::lower(a[i]) == foundation::lower(b[j]) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

std::string range_text(const key_row& row) {
  if (row.kind == kind::choice) {
    std::string text;
    for (const std::string_view choice : row.choices) {
      if (choice.empty()) continue;
      if (!text.empty()) text += ", ";
      text += choice;
    }
    return text;
  }
  if (!is_measured(row.kind)) return words_for(row.kind);
  std::string text = row.kind == kind::duration_list ? "each " : "";
  if (row.at_most == unbounded) {
    text += "≥" + bound_text(row, row.at_least);
  } else {
    text += bound_text(row, row.at_least) + "–" + bound_text(row, row.at_most);
  }
  if (row.kind == kind::number_or_omit) text += " or \"omit\"";
  return text;
}

std::string_view closest(std::string_view word, std::span<const std::string_view> candidates) {
  // A longer word can only be a mistake of its own; it also bounds the work below.
  constexpr std::size_t word_max = 64;
  if (word.size() > word_max) return {};
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace tidegate::app
