// tidegate serve: from options to a running node, then signals until the end.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <memory>
#include <mutex>
#include <utility>

#include "app/command/commands.h"
#include "app/process.h"
#include "app/service.h"
#include "mock/mock_server.h"
#include "runtime/net/address.h"

namespace tidegate::app::command {
namespace {

using observe::level;

// Two descriptors a call: the soft limit that most systems start with would stop at a few hundred.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void warn_all(observe::logger& log, const std::vector<config_warning>& warnings) {
  for (const config_warning& w : warnings)
    log.at(level::warn, w.event).field("key", w.key).field("reason", w.reason);
}

// serve --mock: every model goes to the scripted provider, Claude's by its Anthropic side, with the other as
// backup.
void route_to_mock(configuration& settings, const std::string& address) {
  settings.providers.clear();
  settings.routes.clear();
  const auto add = [&](std::string name, provider_kind kind) {
    provider_settings p;
    p.name = std::move(name);
    p.kind = kind;
    p.base_url = "http://" + address;
    p.api_key = {credential_source::environment, "TIDEGATE_MOCK_KEY"};
    p.tokens_field = max_tokens_field::max_tokens;
    p.first_byte = settings.timeouts.first_byte;
    settings.providers.push_back(std::move(p));
  };
  add("mock-openai", provider_kind::openai);
  add("mock-anthropic", provider_kind::anthropic);
  settings.routes.push_back(
      {"claude-*", failover_mode::automatic, {{"mock-anthropic", ""}, {"mock-openai", "gpt-mock"}}});
  settings.routes.push_back(
      {"*", failover_mode::automatic, {{"mock-openai", ""}, {"mock-anthropic", "claude-mock"}}});
  if (settings.session.model.empty()) settings.session.model = "gpt-mock";
}

// Before the first thread (the log's): a thread that does not block them would take a signal that comes while
// the main thread is not waiting for one, and end the process.
void block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, s);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

class serving {
 public:
  explicit serving(const serve_options& options)
      : options_{options}, env_{current_environment()}, sink_{STDERR_FILENO, time_}, log_{sink_, time_} {
    if (const auto name = env_.find("TIDEGATE_LOG_LEVEL"); name != env_.end()) {
      if (const auto lowest = observe::level_named(name->second)) log_.set_level(*lowest);
    }
  }

  int run() {
    auto loaded = load_found(options_.config, options_.overrides(), env_, read_system_file);
    if (!loaded) return refuse(loaded.error());
    if (options_.mock && !start_mock()) return 1;
    adjust(loaded->settings);
    const configuration& settings = loaded->settings;
    warn_all(log_, loaded->warnings);
    auto opened = service::open(settings, env_, log_, time_, [this] { return reload(); });
    if (!opened) {
      for (const std::string& message : opened.error().messages) std::cerr << "tidegate: " << message << '\n';
      return opened.error().exit_code;
    }
    {
      const std::lock_guard guard{reloading_};
      service_ = std::move(*opened);
    }
    announce(*loaded);
    wait_for_end(settings.server.drain_timeout);
    std::unique_ptr<service> ending;
    {
      const std::lock_guard guard{reloading_};  // the admin listener may be reloading
      ending = std::move(service_);
    }
    // A journal that had stopped could not be sealed: whoever supervises should see that this end was none.
    const bool sealed = ending->node().core().recording();
    ending.reset();
    log_.at(sealed ? level::info : level::error, "stopped").field("journalSealed", sealed);
    log_.flush();
    return sealed ? 0 : 1;
  }

 private:
  int refuse(const std::vector<config_error>& errors) {
    for (const config_error& e : errors) std::cerr << to_text(e) << '\n';
    return 2;
  }

  bool start_mock() {
    env_["TIDEGATE_MOCK_KEY"] = "sk-scripted-provider";
    auto started =
        mock::mock_thread::start("127.0.0.1:0", {.interval = std::chrono::milliseconds{20}}, time_);
    if (!started) {
      std::cerr << "tidegate: " << started.error() << '\n';
      return false;
    }
    mock_ = std::move(*started);
    return true;
  }

  void adjust(configuration& settings) const {
    if (mock_ != nullptr) route_to_mock(settings, mock_->address());
  }

  void announce(const loaded_configuration& loaded) {
    if (mock_ != nullptr) {
      log_.at(level::warn, "ai_fake_server_started")
          .field("address", mock_->address())
          .field("message", "no real provider is used: answers come from the built-in scripted provider");
    } else if (loaded.settings.providers.empty()) {
      log_.at(level::warn, "no_provider")
          .field("message",
                 "no provider is configured: calls are answered with AI_NOT_CONFIGURED; set OPENAI_API_KEY "
                 "or ANTHROPIC_API_KEY, write a tidegate.toml (tidegate init), or try serve --mock");
    }
    if (service_->open_access()) {
      log_.at(level::warn, "open_access")
          .field("message", "no client key is defined: every caller on this machine is served");
    }
    log_.at(level::info, "listening")
        .field("data", service_->node().data_address())
        .field("admin", service_->node().admin_address())
        .field("configuration", loaded.name)
        .field("version", TIDEGATE_VERSION);
    log_.flush();
  }

  // All or nothing: a configuration that cannot be loaded changes nothing.
  std::expected<void, std::string> reload() {
    const std::lock_guard guard{reloading_};
    if (service_ == nullptr) return std::unexpected{std::string{"the gateway is starting or shutting down"}};
    environment env = current_environment();
    if (mock_ != nullptr) env["TIDEGATE_MOCK_KEY"] = env_["TIDEGATE_MOCK_KEY"];
    auto loaded = load_found(options_.config, options_.overrides(), env, read_system_file);
    std::string why;
    if (!loaded) {
      for (const config_error& e : loaded.error()) why += (why.empty() ? "" : "; ") + to_text(e);
    } else {
      adjust(loaded->settings);
      if (auto published = service_->publish(loaded->settings, env); !published) why = published.error();
    }
    if (!why.empty()) {
      log_.at(level::error, "reload_refused").field("reason", why);
      return std::unexpected{why};
    }
    warn_all(log_, loaded->warnings);
    log_.at(level::info, "reloaded").field("configuration", loaded->name);
    return {};
  }

  void wait_for_end(foundation::milliseconds drain_timeout) {
    sigset_t set;
    sigemptyset(&set);
    for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, s);
    int signal = 0;
    while (sigwait(&set, &signal) == 0 && signal == SIGHUP) static_cast<void>(reload());
    log_.at(level::info, "draining")
        .field("inFlight", service_->node().core().in_flight())
        .ms("timeoutMs", drain_timeout.count());
    service_->node().drain();
    const auto until = time_.now() + drain_timeout;
    constexpr timespec tick{0, 5'000'000};
    while (!service_->node().quiet() && time_.now() < until) {
      // A second signal ends the patience.
      const int again = sigtimedwait(&set, nullptr, &tick);
      if (again == SIGTERM || again == SIGINT) break;
    }
    // Runs that outlive the patience are cancelled, and those who watch them still hear their end (NFR-3).
    service_->node().stop_runs();
    const auto last = time_.now() + goodbye;
    while (!service_->node().runs_over() && time_.now() < last)
      static_cast<void>(sigtimedwait(&set, nullptr, &tick));
    const auto heard = time_.now() + std::chrono::milliseconds{100};
    while (!service_->node().quiet() && time_.now() < heard)
      static_cast<void>(sigtimedwait(&set, nullptr, &tick));
  }

  static constexpr std::chrono::seconds goodbye{2};

  serve_options options_;
  environment env_;
  foundation::system_clock time_;
  observe::fd_sink sink_;
  observe::logger log_;
  std::unique_ptr<mock::mock_thread> mock_;
  std::unique_ptr<service> service_;
  std::mutex reloading_;
};

}  // namespace

int run_serve(const serve_options& options) {
  raise_descriptor_limit();
  block_signals();
  return serving{options}.run();
}

}  // namespace tidegate::app::command
