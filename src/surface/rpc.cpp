#include "surface/rpc.h"

#include <exception>
#include <utility>

#include "foundation/check.h"
#include "foundation/text.h"
#include "policy/access.h"
#include "protocol/rpc/envelope.h"
#include "surface/push_stream.h"

namespace tidegate::surface {

namespace json = protocol::json;
namespace contract = protocol::rpc;
using foundation::error_code;
using foundation::failure;
using observe::level;
using runtime::cancel_reason;
using runtime::cancel_source;
using runtime::downstream;
using runtime::task;
using session::channel_reply;

namespace {

constexpr std::size_t session_header_max = 255;
constexpr std::chrono::seconds judge_margin{5};  // TMO-4

// Refused by nobody: the caller asks for a run to stop, which makes room.
constexpr std::string_view cancel_channel = "ai:skill:cancel";

failure make_failure(error_code code, std::string message, std::string details = {}) {
  failure f;
  f.code = code;
  f.message = std::move(message);
  f.details = std::move(details);
  return f;
}

failure overloaded(bool draining) {
  failure f = make_failure(error_code::server_overloaded,
                           draining ? "the gateway is shutting down" : "too many calls are in flight",
                           draining ? R"({"reason":"draining"})" : R"({"reason":"max_in_flight"})");
  f.retry_after = std::chrono::seconds{1};
  return f;
}

bool takes_events(std::string_view accept) {
  return foundation::to_lower(accept).find("text/event-stream") != std::string::npos;
}

// A handler at work, and what may end it: the caller leaves, or its time is over. Whoever waits for it learns
// of its end and of its deadline; only when it has ended may this go.
class running {
 public:
  running(runtime::loop& owner, cancel_source& caller) : loop_{owner}, caller_{caller} {
    if (caller.fired()) {
      gone.fire(caller.reason());
    } else {
      caller.attach(left_);
    }
  }
  void limit(foundation::instant by) { deadline_.arm(by); }

  runtime::detached drive(const channel_table::entry& to, json::value body,
                          session::request_context& context) {
    try {
      reply = co_await to.run(body, context);
    } catch (const std::exception& e) {
      fault = e.what();
    } catch (...) {
      fault = "unknown exception";
    }
    deadline_.disarm();
    ended_ = true;
    wake();
  }

  // Until it has ended or its time is over.
  auto news() { return wait{*this, true}; }
  auto end() { return wait{*this, false}; }
  bool ended() const noexcept { return ended_; }
  bool late() const noexcept { return late_; }

  cancel_source gone;
  channel_reply reply{};
  std::optional<std::string> fault;  // what it threw

 private:
  struct wait {
    running& of;
    bool or_late;
    bool await_ready() const noexcept { return of.ended_ || (or_late && of.late_); }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept {
      of.waiter_ = waiter;
      of.wakes_late_ = or_late;
    }
    void await_resume() const noexcept {}
  };
  struct left_hook : runtime::cancel_hook {
    explicit left_hook(running& r)
        : cancel_hook{[](cancel_hook& hook) {
            running& self = static_cast<left_hook&>(hook).of;
            self.gone.fire(self.caller_.reason());
          }},
          of{r} {}
    running& of;
  };
  struct deadline_timer : runtime::timer {
    explicit deadline_timer(running& r)
        : timer{r.loop_,
                [](timer& t) {
                  running& self = static_cast<deadline_timer&>(t).of;
                  self.late_ = true;
                  if (self.wakes_late_) self.wake();
                  self.gone.fire(cancel_reason::requested);
                }},
          of{r} {}
    running& of;
  };

  void wake() {
    if (waiter_) loop_.schedule(std::exchange(waiter_, nullptr));
  }

  runtime::loop& loop_;
  cancel_source& caller_;
  left_hook left_{*this};
  deadline_timer deadline_{*this};
  std::coroutine_handle<> waiter_;
  bool wakes_late_ = false;
  bool late_ = false;
  bool ended_ = false;
};

// Every project that a request names by itself or as its context.
std::optional<std::string> forbidden_project(const policy::principal& who, json::value body) {
  for (const auto& named : {body.find("projectId"), body.path({"context", "projectId"})}) {
    if (!named) continue;
    std::string id = named->as_string().value_or("");
    const std::string_view bare = foundation::trim(id);
    if (!bare.empty() && !(policy::may_use_project(who, id) && policy::may_use_project(who, bare))) return id;
  }
  return std::nullopt;
}

}  // namespace

channel_table::channel_table(std::span<const session::binding> bindings) {
  for (const session::binding& b : bindings) {
    const contract::channel* known = contract::find_channel(b.channel);
    TG_CHECK(known != nullptr);
    TG_CHECK(entries_.try_emplace(known->name, entry{known, b.run}).second);
  }
}

const channel_table::entry* channel_table::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

// No coroutine of its own: its frame would last as long as the exchange.
task<void> rpc::handle(downstream& exchange) {
  const auto& head = exchange.request();
  std::string_view name = head.path_query.substr(0, head.path_query.find('?'));
  name.remove_prefix(std::min(name.size(), prefix.size()));
  rpc_request asked = begin_request(exchange, services_, percent_decode(name).value_or(std::string{name}));
  if (head.method != "POST") {
    note_violation(core_, services_, asked.channel, "use POST for a channel", asked.trace_id);
    return refuse(exchange, std::move(asked),
                  {make_failure(error_code::invalid_argument, "use POST for a channel"), 405, "POST"});
  }
  if (auto why = admit(head, asked)) return refuse(exchange, std::move(asked), {std::move(*why)});
  const channel_table::entry& to = *channels_.find(asked.channel);
  return serve(exchange, std::move(asked), to);
}

std::optional<failure> rpc::admit(const protocol::http1::request_head& head, rpc_request& asked) const {
  if (auto why = identify(core_, head, asked)) return why;
  const policy::principal& who = *asked.caller.who;
  const std::string_view session = foundation::trim(head.get("x-tidegate-session"));
  if (session.size() > session_header_max || !foundation::is_utf8(session)) {
    return make_failure(error_code::invalid_argument,
                        "x-tidegate-session: expected UTF-8 text of at most 255 bytes");
  }
  // A key is not told which of the channels that it may not use exist.
  const channel_table::entry* const to = channels_.find(asked.channel);
  if (to == nullptr || !policy::may_use_channel(who, asked.channel)) {
    return make_failure(error_code::ipc_channel_forbidden,
                        "there is no such channel, or this client key may not use it");
  }
  if ((to->what->needs == contract::access::admin || policy::needs_admin(asked.channel)) &&
      who.role != policy::caller_role::admin) {
    return make_failure(error_code::forbidden, asked.channel + " needs a client key of role admin");
  }
  return std::nullopt;
}

task<void> rpc::serve(downstream& exchange, rpc_request asked, const channel_table::entry& to) {
  const auto served = core_.current();
  const bool always = to.what->name == cancel_channel;
  // A run takes its place itself, for it may outlive this request.
  const bool own = to.what->limit == contract::time_class::run && !core_.draining();
  const gateway::core::place place =
      always || own || core_.draining() ? gateway::core::place{} : core_.enter(served->max_in_flight);
  if (!place && !always && !own) {
    co_await refuse(exchange, std::move(asked), {overloaded(core_.draining())});
    co_return;
  }
  const auto received = co_await exchange.read_body(served->rpc.max_body);
  if (!received) {
    if (received.error().status == 0) co_return;  // the caller has gone
    exchange.close_after();
    // One that is too large has an event of its own.
    if (received.error().status != 413)
      note_violation(core_, services_, to.what->name, received.error().reason, asked.trace_id);
    co_await refuse(exchange, std::move(asked), body_refusal(received.error()));
    co_return;
  }
  const std::string text = exchange.take_body();
  const contract::reading body = contract::read(*to.what->request, text, served->max_json_depth);
  if (!body.ok()) {
    core_.log()
        .at(level::info, "ipc_request_validation_failed")
        .field("channel", to.what->name)
        .field("issueCount", body.issues.size())
        .field("reason", body.issues.front().path + ": " + body.issues.front().message)
        .field("traceId", asked.trace_id);
    co_await refuse(exchange, std::move(asked), {contract::validation_failure(body.issues)});
    co_return;
  }
  if (auto project = forbidden_project(*asked.caller.who, body.content)) {
    co_await refuse(exchange, std::move(asked),
                    {make_failure(error_code::forbidden, "this client key may not use that project")});
    co_return;
  }
  co_await run(exchange, std::move(asked), to, body.content);
}

std::optional<foundation::duration> rpc::limit_of(const contract::channel& what) const {
  const auto served = core_.current();
  switch (what.limit) {
    case contract::time_class::run:
      return std::nullopt;
    case contract::time_class::judge:
      return served->judge.timeout + judge_margin;
    case contract::time_class::standard:
      break;
  }
  return served->rpc.timeout;
}

task<void> rpc::run(downstream& exchange, rpc_request asked, const channel_table::entry& to,
                    json::value body) {
  const auto& head = exchange.request();
  running work{services_.loop, exchange.gone()};
  push_stream stream{exchange, rpc_headers(asked.trace_id, "text/event-stream"), work.gone};
  session::request_context context{
      *asked.caller.who, asked.id,
      asked.trace_id,    std::string{foundation::trim(head.get("x-tidegate-session"))},
      services_,         work.gone};
  const bool streams = to.what->limit == contract::time_class::run && takes_events(head.get("accept"));
  if (streams) context.stream = &stream;
  if (const auto limit = limit_of(*to.what)) work.limit(services_.loop.fresh_now() + *limit);
  work.drive(to, body, context);
  co_await work.news();
  const bool late = work.late();
  if (late) {
    co_await answer_failure(
        services_, exchange, asked,
        {make_failure(error_code::ipc_timeout, to.what->name.data() + std::string{" took too long"})});
  }
  // What it lives on is here: it ends first. It was told to.
  co_await work.end();
  co_await stream.settle();
  if (work.fault) {
    core_.log()
        .at(level::error, late ? "ipc_timeout_cleanup_failed" : "ipc_handler_unhandled_error")
        .field("channel", to.what->name)
        .field("message", *work.fault)
        .field("traceId", asked.trace_id);
    work.reply = session::refusal(error_code::internal_error, "the request could not be handled");
  }
  if (late || work.gone.reason() == cancel_reason::client_left) co_return;
  if (stream.opened()) {
    if (!work.reply || !co_await exchange.finish()) exchange.close_after();
    co_return;
  }
  const channel_reply reply = check_reply(to, std::move(work.reply));
  if (!reply) {
    if (contract::presentable(reply.error()).code != reply.error().code)
      note_violation(core_, services_, to.what->name, "the handler failed with a code that is not declared",
                     asked.trace_id);
    co_await answer_failure(services_, exchange, asked, {reply.error()});
    co_return;
  }
  static_cast<void>(co_await exchange.respond(
      200, rpc_headers(asked.trace_id, "application/json"),
      contract::ok_envelope(*reply, asked.id, services_.loop.wall().time_since_epoch())));
}

// RPC-3: a reply that is not of its shape never leaves.
channel_reply rpc::check_reply(const channel_table::entry& to, channel_reply reply) const {
  if (!reply) return reply;
  const contract::reading data = contract::read(*to.what->reply, *reply);
  if (data.ok()) return reply;
  core_.log()
      .at(level::error, "ipc_response_validation_failed")
      .field("channel", to.what->name)
      .field("issueCount", data.issues.size())
      .field("reason", data.issues.front().path + ": " + data.issues.front().message);
  return session::refusal(error_code::internal_error, "the reply was not of its shape");
}

task<void> rpc::refuse(downstream& exchange, rpc_request asked, rpc_refusal refused) {
  co_await answer_refusal(core_, services_, exchange, std::move(asked), std::move(refused));
}

std::string rpc::refusal_body(const runtime::http_refusal& why, std::string_view target,
                              std::string& headers) {
  return rpc_refusal_body(core_, services_, why, target, headers);
}

}  // namespace tidegate::surface
