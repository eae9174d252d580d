#include "session/service.h"

#include <atomic>
#include <utility>

#include "session/chat_channels.h"
#include "session/chats.h"
#include "session/config_channels.h"
#include "session/cost_channels.h"
#include "session/execution.h"
#include "session/feedback_channels.h"
#include "session/judge.h"
#include "session/judge_channels.h"
#include "session/live_runs.h"
#include "session/metered_call.h"
#include "session/model_channels.h"
#include "session/run_channels.h"
#include "session/skill_channels.h"
#include "session/skill_registry.h"

namespace tidegate::session {

struct service::parts {
  parts(service& owner, gateway::core& shared, storage::stores& stores, provider_desk& providers,
        price_desk& prices, observe::logger& log, const foundation::clock& clock, runtime::loop& home,
        const service_settings& settings, skill_toggles toggles)
      : core{shared},
        time{clock},
        hub{settings.pushes, time, log},
        queue{home, settings.queue, &owner},
        skills{settings.skill_dirs, std::move(toggles), log},
        stories{stores.chats(), log, settings.chat_capacity},
        usage{stores.usage(), log, time.wall()},
        guards{shared, stores.settings(), log, settings.guard,
               [&owner](const cost_alert& alert) { owner.on_alert(alert); }},
        tools{policy::tool_book{settings.tools, foundation::system_seed()}},
        world{shared, queue, hub, skills, stories, usage, guards, tools, stores.traces(), live, summaries},
        models{world},
        critic{shared, models,
               [this](push p) {
                 hub.publish(std::move(p));
                 return true;
               }},
        run_handlers{world},
        chat_handlers{stories},
        cost_handlers{shared, usage, guards, prices},
        config_handlers{shared, providers},
        model_handlers{shared},
        judge_handlers{shared, critic},
        skill_handlers{skills, stores.settings(), time},
        feedback_handlers{shared, stores.traces()} {}

  gateway::core& core;
  const foundation::clock& time;
  push_hub hub;
  live_runs live;
  gateway::run_queue queue;
  skill_registry skills;
  chats stories;
  usage_book usage;
  cost_guards guards;
  tool_desk tools;
  summary_cache summaries;
  run_world world;
  metered_calls models;
  judge critic;
  std::atomic<std::uint64_t> alerts{0};

  run_channels run_handlers;
  chat_channels chat_handlers;
  cost_channels cost_handlers;
  config_channels config_handlers;
  model_channels model_handlers;
  judge_channels judge_handlers;
  skill_channels skill_handlers;
  feedback_channels feedback_handlers;
};

service::service() = default;
service::~service() = default;

std::expected<std::unique_ptr<service>, std::string> service::open(
    gateway::core& core, storage::stores& stores, provider_desk& providers, price_desk& prices,
    observe::logger& log, const foundation::clock& time, runtime::loop& home, service_settings settings) {
  const auto toggles = storage::wait_for<std::vector<storage::setting>>(
      [&](auto answer) { stores.settings().list(std::string{toggle_prefix}, std::move(answer)); });
  if (!toggles) return std::unexpected{"the skills' toggles cannot be read: " + toggles.error().message};
  std::unique_ptr<service> made{new service};
  made->parts_ = std::make_unique<parts>(*made, core, stores, providers, prices, log, time, home, settings,
                                         read_toggles(*toggles));
  if (auto loaded = made->parts_->guards.load(); !loaded)
    return std::unexpected{"the cost guards cannot be read: " + loaded.error()};
  return made;
}

std::vector<binding> service::bindings() {
  std::vector<binding> all;
  const auto add = [&](std::vector<binding> some) {
    for (binding& b : some) all.push_back(std::move(b));
  };
  add(parts_->run_handlers.bindings());
  add(parts_->chat_handlers.bindings());
  add(parts_->cost_handlers.bindings());
  add(parts_->config_handlers.bindings());
  add(parts_->model_handlers.bindings());
  add(parts_->judge_handlers.bindings());
  add(parts_->skill_handlers.bindings());
  add(parts_->feedback_handlers.bindings());
  return all;
}

void service::restore(std::vector<gateway::usage_entry> unconfirmed) {
  parts_->usage.restore(std::move(unconfirmed), parts_->time.wall());
}

push_hub& service::hub() noexcept { return parts_->hub; }
gateway::run_queue& service::queue() noexcept { return parts_->queue; }

void service::configure(service_settings settings) {
  parts_->queue.configure(settings.queue);
  parts_->hub.configure(settings.pushes);
  parts_->stories.set_capacity(settings.chat_capacity);
  parts_->guards.set_defaults(settings.guard);
  parts_->skills.reload(std::move(settings.skill_dirs));
}

void service::drain() { parts_->queue.drain(); }
void service::stop_runs() { parts_->live.cancel_all(runtime::cancel_reason::shutdown); }
std::size_t service::under_way() const { return parts_->live.present(); }
void service::close_pushes() { parts_->hub.close(); }

// Published here, one piece of news at a time in the order of the queue: what is heard of two runs, of
// whatever loops, never crosses. The run's own line, and what it makes of the news, are its loop's.
void service::on_news(const gateway::queue_news& news) {
  parts_->core.metrics().queue_depth(static_cast<std::int64_t>(parts_->queue.count().waiting));
  if (!news.run.told) return;
  live_runs::found found = parts_->live.find(news.run.run_id);
  if (found.run == nullptr) return;
  if (policy::is_terminal(news.status)) parts_->live.remove(news.run.run_id);
  auto run = std::static_pointer_cast<execution>(std::move(found.run));
  push p;
  p.name = "skill:queue:status";
  p.id = run->note_id();
  p.payload = queue_payload({news.run.run_id, news.run.run_id, news.run.trace_id}, news.status, news.position,
                            news.queued, news.global_running, parts_->time.wall());
  p.project = news.run.project;
  p.session_key = news.run.session.name;
  p.session_id = news.run.session_id;
  p.execution_id = news.run.run_id;
  p.key_id = news.run.key_id;
  execution::line_push told{std::string{p.name}, p.id, p.payload};
  parts_->hub.publish(std::move(p));
  found.owner->post(
      [run = std::move(run), cause = news.cause, told = std::move(told)] { run->queue_news(cause, told); });
}

void service::on_alert(const cost_alert& alert) {
  push p;
  p.name = "cost:alert";
  p.id = push_id("cost-" + alert.key_id, 0, ++parts_->alerts);
  p.payload = to_json(alert);
  p.key_id = alert.key_id;
  p.of_whole_key = true;
  parts_->hub.publish(std::move(p));
}

}  // namespace tidegate::session
