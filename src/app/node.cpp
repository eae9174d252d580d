#include "app/node.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "app/session_settings.h"
#include "runtime/net/address.h"
#include "surface/own_host.h"

namespace tidegate::app {
namespace {

constexpr std::uint64_t admin_connections_max = 256;

runtime::server_settings http_settings(const server_settings& from) {
  runtime::server_settings s;
  s.head = {.head_bytes = from.max_header, .fields = from.max_header_fields, .target = from.max_target};
  s.header_timeout = from.header_timeout;
  s.keep_alive = from.keep_alive;
  s.min_body_rate = from.min_body_rate;
  return s;
}

std::size_t worker_count(std::uint64_t configured) {
  if (configured != 0) return static_cast<std::size_t>(configured);
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace

// One loop and everything that lives in it.
struct node::worker {
  worker(node& owner, const configuration& settings, const foundation::clock& time)
      : loop{time},
        random{foundation::system_seed()},
        client{loop, owner.names_, *owner.client_tls_},
        records{loop, owner.records_->log_of_record(), durability_of(settings.journal.durability)},
        services{loop, client, random, records},
        sessions{owner.sessions_} {}

  void serve(node& owner, const configuration& settings) {
    surface.emplace(owner.core_, services, *owner.channels_, owner.sessions_->hub());
    data.emplace(loop, *surface, http_settings(settings.server), owner.data_budget_);
  }

  runtime::loop loop;
  foundation::random_source random;
  runtime::pooled_client client;
  gateway::journal_link records;
  gateway::loop_services services;
  const std::unique_ptr<session::service>& sessions;
  std::optional<surface::data> surface;
  std::optional<runtime::server> data;
  std::unique_ptr<surface::admin> admin;
  std::unique_ptr<runtime::server> admin_server;
  std::unique_ptr<surface::admin> control;
  std::unique_ptr<runtime::server> control_server;
  std::atomic<bool> stopping{false};
  std::thread thread;

  bool idle() const {
    return (!data || data->quiet()) && (sessions == nullptr || sessions->under_way() == 0) &&
           (admin_server == nullptr || admin_server->quiet()) &&
           (control_server == nullptr || control_server->quiet());
  }
  // Until told to stop and the last connection and the last run have gone.
  void run() {
    while (!stopping.load(std::memory_order_acquire) || !idle()) {
      loop.turn(stopping.load(std::memory_order_acquire) ? std::chrono::milliseconds{10}
                                                         : std::chrono::minutes{1});
    }
  }
};

node::node(observe::logger& log, const configuration& settings)
    : core_{log, metrics_},
      data_budget_{settings.server.max_connections},
      admin_budget_{admin_connections_max},
      log_{log} {
  metrics_.build_info(TIDEGATE_VERSION);
}

std::expected<std::unique_ptr<node>, std::string> node::start(const configuration& settings,
                                                              const served& what, observe::logger& log,
                                                              const foundation::clock& time,
                                                              surface::reload_request reload,
                                                              node_parts parts, const std::string& ca_file) {
  std::unique_ptr<node> made{new node{log, settings}};
  auto records = recorder::open(settings, time, log, made->core_);
  if (!records) return std::unexpected{records.error()};
  made->records_ = std::move(*records);
  made->publish(what);
  made->records_->restore();
  made->core_.use(parts.traces, settings.storage.texts == trace_texts::sealed);
  made->core_.keyed().use(&parts.stores->replies(), made->records_->keyed("idempotency"));
  made->set_admin_token(what.admin_token);
  auto opened = made->open(settings, time, std::move(reload), parts, ca_file);
  if (!opened) return std::unexpected{opened.error()};
  return made;
}

std::expected<std::vector<int>, std::string> node::listen_each(const std::string& where, std::size_t count,
                                                               std::string& bound) {
  auto address = runtime::parse_address(where);
  if (!address) return std::unexpected{"cannot listen on '" + where + "': " + address.error()};
  if (const auto free = runtime::check_free(*address); !free) return std::unexpected{free.error()};
  std::vector<int> listeners;
  for (std::size_t i = 0; i < count; ++i) {
    auto fd = runtime::open_listener(*address);
    if (!fd) {
      for (const int open : listeners) ::close(open);
      return std::unexpected{fd.error()};
    }
    listeners.push_back(*fd);
    if (address->is_unix()) break;  // one socket file; its connections stay in one loop
    address->port = runtime::bound_port(*fd);
  }
  if (address->is_unix()) unix_paths_.push_back(address->unix_path);
  bound = runtime::to_text(*address);
  return listeners;
}

std::expected<void, std::string> node::open(const configuration& settings, const foundation::clock& time,
                                            surface::reload_request reload, const node_parts& parts,
                                            const std::string& ca_file) {
  auto client_tls = runtime::make_client_context(ca_file);
  if (!client_tls) return std::unexpected{client_tls.error()};
  client_tls_ = std::move(*client_tls);
  if (!settings.server.tls_cert.empty()) {
    auto server_tls = runtime::make_server_context(settings.server.tls_cert, settings.server.tls_key);
    if (!server_tls) return std::unexpected{server_tls.error()};
    server_tls_ = std::move(*server_tls);
  }
  const std::size_t count = worker_count(settings.server.threads);
  auto data = listen_each(settings.server.listen, count, data_address_);
  if (!data) return std::unexpected{data.error()};
  std::vector<int> admin;
  if (!settings.admin.listen.empty()) {
    auto listeners = listen_each(settings.admin.listen, 1, admin_address_);
    if (!listeners) {
      for (const int open : *data) ::close(open);
      return std::unexpected{listeners.error()};
    }
    admin = std::move(*listeners);
  }
  for (std::size_t i = 0; i < count; ++i) workers_.push_back(std::make_unique<worker>(*this, settings, time));
  if (auto opened = open_sessions(settings, time, parts); !opened) {
    for (const int open : *data) ::close(open);
    for (const int open : admin) ::close(open);
    return opened;
  }
  for (std::size_t i = 0; i < count; ++i) {
    workers_[i]->serve(*this, settings);
    if (i < data->size()) workers_[i]->data->listen((*data)[i], server_tls_.get());
  }
  if (!admin.empty()) {
    worker& first = *workers_.front();
    const std::string_view named = settings.admin.listen;
    const bool tcp = !named.starts_with("unix:");
    surface::admin_guard guard{&admin_token_, std::string{tcp ? surface::host_of(named) : ""}};
    first.admin = std::make_unique<surface::admin>(core_, std::move(guard), reload, parts.desk);
    first.admin_server = std::make_unique<runtime::server>(first.loop, *first.admin,
                                                           http_settings(settings.server), admin_budget_);
    first.admin_server->listen(admin.front(), nullptr);
  }
  if (!parts.control_path.empty()) return open_control(settings, parts, std::move(reload));
  return {};
}

std::expected<void, std::string> node::open_sessions(const configuration& settings,
                                                     const foundation::clock& time, const node_parts& parts) {
  auto opened = session::service::open(core_, *parts.stores, *parts.providers, *parts.prices, log_, time,
                                       workers_.front()->loop, session_settings_of(settings));
  if (!opened) return std::unexpected{opened.error()};
  sessions_ = std::move(*opened);
  sessions_->restore(records_->take_unconfirmed_usage());
  channels_ = std::make_unique<surface::channel_table>(sessions_->bindings());
  core_.use(&sessions_->queue());
  return {};
}

void node::configure(const configuration& settings) { sessions_->configure(session_settings_of(settings)); }

std::expected<void, std::string> node::open_control(const configuration& settings, const node_parts& parts,
                                                    surface::reload_request reload) {
  std::string bound;
  const auto listeners = listen_each("unix:" + parts.control_path, 1, bound);
  if (!listeners) return std::unexpected{listeners.error()};
  ::chmod(parts.control_path.c_str(), 0600);  // its folder lets nobody else in either
  worker& first = *workers_.front();
  first.control =
      std::make_unique<surface::admin>(core_, surface::admin_guard{}, std::move(reload), parts.desk);
  first.control_server = std::make_unique<runtime::server>(first.loop, *first.control,
                                                           http_settings(settings.server), admin_budget_);
  first.control_server->listen(listeners->front(), nullptr);
  return {};
}

void node::publish(const served& what) {
  for (auto& p : what.routes->providers) p->credential_fingerprint = records_->fingerprint(p->credential);
  core_.publish(what.routes, what.health);
}

void node::run() {
  for (auto& w : workers_) {
    w->thread = std::thread{[&w = *w] { w.run(); }};
  }
}

void node::drain() {
  core_.drain();
  sessions_->drain();
  for (auto& w : workers_) {
    w->loop.post([&w = *w] { w.data->drain(); });
  }
}

bool node::quiet() {
  if (sessions_->under_way() > 0) return false;
  // Those who watch have seen the last run's end.
  sessions_->close_pushes();
  return open_connections() == 0;
}

void node::stop_exchanges() {
  sessions_->stop_runs();
  for (auto& w : workers_) {
    w->loop.post([&w = *w] { w.data->stop_exchanges(); });
  }
}

node::~node() {
  core_.drain();
  if (sessions_ != nullptr) {
    sessions_->drain();
    sessions_->stop_runs();
    sessions_->close_pushes();
  }
  for (auto& w : workers_) {
    w->loop.post([&w = *w] {
      if (w.data) {
        w.data->drain();
        w.data->stop_exchanges();
      }
      if (w.admin_server != nullptr) {
        w.admin_server->drain();
        w.admin_server->stop_exchanges();
      }
      if (w.control_server != nullptr) {
        w.control_server->drain();
        w.control_server->stop_exchanges();
      }
      w.stopping.store(true, std::memory_order_release);
    });
  }
  for (auto& w : workers_) {
    if (w->thread.joinable()) {
      w->thread.join();
    } else {
      w->stopping.store(true, std::memory_order_release);
      w->run();  // opened, never run
    }
  }
  // It keeps a timer in a loop, which goes after it; its runs and their pushes have ended.
  core_.use(static_cast<gateway::run_queue*>(nullptr));
  channels_.reset();
  sessions_.reset();
  // Its thread calls into the loops, which go after it.
  if (records_ != nullptr) records_->close();
  names_.stop();  // its threads post to the loops, which go before it
  for (const std::string& path : unix_paths_) ::unlink(path.c_str());
}

}  // namespace tidegate::app
