#include "session/execution.h"

#include <algorithm>
#include <new>
#include <utility>

#include "foundation/ids.h"
#include "foundation/text.h"

namespace tidegate::session {

using foundation::error_code;
using foundation::failure;
using runtime::task;

namespace {

failure canceled() {
  failure f;
  f.code = error_code::canceled;
  f.message = "the run was canceled";
  return f;
}

failure defect() {
  failure f;
  f.code = error_code::internal;
  f.message = "the gateway failed on this run";
  return f;
}

// Ids of accounts and of the tool desk: the two parts cannot run into each other.
std::string joined(std::string_view first, char between, std::string_view second) {
  std::string out{first};
  out += between;
  out += second;
  return out;
}

}  // namespace

execution::execution(run_world& world, gateway::loop_services& services, const policy::principal& who,
                     run_request request, std::string trace_id, std::string_view session_header)
    : world_{world},
      presence_{world.live},
      services_{services},
      who_{who},
      request_{std::move(request)},
      snapshot_{world.core.current()},
      skills_{world.skills.current()},
      id_{foundation::make_run_id(services.loop.wall(), services.random)},
      trace_id_{std::move(trace_id)},
      turn_taken_{services.loop},
      body_written_{services.loop},
      stored_{services.loop},
      all_ended_{services.loop},
      answer_due_{services.loop} {
  session_named_ = !request_.context.session_id.empty();
  if (!session_named_) request_.context.session_id = session_header;
  if (request_.request_id.empty())
    request_.request_id = foundation::make_run_id(services.loop.wall(), services.random);
  request_key_ = joined(who_.id, '\n', request_.request_id);
}

policy::skill_material execution::material() const {
  return {.input = request_.input,
          .selection = request_.selection,
          .project_id = request_.context.project_id,
          .document_id = request_.context.document_id};
}

// A round that goes on has its skill, its tools and the text it works on from the round before: a caller need
// not send them again.
void execution::resolve_skill() {
  if (round_) {
    if (request_.skill_id.empty()) request_.skill_id = round_->skill_id;
    if (request_.tools.empty()) {
      request_.tools = round_->tools;
      request_.declared = round_->declared;
    }
  }
  user_text_ = policy::user_message_of(material());
  subject_ = round_ ? round_->subject : std::string{policy::subject_of(material())};
  skill_id_ = request_.skill_id;
  const auto chosen = skills_->select(request_.skill_id, request_.has_selection, material());
  if (chosen) {
    skill_ = *chosen;
  } else if (const auto* row = skills_->find(request_.skill_id); row != nullptr && row->what->valid()) {
    skill_ = row->what;  // why it cannot run is said in its turn
  }
  if (skill_ != nullptr) skill_id_ = skill_->id;
}

// --- from the request to the candidates

task<void> execution::run(std::shared_ptr<execution> self) {
  execution& e = *self;
  e.world_.live.add(e.id_, e.who_.id, e.services_.loop, self);
  try {
    co_await e.begin(self);
  } catch (const std::exception&) {
    // Out of memory, as like as not: the run still ends, and is told so.
    if (e.candidates_.empty()) e.refusal_ = defect();
  }
  // Candidates under way refer to it.
  if (e.to_end_ > 0) co_await e.all_ended_;
  co_await e.finish();
}

task<void> execution::begin(std::shared_ptr<execution> self) {
  auto why = open_request();
  resolve_skill();
  if (!why) why = co_await find_chat();
  if (!why) name_session();
  if (!why) why = check_model();
  if (why) {
    refuse(std::move(*why));
    co_return;
  }
  if (round_) why = take_results();
  if (why) {
    refuse(std::move(*why));
    co_return;
  }
  if (tool_error_) {
    co_await end_at_results();
    co_return;
  }
  make_candidates();
  for (const auto& c : candidates_) {
    try {
      drive(self, c.get());
    } catch (const std::bad_alloc&) {
      c->lost();  // not even its frame could be had
    }
  }
}

runtime::detached execution::drive(std::shared_ptr<execution> self, candidate_run* who) {
  try {
    gateway::call call = self->call_of(*who);
    call.session = who;
    co_await gateway::run_exchange(self->world_.core, self->services_, call, *who);
  } catch (const std::exception&) {
    // Its terminal is on the record; the candidate is told below.
  }
  who->lost();
}

// The place in flight, then the requestId's own state (RES-5, TOOL-2).
std::optional<failure> execution::open_request() {
  const bool draining = world_.core.draining();
  if (!draining) place_.emplace(world_.core.enter(snapshot_->max_in_flight));
  if (!place_ || !*place_) {
    failure f;
    f.code = error_code::server_overloaded;
    f.message = draining ? "the gateway is shutting down" : "too many calls are in flight";
    f.details = draining ? R"({"reason":"draining"})" : R"({"reason":"max_in_flight"})";
    f.retry_after = std::chrono::seconds{1};
    return f;
  }
  std::optional<policy::tool_book_refusal> refused;
  const foundation::instant now = services_.loop.now();
  world_.tools.with([&](policy::tool_book& book) {
    if (request_.continues) {
      auto round = book.resume(request_key_, now);
      if (round) {
        round_ = std::move(*round);
      } else {
        refused = round.error();
      }
    } else if (auto begun = book.begin(request_key_, now); !begun) {
      refused = begun.error();
    }
  });
  if (!refused) return std::nullopt;
  request_key_.clear();  // it is somebody else's, or nobody's
  failure f;
  if (*refused == policy::tool_book_refusal::not_found) {
    f.code = error_code::not_found;
    f.message = "no tool calls of this requestId wait for results";
  } else {
    f.code = error_code::conflict;
    f.message = "this requestId is in use, or has no open tool calls";
  }
  return f;
}

void execution::make_candidates() {
  const auto count = static_cast<std::size_t>(request_.candidates);
  to_accept_ = to_end_ = count;
  for (std::size_t i = 1; i <= count; ++i) {
    std::string run_id = i == 1 ? id_ : foundation::make_run_id(services_.loop.wall(), services_.random);
    candidates_.push_back(std::make_unique<candidate_run>(*this, i, std::move(run_id)));
    if (canceled_) candidates_.back()->cancel(*canceled_);
  }
}

// RTE-1.
std::string execution::model() const {
  if (!request_.model.empty()) return request_.model;
  const gateway::session_rules& rules = snapshot_->session;
  const bool auxiliary = skill_ != nullptr && policy::class_of_skill(skill_->id, skill_->definition.model) ==
                                                  policy::model_class::auxiliary;
  if (auxiliary && !rules.auxiliary_model.empty()) return rules.auxiliary_model;
  if (!rules.model.empty()) return rules.model;
  for (const gateway::route& r : snapshot_->routes) {
    if (r.pattern.find_first_of("*?[") == std::string::npos) return r.pattern;
    const std::string& first = r.targets.front().model;
    if (!first.empty() && first != "*") return first;
  }
  return {};
}

std::optional<failure> execution::check_model() const {
  if (!model().empty()) return std::nullopt;
  if (auto why = choose_skill()) return why;
  failure f;
  f.code = error_code::invalid_argument;
  f.message = "model is missing: name one, or set session.model; the routes name none";
  f.param = "model";
  return f;
}

foundation::milliseconds execution::timeout() const {
  return run_timeout(request_.timeout, skill_ != nullptr ? skill_->definition.timeout : std::nullopt,
                     std::chrono::duration_cast<foundation::milliseconds>(snapshot_->session.timeout));
}

gateway::call execution::call_of(const candidate_run& who) const {
  gateway::call c;
  c.dialect = protocol::dialect::dialect_id::openai_chat;
  c.from = gateway::surface::session;
  c.run_id = who.run_id();
  c.trace_id = trace_id_;
  c.arrived = services_.loop.fresh_now();
  c.timeout = timeout();
  c.asked.model = model();
  c.asked.stream = request_.stream;
  c.asked.max_tokens = request_.max_tokens;
  c.asked.max_tokens_field = "maxTokens";
  c.who.key = who_.id;
  c.who.policy = who_.policy;
  c.who.session = request_.context.session_id;
  c.who.project = request_.context.project_id;
  c.who.session_key = session_.name;
  c.who.session_account = account_;
  return c;
}

// SCH-1. An explicit session of a key is one account, whichever surface it is used from.
void execution::name_session() {
  const std::string& session = request_.context.session_id;
  session_ = policy::session_key_of({.client_key = who_.id,
                                     .session = session,
                                     .project = request_.context.project_id,
                                     .document = request_.context.document_id,
                                     .stored_chat = stored_chat_});
  account_ = !session.empty() && !stored_chat_ ? joined(who_.id, '/', session) : session_.place;
}

// SCH-1: a stored chat is one session, whatever skill runs in it and whoever of its project asks.
task<std::optional<failure>> execution::find_chat() {
  if (request_.context.session_id.empty()) co_return std::nullopt;
  auto project = co_await world_.stories.project_of(services_, request_.context.session_id);
  if (!project) co_return std::move(project.error());
  if (!*project || !policy::may_use_project(who_, **project)) co_return std::nullopt;
  std::string& named = request_.context.project_id;
  if (named.empty()) named = **project;  // its limits, its budget, its watchers
  stored_chat_ = named == **project;
  co_return std::nullopt;
}

// CHAT-4: skills that talk, where there is a session or a project to talk in.
bool execution::chats_here() const {
  return skill_ != nullptr && skill_->definition.input == policy::skill_input::chat &&
         (!request_.context.project_id.empty() || session_named_);
}

// --- while the candidates run

std::optional<failure> execution::may_spend() {
  const auto stop = world_.guards.check(who_.id);
  if (!stop) return std::nullopt;
  services_.records.event(world_.core.log(), observe::level::warn, "budget-exceeded", gateway::stage::note,
                          [&](json::writer& w) {
                            w.member("traceId", trace_id_).member("runId", id_).member("key", who_.id);
                            stop->members(w);
                          });
  return stop->failure();
}

void execution::note_started(const candidate_run&) {
  started_ = true;
  if (!answer_due_.fired()) answer_due_.fire();
}

void execution::note_leg(const candidate_run&, const gateway::leg_account& account) {
  storage::usage_call row;
  row.id = foundation::make_run_id(services_.loop.wall(), services_.random);
  row.key_id = who_.id;
  row.request_id = request_.request_id;
  row.session_id = session_.name;
  row.model = account.model;
  row.skill_id = skill_id_;
  row.input_tokens = account.usage.prompt;
  row.output_tokens = account.usage.completion;
  row.cached_tokens = account.usage.cached;
  row.cache_hit = account.usage.cached > 0;
  row.duration_ms = foundation::to_ms(account.took);
  row.micro_usd = account.micro_usd;
  row.warning = warning_of(account);
  if (account.charged && !account.priced) {
    world_.core.log()
        .at(observe::level::warn, "ai_cost_model_not_found")
        .field("requestId", request_.request_id)
        .field("model", account.model);
  }
  row.created_at = wall();
  world_.usage.record(services_.records, std::move(row));
  if (account.charged) world_.guards.note(who_.id, account.micro_usd, wall());
}

task<std::optional<failure>> execution::accept(candidate_run& who) {
  who.count();
  if (--to_accept_ == 0) {
    co_await store_turn();
    stored_.fire();
  } else {
    co_await stored_;
  }
  co_return store_failure_;
}

task<void> execution::give_up(candidate_run& who) {
  who.count();
  if (--to_accept_ != 0) co_return;
  co_await store_turn();
  stored_.fire();
}

// CHAT-4: both messages or neither, before the terminal is recorded.
task<void> execution::store_turn() {
  if (canceled_) {
    // Behind a cancel, or a slot that was taken back, nothing completes (SCH-6).
    store_failure_ = canceled();
    co_return;
  }
  if (!places_) co_return;
  auto whole = turn_text();
  if (!whole) co_return;
  auto stored = co_await world_.stories.add_turn(services_, places_, round_ ? round_->input : request_.input,
                                                 std::move(*whole), skill_id_, trace_id_);
  if (stored) {
    turn_ = std::move(*stored);
  } else {
    store_failure_ = std::move(stored.error());
  }
}

task<void> execution::take_back() {
  if (!turn_) co_return;
  chat_turn_ids turn = std::move(*turn_);
  turn_.reset();
  co_await world_.stories.take_back(services_, std::move(turn), id_, trace_id_);
}

// It has ended without having been asked for its output.
void execution::drop(candidate_run& who) {
  if (who.counted() || --to_accept_ != 0) return;
  store_failure_ = defect();
  stored_.fire();
}

void execution::ended(candidate_run&) {
  if (--to_end_ == 0) all_ended_.fire();
}

void execution::cancel(runtime::cancel_reason reason) {
  if (canceled_ || over_) return;
  canceled_ = reason;
  gone_.fire(reason);
  for (const auto& c : candidates_) c->cancel(reason);
}

}  // namespace tidegate::session
