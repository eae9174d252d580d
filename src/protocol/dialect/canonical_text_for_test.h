// Canonical values as text, so that tests compare them whole and show where they differ.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "protocol/dialect/canonical.h"

namespace tidegate::protocol::dialect::test {

inline std::string text_of(const part& p) {
  std::ostringstream out;
  out << "(" << static_cast<int>(p.kind) << " text=" << p.text << " id=" << p.id << " name=" << p.name
      << " data=" << p.data << " media=" << p.media_type << " url=" << p.url << " detail=" << p.detail
      << " signature=" << p.signature << " error=" << p.is_error;
  for (const part& each : p.content) out << "\n      " << text_of(each);
  out << ")";
  return out.str();
}

inline std::string text_of(const std::vector<part>& parts) {
  std::string out;
  for (const part& each : parts) out += "\n    " + text_of(each);
  return out;
}

inline std::string text_of(const usage& u) {
  std::ostringstream out;
  out << "known=" << u.known << " prompt=" << u.prompt << " completion=" << u.completion
      << " cached=" << u.cached << " write=" << u.cache_write << " reasoning=" << u.reasoning;
  return out.str();
}

template <class T>
std::string text_of(const std::optional<T>& v) {
  if (!v.has_value()) return "-";
  std::ostringstream out;
  out << *v;
  return out.str();
}

inline std::string text_of(const request& r) {
  std::ostringstream out;
  out << "model=" << r.model << " stream=" << r.stream << " max=" << text_of(r.max_tokens)
      << " temperature=" << text_of(r.temperature) << " top_p=" << text_of(r.top_p) << " user=" << r.user
      << " tier=" << r.service_tier << " choice=" << static_cast<int>(r.tool_choice) << "/"
      << r.tool_choice_name << " parallel=" << text_of(r.parallel_tool_calls);
  for (const std::string& each : r.stop) out << "\n  stop=" << each;
  for (const tool& each : r.tools) {
    out << "\n  tool " << each.name << " | " << each.description << " | " << each.parameters << " | "
        << text_of(each.strict);
  }
  if (r.format.has_value()) {
    out << "\n  format " << static_cast<int>(r.format->kind) << " " << r.format->name << " "
        << r.format->description << " " << r.format->schema << " " << text_of(r.format->strict);
  }
  if (r.thinking.has_value()) {
    out << "\n  thinking " << text_of(r.thinking->enabled) << " " << r.thinking->effort << " "
        << text_of(r.thinking->budget_tokens);
  }
  out << "\n  system" << text_of(r.system);
  for (const message& each : r.messages) {
    out << "\n  " << (each.from == role::user ? "user" : "assistant") << text_of(each.parts);
  }
  return out.str();
}

inline std::string text_of(const reply& r) {
  std::ostringstream out;
  out << "finish=" << static_cast<int>(r.finish) << " " << text_of(r.tokens) << text_of(r.parts);
  return out.str();
}

inline std::string text_of(const stream_event& e) {
  std::ostringstream out;
  out << static_cast<int>(e.kind) << " #" << e.index << " text=" << e.text << " id=" << e.id
      << " name=" << e.name << " finish=" << static_cast<int>(e.finish) << " " << text_of(e.tokens)
      << " error=" << e.error_type << "/" << e.error_code;
  return out.str();
}

inline std::string text_of(const std::vector<stream_event>& events) {
  std::string out;
  for (const stream_event& each : events) out += text_of(each) + "\n";
  return out;
}

}  // namespace tidegate::protocol::dialect::test
