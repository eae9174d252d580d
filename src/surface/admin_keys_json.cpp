#include <charconv>

#include "surface/admin_keys.h"

namespace tidegate::surface {

namespace json = protocol::json;

namespace {

void write_names(json::writer& to, std::string_view key, const std::vector<std::string>& names) {
  to.key(key).begin_array();
  for (const std::string& name : names) to.string(name);
  to.end_array();
}

std::vector<std::string> read_names(const json::value& from, std::string_view key) {
  std::vector<std::string> names;
  const auto list = from.find(key);
  if (!list) return names;
  for (const json::value& item : list->elements()) {
    if (auto name = item.as_string()) names.push_back(std::move(*name));
  }
  return names;
}

int digits(std::string_view text, std::size_t at, std::size_t count) {
  int value = -1;
  const char* const begin = text.data() + at;
  const auto read = std::from_chars(begin, begin + count, value);
  return read.ptr == begin + count ? value : -1;
}

}  // namespace

void write_key(json::writer& to, const key_view& view) {
  const storage::client_key& key = view.key;
  to.begin_object().member("id", key.id).member("name", key.name).member("policy", key.policy);
  to.member("role", key.role);
  write_names(to, "projects", key.projects);
  write_names(to, "channels", key.channels);
  to.member("enabled", key.enabled).member("source", view.configured ? "configuration" : "store");
  if (!view.configured) to.member("createdAt", foundation::to_rfc3339(key.created_at));
  if (key.rotated_at) to.member("rotatedAt", foundation::to_rfc3339(*key.rotated_at));
  if (key.revoked_at) to.member("revokedAt", foundation::to_rfc3339(*key.revoked_at));
  to.end_object();
}

std::optional<foundation::wall_time> read_time(const json::value& from, std::string_view member) {
  const std::string text = from.string_or(member, "");
  if (text.size() != 24 || text[4] != '-' || text[10] != 'T' || text[19] != '.' || text[23] != 'Z') {
    return std::nullopt;
  }
  const int year = digits(text, 0, 4);
  const int month = digits(text, 5, 2);
  const int day = digits(text, 8, 2);
  if (year < 0 || month < 0 || day < 0) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days{date} + std::chrono::hours{digits(text, 11, 2)} +
         std::chrono::minutes{digits(text, 14, 2)} + std::chrono::seconds{digits(text, 17, 2)} +
         std::chrono::milliseconds{digits(text, 20, 3)};
}

std::optional<key_view> read_key(const json::value& from) {
  if (!from.is_object() || !from.find("id") || !from.find("name")) return std::nullopt;
  key_view view;
  view.key.id = from.string_or("id", "");
  view.key.name = from.string_or("name", "");
  view.key.policy = from.string_or("policy", "");
  view.key.role = from.string_or("role", "");
  view.key.projects = read_names(from, "projects");
  view.key.channels = read_names(from, "channels");
  const auto enabled = from.find("enabled");
  view.key.enabled = enabled && enabled->as_bool().value_or(false);
  view.configured = from.string_or("source", "") == "configuration";
  view.key.created_at = read_time(from, "createdAt").value_or(foundation::wall_time{});
  view.key.rotated_at = read_time(from, "rotatedAt");
  view.key.revoked_at = read_time(from, "revokedAt");
  return view;
}

}  // namespace tidegate::surface
