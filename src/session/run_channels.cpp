#include "session/run_channels.h"

#include <utility>

#include "foundation/text.h"

namespace tidegate::session {

using foundation::error_code;
using runtime::task;

namespace {

// While it stands, whatever ends the request ends the run.
class leaving_cancels final : runtime::cancel_hook {
 public:
  leaving_cancels(runtime::cancel_source& gone, execution& run)
      : cancel_hook{[](cancel_hook& hook) {
          auto& self = static_cast<leaving_cancels&>(hook);
          self.run_.cancel(self.gone_.reason());
        }},
        gone_{gone},
        run_{run} {
    if (gone_.fired()) {
      run_.cancel(gone_.reason());
    } else {
      gone_.attach(*this);
    }
  }

 private:
  runtime::cancel_source& gone_;
  execution& run_;
};

runtime::detached start(std::shared_ptr<execution> run) {
  try {
    co_await execution::run(std::move(run));
  } catch (const std::exception&) {
    // Nothing is left to tell it with.
  }
}

}  // namespace

std::vector<binding> run_channels::bindings() {
  return {{"ai:skill:run", [this](json::value r, request_context& c) { return run(r, c); }},
          {"ai:skill:cancel", [this](json::value r, request_context& c) { return cancel(r, c); }}};
}

task<channel_reply> run_channels::run(json::value request, request_context& context) {
  auto asked = read_run_request(request);
  if (!asked) co_return std::unexpected{std::move(asked.error())};
  const bool streamed = asked->stream;
  auto made = std::make_shared<execution>(world_, context.services, context.who, std::move(*asked),
                                          context.trace_id, context.session);
  if (!streamed) co_return co_await wait(std::move(made), context);
  if (context.stream != nullptr) co_return co_await stream(std::move(made), context);
  start(made);
  co_return co_await made->first_answer();
}

task<channel_reply> run_channels::wait(std::shared_ptr<execution> made, request_context& context) {
  const leaving_cancels linked{context.gone, *made};
  co_await execution::run(made);
  co_return made->reply();
}

task<channel_reply> run_channels::stream(std::shared_ptr<execution> made, request_context& context) {
  made->open_line();
  const leaving_cancels linked{context.gone, *made};
  start(made);
  bool sent = false;
  while (auto next = co_await made->next_push()) {
    // Refused before anything was told: an ordinary reply says it better than a stream of one push.
    if (!sent && made->refused_at_once()) co_return made->reply();
    sent = true;
    // A caller that has gone is not written to, but its run is still waited for.
    if (context.gone.fired()) continue;
    static_cast<void>(co_await context.stream->send(next->name, next->id, next->data));
  }
  co_return std::string{"{}"};
}

// STR-5: what is unknown or over is cancelled as well.
task<channel_reply> run_channels::cancel(json::value request, request_context& context) {
  std::string id{foundation::trim(request.string_or("executionId", ""))};
  if (id.empty()) {
    id = foundation::trim(request.string_or("runId", ""));
    if (!id.empty()) {
      world_.core.log()
          .at(observe::level::warn, "deprecated_field")
          .field("channel", "ai:skill:cancel")
          .field("field", "runId")
          .field("message", "use executionId");
    }
  }
  if (id.empty()) co_return refusal(error_code::invalid_argument, "executionId is missing");
  const std::string_view whose =
      context.who.role == policy::caller_role::admin ? std::string_view{} : std::string_view{context.who.id};
  world_.live.cancel(id, whose, runtime::cancel_reason::requested);
  co_return std::string{R"({"canceled":true})"};
}

}  // namespace tidegate::session
