// What may be wrong with a contract before anything is generated from it (RPC-4).
#include <algorithm>
#include <map>
#include <set>

#include "protocol/rpc/contract.h"
#include "protocol/rpc/contract_names.h"

namespace tidegate::protocol::rpc {
namespace {

constexpr std::string_view invalid_name = "IPC_CONTRACT_INVALID_NAME";
constexpr std::string_view unknown_domain = "IPC_CONTRACT_UNKNOWN_DOMAIN";
constexpr std::string_view duplicated_channel = "IPC_CONTRACT_DUPLICATED_CHANNEL";
constexpr std::string_view missing_schema = "IPC_CONTRACT_MISSING_SCHEMA";
constexpr std::string_view invalid_reference = "IPC_CONTRACT_INVALID_SCHEMA_REFERENCE";
constexpr std::string_view name_collision = "IPC_CONTRACT_NAME_COLLISION";
constexpr std::string_view unregistered_binding = "IPC_CONTRACT_UNREGISTERED_BINDING";

// The validator keeps one bit a member.
constexpr std::size_t fields_max = 64;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The number of segments, or 0 where one is empty or has another character than a-z and 0-9.
std::size_t segments_of(std::string_view name) {
  std::size_t count = 0;
  std::size_t length = 0;
  for (const char c : name) {
    if (c == ':') {
      if (length == 0) return 0;
      ++count;
      length = 0;
    } else if (is_lower(c) || is_digit(c)) {
      ++length;
    } else {
      return 0;
    }
  }
  return length == 0 ? 0 : count + 1;
}

bool is_type_name(std::string_view name) {
  return is_upper(name.front()) &&
         std::ranges::all_of(name, [](char c) { return is_upper(c) || is_lower(c) || is_digit(c); });
}

bool is_field_name(std::string_view name) {
  return !name.empty() && (is_lower(name.front()) || is_upper(name.front())) &&
         std::ranges::all_of(name,
                             [](char c) { return is_upper(c) || is_lower(c) || is_digit(c) || c == '_'; });
}

std::string folded(std::string_view name) {
  std::string out{name};
  for (char& c : out) {
    if (is_upper(c)) c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

class rules {
 public:
  explicit rules(const contract& source) : source_{source} {}

  std::vector<contract_fault> run(std::span<const std::string_view> bound) {
    for (const channel& c : source_.channels) check_channel(c);
    for (const push& p : source_.pushes) check_push(p);
    for (const shape* s : source_.shapes) check_listed(s);
    for (const auto& [name, users] : types_) {
      if (users.size() > 1) fault(name_collision, users.front() + " and " + users.back() + " are one name");
    }
    if (!bound.empty()) check_bindings(bound);
    return std::move(faults_);
  }

 private:
  void fault(std::string_view code, std::string message) { faults_.push_back({code, std::move(message)}); }

  void check_name(std::string_view name, std::size_t segments_min) {
    const std::size_t segments = segments_of(name);
    if (segments < segments_min || segments > 3) {
      fault(invalid_name, std::string{name} + ": expected domain:resource:action in a-z and 0-9");
      return;
    }
    const std::string_view domain = name.substr(0, name.find(':'));
    if (std::ranges::find(source_.domains, domain) == source_.domains.end()) {
      fault(unknown_domain, std::string{name} + ": no domain " + std::string{domain});
    }
    if (!names_.insert(name).second) fault(duplicated_channel, std::string{name} + " is listed twice");
  }

  void claim(const std::string& type, std::string_view user) {
    auto& users = types_[folded(type)];
    users.push_back(type + " (" + std::string{user} + ')');
    if (is_reserved_name(type)) fault(name_collision, users.back() + " is a name of the contract's own");
  }

  void check_channel(const channel& c) {
    check_name(c.name, 3);
    if (c.request == nullptr) fault(missing_schema, std::string{c.name} + " has no request");
    if (c.reply == nullptr) fault(missing_schema, std::string{c.name} + " has no reply");
    claim(request_name(c.name), c.name);
    claim(reply_name(c.name), c.name);
    for (const shape* s : {c.request, c.reply}) {
      if (s != nullptr) check_shape(*s, c.name);
    }
  }

  void check_push(const push& p) {
    check_name(p.name, 2);
    claim(push_name(p.name), p.name);
    if (p.payload == nullptr) {
      fault(missing_schema, std::string{p.name} + " has no payload");
    } else {
      check_shape(*p.payload, p.name);
    }
  }

  void check_listed(const shape* s) {
    if (s == nullptr) return fault(invalid_reference, "the list of shapes has an empty place");
    if (s->name.empty() || !is_type_name(s->name)) {
      fault(invalid_name, "'" + std::string{s->name} + "' is no name for a shape");
    } else {
      claim(std::string{s->name}, "shape");
    }
    check_shape(*s, s->name);
  }

  void check_shape(const shape& s, std::string_view user) {
    if (!s.name.empty() && std::ranges::find(source_.shapes, &s) == source_.shapes.end()) {
      fault(invalid_reference,
            std::string{user} + " refers to " + std::string{s.name} + ", which is not listed");
    }
    if (std::ranges::find(path_, &s) != path_.end()) {
      return fault(invalid_reference, std::string{user} + " has a shape that holds itself");
    }
    if (!checked_.insert(&s).second) return;
    path_.push_back(&s);
    check_parts(s, user);
    path_.pop_back();
  }

  void check_parts(const shape& s, std::string_view user) {
    std::set<std::string_view> seen;
    if (s.fields.size() > fields_max) fault(invalid_reference, std::string{user} + " has too many fields");
    for (const field& f : s.fields) {
      const std::string where = std::string{user} + "." + std::string{f.name};
      if (!is_field_name(f.name)) fault(invalid_name, where + " is no name for a field");
      if (!seen.insert(f.name).second) fault(name_collision, where + " is there twice");
      if (f.type == nullptr) {
        fault(invalid_reference, where + " has no shape");
      } else {
        check_shape(*f.type, where);
      }
    }
    if (s.kind == shape_kind::array || s.kind == shape_kind::map) {
      if (s.element == nullptr) {
        fault(invalid_reference, std::string{user} + " has no shape for its elements");
      } else {
        check_shape(*s.element, user);
      }
    }
    if (s.kind == shape_kind::one_of) check_variants(s, user);
  }

  void check_variants(const shape& s, std::string_view user) {
    std::set<std::string_view> tags;
    for (const shape* variant : s.variants) {
      if (variant == nullptr) {
        fault(invalid_reference, std::string{user} + " has an empty variant");
        continue;
      }
      check_shape(*variant, user);
      const auto at = std::ranges::find(variant->fields, s.tag, &field::name);
      if (at == variant->fields.end() || at->type == nullptr || at->type->words.empty() || !at->required) {
        fault(invalid_reference, std::string{user} + " has a variant without a tag");
        continue;
      }
      for (const std::string_view word : at->type->words) {
        if (!tags.insert(word).second)
          fault(name_collision, std::string{user} + " has two variants " + std::string{word});
      }
    }
    if (s.variants.empty()) fault(missing_schema, std::string{user} + " has no variants");
  }

  void check_bindings(std::span<const std::string_view> bound) {
    std::set<std::string_view> handlers;
    for (const std::string_view name : bound) {
      if (!handlers.insert(name).second) fault(duplicated_channel, std::string{name} + " has two handlers");
      if (std::ranges::find(source_.channels, name, &channel::name) == source_.channels.end()) {
        fault(unregistered_binding, std::string{name} + " has a handler but is no channel");
      }
    }
    for (const channel& c : source_.channels) {
      if (!handlers.contains(c.name)) fault(unregistered_binding, std::string{c.name} + " has no handler");
    }
  }

  const contract& source_;
  std::vector<contract_fault> faults_;
  std::set<std::string_view> names_;
  std::map<std::string, std::vector<std::string>> types_;  // by folded name: who claims it
  std::set<const shape*> checked_;
  std::vector<const shape*> path_;
};

}  // namespace

std::vector<contract_fault> check_rules(const contract& source, std::span<const std::string_view> bound) {
  return rules{source}.run(bound);
}

}  // namespace tidegate::protocol::rpc
