// The one schema source of the session surface (RPC-4): every channel with its request and reply, every push
// with its payload. Requirements sections 4 and 5.
//
// Shapes say what a value is made of: members, types, enumerations, sizes. What makes no sense although it is
// well made (blank ids, numbers out of their range, a patch without a change) is the handler's
// INVALID_ARGUMENT.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"
#include "protocol/rpc/schema.h"

namespace tidegate::protocol::rpc {

// Who may call a channel that the key is granted at all (SEC-2).
enum class access : std::uint8_t { client, admin };

// What bounds the handler (TMO-4).
enum class time_class : std::uint8_t {
  standard,  // timeouts.rpc
  run,       // the run's own deadlines
  judge,     // judge.timeout + 5 s
};

struct channel {
  std::string_view name;  // "ai:chat:send"
  const shape* request = nullptr;
  const shape* reply = nullptr;  // of the envelope's `data`
  access needs = access::client;
  time_class limit = time_class::standard;
  std::string_view summary = {};
};

struct push {
  std::string_view name;  // "skill:stream:chunk"
  const shape* payload = nullptr;
  std::string_view summary = {};
};

// A contract as a value, so that faulty ones can be made for tests.
struct contract {
  std::span<const std::string_view> domains;
  std::span<const channel> channels;
  std::span<const push> pushes;
  // All shapes that have a name; whatever a channel or push refers to by name must be among them.
  std::span<const shape* const> shapes;
};

// tidegate's own; constant data.
const contract& session_contract();

// Nothing for an unknown name.
const channel* find_channel(std::string_view name);
const push* find_push(std::string_view name);

// May stand in an error envelope: in the table of codes, and not one of those that only mark something in a
// good reply (HTTP 200).
bool is_declared(foundation::error_code code);

// The error inside failed candidates, done pushes and envelopes: {code, message, traceId?, details?,
// retryable, retryAfterMs?}.
extern const shape error_shape;

struct contract_fault {
  std::string_view code;  // IPC_CONTRACT_...
  std::string message;
};

// All breaches of RPC-4's rules. `bound`: the channels that have a handler; each channel must have one, and
// each handler a channel. An empty `bound` leaves that rule out.
std::vector<contract_fault> check_rules(const contract& source, std::span<const std::string_view> bound = {});

}  // namespace tidegate::protocol::rpc
