#include "session/metered_call.h"

#include <utility>

#include "foundation/ids.h"

namespace tidegate::session {

namespace dialect = protocol::dialect;
using foundation::failure;
using runtime::task;

namespace {

// Collects the reply's text; everything else of the story is nothing to a plain question.
class plain_story final : public gateway::reply_sink, public gateway::story {
 public:
  plain_story(run_world& world, const model_question& asked, asker by, std::string run_id,
              runtime::cancel_source& cancel)
      : world_{world}, asked_{asked}, context_{by}, run_id_{std::move(run_id)}, cancel_{cancel} {}

  std::expected<std::string, failure> outcome() {
    if (why_) return std::unexpected{std::move(*why_)};
    return std::move(text_);
  }
  void lost() {
    if (ended_) return;
    why_.emplace();
    why_->message = "the gateway failed on this run";
  }

  task<bool> whole(int, std::string_view, std::string_view) override { co_return true; }
  task<bool> begin_stream(int, std::string_view) override { co_return true; }
  task<bool> write(std::string_view) override { co_return true; }
  task<bool> end_stream() override { co_return true; }
  void break_off() override {}
  void release_request() override {}
  runtime::cancel_source& gone() override { return cancel_; }
  void set_deadline(foundation::instant) override {}

  task<std::optional<failure>> take_turn() override { co_return std::nullopt; }
  task<std::expected<std::string, failure>> compose() override {
    std::string body;
    json::writer w{body};
    w.begin_object().member("model", asked_.model).key("messages").begin_array();
    if (!asked_.system.empty())
      w.begin_object().member("role", "system").member("content", asked_.system).end_object();
    w.begin_object().member("role", "user").member("content", asked_.user).end_object();
    w.end_array().member("temperature", asked_.temperature).end_object();
    co_return body;
  }
  std::optional<failure> may_spend() override {
    const auto stop = world_.guards.check(context_.who.id);
    if (!stop) return std::nullopt;
    context_.services.records.event(world_.core.log(), observe::level::warn, "budget-exceeded",
                                    gateway::stage::note, [&](json::writer& w) {
                                      w.member("traceId", context_.trace_id).member("runId", run_id_);
                                      w.member("key", context_.who.id);
                                      stop->members(w);
                                    });
    return stop->failure();
  }
  void started(std::string_view, std::string_view) override {}
  void switched(std::string_view, std::string_view, policy::switch_reason) override {}
  std::unique_ptr<dialect::stream_encoder> begin_output(int) override { return nullptr; }  // never streamed
  void whole_reply(const dialect::reply& reply) override {
    text_.clear();
    for (const dialect::part& p : reply.parts) {
      if (p.kind == dialect::part_kind::text) text_ += p.text;
    }
  }
  std::optional<failure> objection() override { return std::nullopt; }
  void leg_ended(const gateway::leg_account& account) override {
    const auto wall = context_.services.loop.wall();
    storage::usage_call row;
    row.id = foundation::make_run_id(wall, context_.services.random);
    row.key_id = context_.who.id;
    row.request_id = run_id_;
    row.model = account.model;
    row.skill_id = asked_.skill;
    row.input_tokens = account.usage.prompt;
    row.output_tokens = account.usage.completion;
    row.cached_tokens = account.usage.cached;
    row.cache_hit = account.usage.cached > 0;
    row.duration_ms = foundation::to_ms(account.took);
    row.micro_usd = account.micro_usd;
    row.warning = warning_of(account);
    row.created_at = wall;
    world_.usage.record(context_.services.records, std::move(row));
    if (account.charged) world_.guards.note(context_.who.id, account.micro_usd, wall);
  }
  task<std::optional<failure>> accept() override { co_return std::nullopt; }
  task<void> take_back() override { co_return; }
  // Beside the run, as for /v1: the judge's reply tells nothing of traces.
  void keep(storage::trace_record trace) override {
    if (world_.core.traces() == nullptr) return;
    trace.skill_id = asked_.skill;
    if (world_.core.keeps_texts()) {
      trace.input_text = asked_.user;
      trace.output_text = text_;
    }
    world_.core.traces()->keep(std::move(trace));
  }
  task<void> ended(const failure* why) override {
    ended_ = true;
    if (why != nullptr) why_ = *why;
    co_return;
  }

 private:
  run_world& world_;
  const model_question& asked_;
  const asker context_;
  const std::string run_id_;
  runtime::cancel_source& cancel_;
  bool ended_ = false;
  std::string text_;
  std::optional<failure> why_;
};

}  // namespace

task<std::expected<std::string, failure>> metered_calls::ask(model_question question,
                                                             request_context& context,
                                                             runtime::cancel_source& cancel) {
  return ask_model(world_, std::move(question), {context.who, context.trace_id, context.services}, cancel);
}

task<std::expected<std::string, failure>> ask_model(run_world& world, model_question question, asker context,
                                                    runtime::cancel_source& cancel) {
  gateway::call c;
  c.dialect = dialect::dialect_id::openai_chat;
  c.from = gateway::surface::session;
  c.run_id = foundation::make_run_id(context.services.loop.wall(), context.services.random);
  c.trace_id = context.trace_id;
  c.arrived = context.services.loop.fresh_now();
  c.timeout = question.timeout;
  c.asked.model = question.model;
  c.asked.max_tokens = question.max_tokens;
  c.asked.max_tokens_field = "max_tokens";
  c.who.key = context.who.id;
  c.who.policy = context.who.policy;
  c.who.project = question.project;
  plain_story told{world, question, context, c.run_id, cancel};
  c.session = &told;
  try {
    co_await gateway::run_exchange(world.core, context.services, c, told);
  } catch (const std::exception&) {
    // Its terminal is on the record.
  }
  told.lost();
  co_return told.outcome();
}

}  // namespace tidegate::session
