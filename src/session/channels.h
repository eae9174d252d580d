// What a channel's handler is given and gives back. surface/rpc has done the rest by then: who calls and
// whether it may use this channel and the projects it names, the body's size, its JSON and its schema. A
// handler checks meaning only.
//
// Handlers are members of small classes that hold references to what they need and list themselves:
//
//   class chat_channels {
//    public:
//     explicit chat_channels(chats& stories) : stories_{stories} {}
//     std::vector<binding> bindings() {
//       return {{"ai:chat:send", [this](json::value r, request_context& c) { return send(r, c); }}, ...};
//     }
//    private:
//     runtime::task<channel_reply> send(json::value request, request_context& context);
//   };
//
// One instance of such a class serves all loops: what it holds is safe for that.
#pragma once

#include <coroutine>
#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "foundation/error.h"
#include "gateway/exchange.h"
#include "gateway/store_wait.h"
#include "policy/access.h"
#include "protocol/json/json.h"
#include "runtime/async/cancel.h"
#include "runtime/async/task.h"
#include "storage/result.h"

namespace tidegate::session {

namespace json = protocol::json;

// The response as a stream of one run's own pushes (STR-2), for a caller that asked for it.
class push_sink {
 public:
  virtual ~push_sink() = default;
  // One push: its name, its id ("" for none) and its payload, one JSON object. The first one opens the
  // response with status 200; from then on no failure can be told but by a push. Returns once the bytes are
  // with the kernel, so that a slow reader stops its writer; false: the caller has gone.
  virtual runtime::task<bool> send(std::string_view name, std::string_view id, std::string_view data) = 0;
  // The same for whole server-sent events as push_hub gives them, and for comment lines while nothing
  // happens.
  virtual runtime::task<bool> write(std::string_view events) = 0;
  virtual bool opened() const noexcept = 0;
};

// Lives as long as the handler.
struct request_context {
  const policy::principal& who;      // limits, budgets and accounts are kept under `who.id`
  std::string request_id;            // UUIDv7 of this request: meta.requestId
  std::string trace_id;              // from traceparent, else made
  std::string session;               // header x-tidegate-session, "" for none
  gateway::loop_services& services;  // of the loop that the request came in on
  // Fires when the caller has left (client_left), the deadline has passed (requested) or the drain time is
  // over (shutdown). A handler then ends soon, and begins no side effect any more: it looks at fired() behind
  // every suspension that a side effect follows. What it returns is not read any more.
  runtime::cancel_source& gone;
  // Not null: the caller takes text/event-stream. A handler that streams sends its pushes there and returns
  // any text when it has sent the last one; the response then ends cleanly. After a failure it breaks off.
  push_sink* stream = nullptr;
};

// The `data` object as JSON text.
using channel_reply = std::expected<std::string, foundation::failure>;
using handler = std::function<runtime::task<channel_reply>(json::value request, request_context& context)>;

struct binding {
  std::string_view channel;
  handler run;
};

inline std::unexpected<foundation::failure> refusal(foundation::error_code code, std::string message,
                                                    std::string details = {}) {
  foundation::failure f;
  f.code = code;
  f.message = std::move(message);
  f.details = std::move(details);
  return std::unexpected{std::move(f)};
}

// For a handler that finds `gone` fired.
inline std::unexpected<foundation::failure> given_up() {
  return refusal(foundation::error_code::canceled, "the request has ended");
}

// What a caller is told of a store's failure where the store's problem is all there is to say. The store's
// own message is for the log.
inline foundation::failure failure_of(const storage::store_failure& why) {
  foundation::failure f;
  f.code = foundation::error_code::db_error;
  switch (why.problem) {
    case storage::store_problem::not_found:
      f.code = foundation::error_code::not_found;
      f.message = "there is no such entry";
      break;
    case storage::store_problem::conflict:
      f.code = foundation::error_code::conflict;
      f.message = "an entry of that name exists";
      break;
    case storage::store_problem::too_large:
      f.code = foundation::error_code::invalid_argument;
      f.message = "it is larger than the store takes";
      break;
    case storage::store_problem::overloaded:
      f.code = foundation::error_code::server_overloaded;
      f.message = "the store has too much to do";
      f.details = R"({"reason":"store"})";
      f.retry_after = std::chrono::seconds{1};
      break;
    case storage::store_problem::timed_out:
      f.code = foundation::error_code::timeout;
      f.message = "the store took too long to find it; ask for less";
      break;
    case storage::store_problem::no_key:
      f.code = foundation::error_code::unsupported;
      f.message = "there is no master key to seal it with";
      break;
    case storage::store_problem::unavailable:
      f.message = "the store cannot be used";
      break;
  }
  return f;
}

// One call of a store, awaited in the request's loop. `start` takes the `done`:
//   auto kept = co_await ask_store<void>(context, [&](auto done) { store.apply(..., std::move(done)); });
// It runs to its answer even when `gone` fires meanwhile: what was handed over counts as done before.
template <class T, class Start>
runtime::task<storage::result<T>> ask_store(request_context& context, Start start) {
  gateway::store_wait<T> wait{context.services.loop};
  start(wait.answer());
  co_return co_await wait;
}

// The same for parts that answer with a failure: awaits what `answer()` is called with, on whatever thread.
template <class T>
class loop_answer {
 public:
  using given = std::expected<T, foundation::failure>;
  explicit loop_answer(runtime::loop& loop) : wait_{loop}, done_{wait_.answer()} {}

  // Once.
  std::move_only_function<void(given)> answer() {
    return [done = std::move(done_)](given g) mutable { done(std::move(g)); };
  }
  bool await_ready() const noexcept { return wait_.await_ready(); }
  void await_suspend(std::coroutine_handle<> waiter) noexcept { wait_.await_suspend(waiter); }
  given await_resume() { return std::move(*wait_.await_resume()); }

 private:
  gateway::store_wait<given> wait_;
  storage::done<given> done_;
};

}  // namespace tidegate::session
