// Reading members of a Messages request: the first complaint ends it. Every read returns false after a
// complaint.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/dialect/anthropic_messages.h"

namespace tidegate::protocol::dialect::anthropic {

class field_reader {
 protected:
  bool fail(const field_path& where, std::string_view what) {
    complaint_.param = where.text();
    complaint_.message = complaint_.param + ": " + std::string{what};
    return false;
  }

  // Counts one message, block, tool or stop sequence of the request; false for one too many.
  bool admit(const field_path& where) {
    return ++items_ <= items_max ? true : fail(where, "the request has too many elements");
  }

  // Missing is fine and leaves `out` alone.
  bool read_string(const std::optional<json::value>& v, const field_path& where, std::string& out) {
    if (!v) return true;
    auto text = v->as_string();
    if (!text) return fail(where, "must be a string");
    out = std::move(*text);
    return true;
  }
  bool need_string(const std::optional<json::value>& v, const field_path& where, std::string& out) {
    if (!v) return fail(where, "field required");
    return read_string(v, where, out);
  }
  bool read_cache_control(const std::optional<json::value>& v, const field_path& where, std::string& out) {
    if (!v) return true;
    if (!v->is_object()) return fail(where, "must be an object");
    out = std::string{v->raw()};
    return true;
  }

  complaint complaint_;
  std::size_t items_ = 0;
};

// Appends what a string or an array of content blocks says; the complaint where it cannot be said elsewhere.
// `items` is the request's count so far and goes on from there.
std::optional<complaint> read_content(json::value content, role from, const field_path& where,
                                      std::vector<part>& out, std::size_t& items);

}  // namespace tidegate::protocol::dialect::anthropic
