// The session surface: POST /rpc/<channel>, one JSON object in, one envelope out (RPC-1 to RPC-3, SEC-1,
// SEC-2, TMO-4). What a channel does is its handler's business (session/channels.h). One instance a loop.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/exchange.h"
#include "protocol/rpc/contract.h"
#include "runtime/server/server.h"
#include "session/channels.h"
#include "surface/rpc_request.h"

namespace tidegate::surface {

// The handlers by the name of their channel: one table for all loops.
class channel_table {
 public:
  // Of our own making: a channel bound twice, or one that the contract does not know, ends the process. One
  // without a handler is answered as if it were unknown.
  explicit channel_table(std::span<const session::binding> bindings);

  struct entry {
    const protocol::rpc::channel* what;
    session::handler run;
  };
  const entry* find(std::string_view name) const;
  std::size_t size() const noexcept { return entries_.size(); }

 private:
  std::map<std::string_view, entry> entries_;
};

class rpc final : public runtime::request_handler {
 public:
  static constexpr std::string_view prefix = "/rpc/";

  rpc(gateway::core& shared, gateway::loop_services services, const channel_table& channels)
      : core_{shared}, services_{services}, channels_{channels} {}

  runtime::task<void> handle(runtime::downstream& exchange) override;
  std::string refusal_body(const runtime::http_refusal& why, std::string_view target,
                           std::string& headers) override;

 private:
  // Why it is refused before its body is looked at, or nothing.
  std::optional<foundation::failure> admit(const protocol::http1::request_head& head,
                                           rpc_request& asked) const;
  runtime::task<void> serve(runtime::downstream& exchange, rpc_request asked, const channel_table::entry& to);
  runtime::task<void> run(runtime::downstream& exchange, rpc_request asked, const channel_table::entry& to,
                          protocol::json::value body);
  session::channel_reply check_reply(const channel_table::entry& to, session::channel_reply reply) const;
  runtime::task<void> refuse(runtime::downstream& exchange, rpc_request asked, rpc_refusal refused);
  std::optional<foundation::duration> limit_of(const protocol::rpc::channel& what) const;

  gateway::core& core_;
  gateway::loop_services services_;
  const channel_table& channels_;
};

}  // namespace tidegate::surface
