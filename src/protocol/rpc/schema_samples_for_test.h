// Values made from shapes: good ones, and good ones with one fault at one place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/json/json.h"
#include "protocol/rpc/json_path.h"
#include "protocol/rpc/schema.h"

namespace tidegate::protocol::rpc {

enum class fault_kind : std::uint8_t {
  none,
  missing_member,
  unknown_member,
  member_twice,
  wrong_type,
  null_value,
  infinite_number,
  not_a_number,  // NaN, which is no JSON
  unknown_word,
  too_long,
};

struct planted_fault {
  fault_kind kind = fault_kind::none;
  std::string path;   // of the value that is changed, missing or there too often
  std::string issue;  // the path that is to be told
};

struct sample_plan {
  bool optional_members = true;
  std::size_t variant = 0;  // of every one_of
};

class sample_writer {
 public:
  sample_writer(const sample_plan& plan, const planted_fault& fault) : plan_{plan}, fault_{fault} {}

  std::string write(const shape& s) {
    value(s);
    return std::move(out_);
  }

 private:
  bool is_here(fault_kind kind) const { return fault_.kind == kind && fault_.path == path_; }

  void value(const shape& s) {
    if (is_here(fault_kind::wrong_type)) {
      out_ += s.kind == shape_kind::array ? "{}" : "[]";
    } else if (is_here(fault_kind::null_value)) {
      out_ += "null";
    } else if (is_here(fault_kind::infinite_number)) {
      out_ += "1e999";
    } else if (is_here(fault_kind::not_a_number)) {
      out_ += "NaN";
    } else if (is_here(fault_kind::unknown_word)) {
      out_ += "\"no such word\"";
    } else {
      good_value(s);
    }
  }

  void good_value(const shape& s) {
    switch (s.kind) {
      case shape_kind::object:
        return object(s);
      case shape_kind::one_of:
        return object(*s.variants[plan_.variant % s.variants.size()]);
      case shape_kind::map:
        return items(s, '{', '}');
      case shape_kind::array:
        return items(s, '[', ']');
      case shape_kind::string:
        return string(s);
      case shape_kind::integer:
        out_ += "-7";
        return;
      case shape_kind::number:
        out_ += "0.25";
        return;
      case shape_kind::boolean:
        out_ += "false";
        return;
      case shape_kind::truth:
        out_ += "true";
        return;
      case shape_kind::error_code:
        out_ += "\"DB_ERROR\"";
        return;
      case shape_kind::any_object:
        out_ += R"({"free":[1,{"x":null}]})";
        return;
      case shape_kind::any_value:
        out_ += R"([null,{"x":1.5}])";
        return;
    }
  }

  void string(const shape& s) {
    if (!s.words.empty()) {
      json::append_quoted(out_, s.words.back());
      return;
    }
    // Two bytes a code point, so that a count of bytes shows.
    const std::size_t count = s.size_max == 0 ? 3 : s.size_max + (is_here(fault_kind::too_long) ? 1 : 0);
    out_ += '"';
    for (std::size_t i = 0; i < count; ++i) out_ += "é";
    out_ += '"';
  }

  void items(const shape& s, char open, char close) {
    const std::size_t count = is_here(fault_kind::too_long) ? s.size_max + 1 : 2;
    out_ += open;
    for (std::size_t i = 0; i < count; ++i) {
      if (i != 0) out_ += ',';
      const std::size_t length = path_.size();
      if (open == '{') {
        out_ += "\"k" + std::to_string(i) + "\":";
        append_member(path_, "k" + std::to_string(i));
      } else {
        append_index(path_, i);
      }
      value(*s.element);
      path_.resize(length);
    }
    out_ += close;
  }

  void object(const shape& s) {
    out_ += '{';
    bool first = true;
    const auto begin = [&](std::string_view name) {
      if (!first) out_ += ',';
      first = false;
      json::append_quoted(out_, name);
      out_ += ':';
    };
    const bool extra = is_here(fault_kind::unknown_member);
    for (const field& f : s.fields) {
      if (!f.required && !plan_.optional_members) continue;
      const std::size_t length = path_.size();
      append_member(path_, f.name);
      if (!is_here(fault_kind::missing_member)) {
        begin(f.name);
        value(*f.type);
        if (is_here(fault_kind::member_twice)) {
          begin(f.name);
          value(*f.type);
        }
      }
      path_.resize(length);
    }
    if (extra) {
      begin("extra");
      out_ += '1';
    }
    out_ += '}';
  }

  const sample_plan& plan_;
  const planted_fault& fault_;
  std::string path_;
  std::string out_;
};

inline std::string sample_of(const shape& s, const sample_plan& plan = {}, const planted_fault& fault = {}) {
  return sample_writer{plan, fault}.write(s);
}

// Every fault that can be planted in a sample with all optional members, the last element of each list.
class fault_lister {
 public:
  explicit fault_lister(const sample_plan& plan) : plan_{plan} {}

  std::vector<planted_fault> list(const shape& s) {
    value(s);
    return std::move(faults_);
  }

 private:
  void add(fault_kind kind) { faults_.push_back({kind, path_, path_.empty() ? "$" : path_}); }

  void value(const shape& s) {
    if (s.kind == shape_kind::any_value) return;
    add(fault_kind::wrong_type);
    add(fault_kind::null_value);
    if (s.kind == shape_kind::number || s.kind == shape_kind::integer) {
      add(fault_kind::infinite_number);
      add(fault_kind::not_a_number);
    }
    if (!s.words.empty() || s.kind == shape_kind::error_code) add(fault_kind::unknown_word);
    if (s.size_max != 0) add(fault_kind::too_long);
    if (s.kind == shape_kind::object) object(s);
    if (s.kind == shape_kind::one_of) object(*s.variants[plan_.variant % s.variants.size()]);
    if (s.element != nullptr) {
      const std::size_t length = path_.size();
      if (s.kind == shape_kind::map) {
        append_member(path_, "k1");
      } else {
        append_index(path_, 1);
      }
      value(*s.element);
      path_.resize(length);
    }
  }

  void object(const shape& s) {
    std::string extra = path_;
    append_member(extra, "extra");
    faults_.push_back({fault_kind::unknown_member, path_, extra});
    for (const field& f : s.fields) {
      const std::size_t length = path_.size();
      append_member(path_, f.name);
      if (f.required) add(fault_kind::missing_member);
      add(fault_kind::member_twice);
      value(*f.type);
      path_.resize(length);
    }
  }

  const sample_plan& plan_;
  std::string path_;
  std::vector<planted_fault> faults_;
};

}  // namespace tidegate::protocol::rpc
