#include "journal/housekeeping.h"

#include "protocol/json/json.h"

namespace tidegate::journal {

namespace json = protocol::json;

namespace {

std::optional<std::uint64_t> natural_at(const json::value& object, std::string_view key) {
  const auto n = object.int_at(key);
  if (!n || *n < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*n);
}

std::optional<digest> digest_at(const json::value& object, std::string_view key) {
  const auto member = object.find(key);
  const auto text = member ? member->as_plain_string() : std::nullopt;
  return text ? digest_from_hex(*text) : std::nullopt;
}

}  // namespace

std::string to_payload(const state_note& note) {
  std::string text;
  json::writer writer{text};
  writer.begin_object().member("event", "journal_state");
  writer.member("sequence", static_cast<std::int64_t>(note.sequence));
  writer.member("size", static_cast<std::int64_t>(note.size));
  writer.member("sha256", std::string_view{to_hex(note.sha256)}).end_object();
  return text;
}

std::string to_payload(const trim_note& note) {
  std::string text;
  json::writer writer{text};
  writer.begin_object().member("event", "journal_trimmed");
  writer.member("first", static_cast<std::int64_t>(note.first));
  writer.member("previous", std::string_view{to_hex(note.previous)}).end_object();
  return text;
}

std::optional<state_note> state_of_payload(std::string_view payload) {
  const auto object = json::parse(payload);
  if (!object) return std::nullopt;
  const auto sequence = natural_at(*object, "sequence");
  const auto size = natural_at(*object, "size");
  const auto sha256 = digest_at(*object, "sha256");
  if (!sequence || !size || !sha256) return std::nullopt;
  const state_note note{*sequence, *size, *sha256};
  if (to_payload(note) != payload) return std::nullopt;
  return note;
}

std::optional<trim_note> trim_of_payload(std::string_view payload) {
  const auto object = json::parse(payload);
  if (!object) return std::nullopt;
  const auto first = natural_at(*object, "first");
  const auto previous = digest_at(*object, "previous");
  if (!first || !previous) return std::nullopt;
  const trim_note note{*first, *previous};
  if (to_payload(note) != payload) return std::nullopt;
  return note;
}

}  // namespace tidegate::journal
