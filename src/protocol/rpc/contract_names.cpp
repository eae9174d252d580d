#include "protocol/rpc/contract_names.h"

#include <algorithm>
#include <array>

namespace tidegate::protocol::rpc {
namespace {

// What the generated files declare themselves, and globals that a type of that name would hide.
constexpr std::array<std::string_view, 28> reserved{
    "AbortSignal",    "AsyncGenerator",    "CallOptions",      "Channel", "ChannelMap",
    "Client",         "ClientOptions",     "Envelope",         "Error",   "ErrorCode",
    "ErrorEnvelope",  "EventStreamReader", "HttpClient",       "Map",     "Meta",
    "Omit",           "Promise",           "PushEvent",        "PushMap", "PushName",
    "Record",         "Response",          "RunStreamOptions", "Set",     "StreamMessage",
    "StreamPosition", "SubscribeOptions",  "TidegateError"};

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string pascal(std::string_view name) {
  std::string out;
  bool begins = true;
  for (const char c : name) {
    if (c == ':') {
      begins = true;
    } else {
      out += begins ? upper(c) : c;
      begins = false;
    }
  }
  return out;
}

void collect(const shape& type, std::vector<const shape*>& found);

void visit(const shape& type, std::vector<const shape*>& found) {
  if (!type.name.empty()) {
    if (std::ranges::find(found, &type) != found.end()) return;
    found.push_back(&type);
  }
  collect(type, found);
}

void collect(const shape& type, std::vector<const shape*>& found) {
  for (const field& f : type.fields) visit(*f.type, found);
  if (type.element != nullptr) visit(*type.element, found);
  for (const shape* variant : type.variants) visit(*variant, found);
}

}  // namespace

std::string request_name(std::string_view channel) { return pascal(channel) + "Request"; }
std::string reply_name(std::string_view channel) { return pascal(channel) + "Reply"; }
std::string push_name(std::string_view push) { return pascal(push) + "Push"; }

std::string operation_name(std::string_view channel) {
  std::string out = pascal(channel);
  if (!out.empty()) out.front() = lower(out.front());
  return out;
}

std::vector<named_shape> all_named_shapes(const contract& source) {
  std::vector<named_shape> all;
  for (const channel& c : source.channels) {
    all.push_back({request_name(c.name), c.request});
    all.push_back({reply_name(c.name), c.reply});
  }
  for (const push& p : source.pushes) all.push_back({push_name(p.name), p.payload});
  for (const shape* s : source.shapes) all.push_back({std::string{s->name}, s});
  std::ranges::sort(all, {}, &named_shape::name);
  return all;
}

std::vector<const shape*> shapes_below(const shape& type) {
  std::vector<const shape*> found;
  // A named shape that stands for the whole (a reply that is a shared shape) is collected by its users.
  collect(type, found);
  std::ranges::sort(found, {}, [](const shape* s) { return s->name; });
  return found;
}

bool is_reserved_name(std::string_view name) { return std::ranges::find(reserved, name) != reserved.end(); }

}  // namespace tidegate::protocol::rpc
