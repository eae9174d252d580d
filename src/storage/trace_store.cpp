#include "storage/trace_store.h"

#include <utility>

#include "storage/trace_text.h"

namespace tidegate::storage {
namespace {

constexpr std::string_view cut_mark = "…[cut]";

std::string record_of(std::string_view run_id, std::string_view field) {
  return "trace/" + std::string{run_id} + "/" + std::string{field};
}

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

std::string_view name_of(feedback_action action) {
  switch (action) {
    case feedback_action::accept:
      return "accept";
    case feedback_action::reject:
      return "reject";
    case feedback_action::partial:
      return "partial";
  }
  return "";
}

std::optional<feedback_action> feedback_action_named(std::string_view name) {
  for (const auto action : {feedback_action::accept, feedback_action::reject, feedback_action::partial}) {
    if (name == name_of(action)) return action;
  }
  return std::nullopt;
}

std::string bounded_trace_text(std::string text) {
  if (text.size() <= trace_text_max) return text;
  std::size_t end = trace_text_max - cut_mark.size();
  while (end > 0 && continues_character(text[end])) --end;
  text.resize(end);
  text += cut_mark;
  return text;
}

std::optional<std::string> seal_trace_text(const sealer* seal, std::string_view run_id,
                                           std::string_view field, std::optional<std::string> text) {
  if (seal == nullptr || !text) return std::nullopt;
  return seal->seal(record_of(run_id, field), bounded_trace_text(std::move(*text)));
}

std::optional<std::string> unseal_trace_text(const sealer* seal, std::string_view run_id,
                                             std::string_view field,
                                             const std::optional<std::string>& sealed) {
  if (seal == nullptr || !sealed) return std::nullopt;
  return seal->unseal(record_of(run_id, field), *sealed);
}

}  // namespace tidegate::storage
