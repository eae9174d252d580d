#include "mock/recording.h"

#include <algorithm>
#include <array>

#include "foundation/random.h"
#include "foundation/text.h"
#include "protocol/json/json.h"
#include "protocol/sse/sse.h"

namespace tidegate::mock {
namespace {

namespace json = protocol::json;
namespace sse = protocol::sse;

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t random_piece_max = 64;

bool is_of_the_connection(std::string_view name) {
  constexpr std::array<std::string_view, 9> dropped{"connection",     "keep-alive",       "transfer-encoding",
                                                    "content-length", "content-encoding", "set-cookie",
                                                    "trailer",        "upgrade",          "alt-svc"};
  return std::ranges::any_of(dropped,
                             [name](std::string_view each) { return foundation::iequals(each, name); });
}

bool is_plain(std::string_view text) {
  return text.find_first_of(std::string_view{"\r\n\0", 3}) == std::string_view::npos;
}

void read_headers(json::value list, recording& out) {
  for (const json::value pair : list.elements()) {
    std::array<std::string, 2> field;
    std::size_t at = 0;
    for (const json::value each : pair.elements()) {
      if (at < field.size()) field[at++] = each.as_string().value_or("");
    }
    if (field[0].empty() || is_of_the_connection(field[0]) || !is_plain(field[0]) || !is_plain(field[1]))
      continue;
    if (foundation::iequals(field[0], "content-type")) {
      out.event_stream = foundation::istarts_with(field[1], "text/event-stream");
    }
    out.headers += foundation::to_lower(field[0]) + ": " + field[1] + "\r\n";
  }
}

std::vector<std::size_t> split_events(std::string_view body) {
  std::vector<std::size_t> sizes;
  sse::parser parser{body.size() + 1};
  std::size_t sum = 0;
  parser.feed(body, [&](const sse::event_view& event) {
    sizes.push_back(event.raw.size());
    sum += event.raw.size();
    return true;
  });
  if (sum < body.size()) sizes.push_back(body.size() - sum);
  return sizes;
}

}  // namespace

std::expected<recording, std::string> parse_recording(std::string_view file) {
  const auto root = json::parse(file);
  if (!root) return std::unexpected{"is not JSON: " + std::string{root.error().reason}};
  const auto response = root->find("response");
  const auto status = response ? response->int_at("status") : std::nullopt;
  if (!status || *status < 200 || *status > 599) return std::unexpected{"holds no recorded response"};
  recording out;
  out.status = static_cast<int>(*status);
  if (const auto headers = response->find("headers")) read_headers(*headers, out);
  if (const auto coded = response->find("body_base64"); coded && coded->is_string()) {
    auto bytes = decode_base64(coded->as_string().value_or(""));
    if (!bytes) return std::unexpected{"holds a body that is not base64"};
    out.body = std::move(*bytes);
  } else {
    out.body = response->string_or("body", "");
  }
  return out;
}

std::vector<std::size_t> split_body(std::string_view body, split_mode mode, std::uint64_t seed) {
  std::vector<std::size_t> sizes;
  switch (mode) {
    case split_mode::whole:
      if (!body.empty()) sizes.push_back(body.size());
      break;
    case split_mode::event:
      sizes = split_events(body);
      break;
    case split_mode::byte:
      sizes.assign(body.size(), 1);
      break;
    case split_mode::random: {
      foundation::random_source random{seed};
      for (std::size_t at = 0; at < body.size(); at += sizes.back()) {
        const std::size_t wanted = 1 + static_cast<std::size_t>(random.below(random_piece_max));
        sizes.push_back(std::min(wanted, body.size() - at));
      }
      break;
    }
  }
  return sizes;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  std::array<std::uint8_t, 256> values;
  values.fill(64);
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    values[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    const std::uint8_t value = values[static_cast<unsigned char>(c)];
    if (value == 64) return std::nullopt;
    bits = (bits << 6U) | value;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>((bits >> held) & 0xffU);
    }
  }
  return out;
}

std::string encode_base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto at = [&](std::size_t k) -> std::uint32_t {
      return i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U;
    };
    const std::uint32_t group = at(0) << 16U | at(1) << 8U | at(2);
    const std::size_t given = std::min<std::size_t>(bytes.size() - i, 3);
    for (unsigned k = 0; k < 4; ++k) {
      out += k <= given ? alphabet[(group >> (18U - 6U * k)) & 63U] : '=';
    }
  }
  return out;
}

}  // namespace tidegate::mock
