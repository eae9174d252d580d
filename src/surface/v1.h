// The gateway surface: /v1/* in the OpenAI and Anthropic dialects, and /healthz. One instance a loop.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gateway/exchange.h"
#include "runtime/server/server.h"

namespace tidegate::surface {

class v1 final : public runtime::request_handler {
 public:
  v1(gateway::core& shared, gateway::loop_services services) : core_{shared}, services_{services} {}

  runtime::task<void> handle(runtime::downstream& exchange) override;
  std::string refusal_body(const runtime::http_refusal& why, std::string_view target,
                           std::string& headers) override;

 private:
  runtime::task<void> generate(runtime::downstream& exchange, gateway::call request);
  // Not inlined: its frame would become part of every other exchange's.
  [[gnu::noinline]] runtime::task<void> models(runtime::downstream& exchange, std::string_view id,
                                               gateway::call request);
  [[gnu::noinline]] runtime::task<void> refuse(runtime::downstream& exchange, gateway::call request,
                                               foundation::failure why);
  [[gnu::noinline]] runtime::task<void> refuse_entry(runtime::downstream& exchange, gateway::call& request);
  [[gnu::noinline]] runtime::task<void> refuse_body(runtime::downstream& exchange, gateway::call& request,
                                                    const runtime::http_refusal& why);
  [[gnu::noinline]] runtime::task<void> turn_away(runtime::downstream& exchange, gateway::call request,
                                                  foundation::failure why);
  runtime::task<void> answer_health(runtime::downstream& exchange);
  gateway::call begin(const runtime::downstream& exchange) const;
  std::optional<foundation::failure> identify(const protocol::http1::request_head& head,
                                              gateway::call& request) const;

  gateway::core& core_;
  gateway::loop_services services_;
};

}  // namespace tidegate::surface
