#include "gateway/idempotency.h"

#include <algorithm>
#include <optional>

#include "gateway/core.h"
#include "gateway/exchange.h"
#include "gateway/store_wait.h"

namespace tidegate::gateway {

using foundation::error_code;
using foundation::failure;
using runtime::task;

namespace {

failure conflict(std::string message) {
  failure f;
  f.code = error_code::conflict;
  f.message = std::move(message);
  f.param = "idempotency-key";
  return f;
}

// Keeps a whole reply before the caller sees it: who has it can ask for it again.
class keeping_sink final : public reply_sink {
 public:
  keeping_sink(reply_sink& to, runtime::loop& loop, storage::reply_store& store, storage::reply_key key,
               storage::kept_reply about, const observe::logger& log)
      : to_{to}, loop_{loop}, store_{store}, key_{std::move(key)}, about_{std::move(about)}, log_{log} {}

  task<bool> whole(int status, std::string_view headers, std::string_view body) override {
    if (status >= 200 && status < 300) {
      about_.status = status;
      about_.headers = headers;
      about_.body = body;
      if (!co_await keep()) co_await mark();
    }
    co_return co_await to_.whole(status, headers, body);
  }
  // From here on something was delivered that cannot be delivered again.
  task<bool> begin_stream(int status, std::string_view headers) override {
    co_await mark();
    co_return co_await to_.begin_stream(status, headers);
  }
  task<bool> write(std::string_view bytes) override { return to_.write(bytes); }
  task<bool> end_stream() override { return to_.end_stream(); }
  void break_off() override { to_.break_off(); }
  void release_request() override { to_.release_request(); }
  runtime::cancel_source& gone() override { return to_.gone(); }
  void set_deadline(instant when) override { to_.set_deadline(when); }

 private:
  task<bool> keep() {
    store_wait<void> done{loop_};
    store_.put(key_, about_, done.answer());
    const auto stored = co_await done;
    if (!stored) {
      log_.at(observe::level::warn, "idempotent_reply_not_kept")
          .field("cause", storage::name_of(stored.error().problem))
          .field("message", stored.error().message);
    }
    co_return stored.has_value();
  }
  task<void> mark() {
    about_.status = storage::reply_mark;
    about_.headers.clear();
    about_.body.clear();
    static_cast<void>(co_await keep());
  }

  reply_sink& to_;
  runtime::loop& loop_;
  storage::reply_store& store_;
  storage::reply_key key_;
  storage::kept_reply about_;
  const observe::logger& log_;
};

}  // namespace

void idempotency::use(storage::reply_store* replies, storage::key_mac digests) {
  replies_ = replies;
  digests_.emplace(std::move(digests));
}

task<void> run_idempotent(core& shared, loop_services& services, call& request, std::string key,
                          reply_sink& reply) {
  idempotency& mine = shared.keyed();
  const storage::reply_key id{request.who.key, std::move(key)};
  storage::kept_reply about;
  about.request_digest = mine.digests_->of_text(std::string{name_of(request.from)} + '\n' + request.body);
  about.created_at = services.loop.wall();
  std::optional<failure> why;
  if (!mine.running_.with([&](auto& running) { return running.insert(id).second; })) {
    why = conflict("a call with this idempotency-key is still running");
    co_await refuse(shared, request.dialect, request.from, *why, request.run_id, request.trace_id,
                    services.records, reply);
    co_return;
  }
  // Leaves the set however this ends.
  struct leaving {
    guarded<std::set<storage::reply_key>>& running;
    const storage::reply_key& id;
    ~leaving() {
      running.with([this](auto& all) { all.erase(id); });
    }
  } leave{mine.running_, id};
  // What is over its time is as if it had never been, whenever the housekeeping comes round.
  store_wait<std::optional<storage::kept_reply>> found{services.loop};
  mine.replies_->get(id, about.created_at - shared.current()->idempotency_ttl, found.answer());
  auto known = co_await found;
  if (!known) {
    // Without knowing whether it was answered before, a second charge cannot be ruled out.
    why.emplace();
    why->code = error_code::db_error;
    why->message = "the store of replies cannot be read: " + known.error().message;
  } else if (known->has_value()) {
    const storage::kept_reply& kept = **known;
    if (kept.request_digest != about.request_digest) {
      why = conflict("this idempotency-key was used with another body");
    } else if (kept.status == storage::reply_mark) {
      why = conflict(
          "this idempotency-key was answered, and the reply is not kept: it was streamed or too large, or "
          "there is no master key to seal it with");
    } else {
      static_cast<void>(
          co_await reply.whole(kept.status, kept.headers + "idempotent-replayed: true\r\n", kept.body));
      co_return;
    }
  }
  if (why) {
    co_await refuse(shared, request.dialect, request.from, *why, request.run_id, request.trace_id,
                    services.records, reply);
    co_return;
  }
  keeping_sink keeping{reply, services.loop, *mine.replies_, id, std::move(about), shared.log()};
  co_await run_exchange(shared, services, request, keeping);
}

}  // namespace tidegate::gateway
