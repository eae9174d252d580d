#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <iostream>
#include <utility>

#include "app/command/commands.h"
#include "app/process.h"
#include "foundation/text.h"
#include "mock/mock_server.h"
#include "mock/script.h"
#include "observe/log.h"
#include "runtime/loop.h"

namespace tidegate::app::command {
namespace {

using std::chrono::milliseconds;

constexpr int failed = 1;
constexpr int wrong_usage = 2;
constexpr std::chrono::seconds drain_time_max{2};

// TIDEGATE_MOCK_BEHAVIOR and TIDEGATE_MOCK_INTERVAL_MS; what is wrong with them otherwise.
std::expected<void, std::string> read_environment(const environment& env, mock::mock_settings& settings) {
  if (const auto set = env.find("TIDEGATE_MOCK_BEHAVIOR"); set != env.end() && !set->second.empty()) {
    auto named = mock::demo_behavior(set->second);
    if (!named) {
      return std::unexpected{"TIDEGATE_MOCK_BEHAVIOR: expected success, delay, timeout or upstream-error"};
    }
    settings.fallback = std::move(*named);
  }
  if (const auto set = env.find("TIDEGATE_MOCK_INTERVAL_MS"); set != env.end() && !set->second.empty()) {
    constexpr std::uint64_t interval_ms_max = 60'000;
    const auto ms = foundation::parse_u64(set->second);
    if (!ms || *ms > interval_ms_max) {
      return std::unexpected{"TIDEGATE_MOCK_INTERVAL_MS: expected a number from 0 to " +
                             std::to_string(interval_ms_max)};
    }
    settings.interval = milliseconds{static_cast<std::int64_t>(*ms)};
    settings.fallback.interval.reset();
  }
  return {};
}

std::expected<void, std::string> read_script_file(const std::string& file, mock::mock_settings& settings) {
  const auto text = mock::read_system_file(file);
  if (!text) return std::unexpected{file + ":1:1: " + text.error()};
  auto script = mock::read_script(*text, mock::reader_beside(file));
  if (!script) {
    const mock::script_file_error& error = script.error();
    return std::unexpected{file + ":" + std::to_string(error.where.line) + ":" +
                           std::to_string(error.where.column) + ": " + error.message};
  }
  settings.steps = std::move(script->steps);
  if (script->fallback) settings.fallback = *script->fallback;
  return {};
}

// SIGTERM and SIGINT as something that a loop can wait for. Made before any thread, so that none of them gets
// one.
int open_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return -1;
  return ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

runtime::detached wait_for_signal(runtime::io_source& signals, bool& stopping) {
  co_await signals.readable(foundation::never, nullptr);
  stopping = true;
}

int run_until_signal(const mock::mock_settings& settings, const runtime::address& where, int signals) {
  const foundation::system_clock clock;
  observe::fd_sink sink{STDERR_FILENO, clock};
  const observe::logger log{sink, clock};
  runtime::loop loop{clock};
  mock::mock_state state{settings};
  mock::mock_server server{loop, state};
  runtime::io_source signal_source{loop, signals};
  const auto bound = server.listen(where);
  if (!bound) {
    std::cerr << "tidegate mock: " << bound.error() << '\n';
    return failed;
  }
  bool stopping = false;
  wait_for_signal(signal_source, stopping);
  log.at(observe::level::info, "mock_listening").field("address", runtime::to_text(*bound));
  while (!stopping) loop.turn(std::chrono::minutes{1});
  server.drain();
  const foundation::instant by = loop.fresh_now() + drain_time_max;
  while (!server.idle() && loop.now() < by) loop.turn(milliseconds{50});
  log.at(observe::level::info, "mock_stopped");
  sink.flush();
  // A client in the middle of its request still holds a connection: nothing here is worth waiting for it.
  if (!server.idle()) ::_exit(0);
  return 0;
}

}  // namespace

int run_mock(const mock_options& options) {
  mock::mock_settings settings;
  auto ready = read_environment(current_environment(), settings);
  if (ready && options.script) ready = read_script_file(*options.script, settings);
  const auto where = runtime::parse_address(options.listen);
  if (ready && !where) ready = std::unexpected{"--listen: " + where.error()};
  if (!ready) {
    std::cerr << ready.error() << '\n';
    return wrong_usage;
  }
  const int signals = open_signals();
  if (signals < 0) {
    std::cerr << "tidegate mock: signals cannot be handled\n";
    return failed;
  }
  return run_until_signal(settings, *where, signals);
}

}  // namespace tidegate::app::command
