// `tidegate load`: the generator with a progress line, Ctrl-C and a report.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>

#include "app/command/commands.h"
#include "foundation/time.h"
#include "load/generator.h"

namespace tidegate::app::command {
namespace {

volatile std::sig_atomic_t interrupted = 0;

// The first Ctrl-C ends the run and prints what was found; the second ends the process as usual.
void on_interrupt(int) {
  interrupted = 1;
  std::signal(SIGINT, SIG_DFL);
}

std::expected<load::schedule, std::string> make_schedule(const load_options& options) {
  if (!options.trace) {
    return options.rate ? load::schedule::fixed_rate(*options.rate, options.duration)
                        : load::schedule::closed_loop(options.duration);
  }
  std::ifstream file{*options.trace, std::ios::binary};
  if (!file) return std::unexpected{*options.trace + ": cannot be read"};
  const std::string csv{std::istreambuf_iterator<char>{file}, {}};
  auto calls = load::parse_trace(csv);
  if (!calls) return std::unexpected{*options.trace + ": " + calls.error()};
  return load::schedule::replay(std::move(*calls), options.speed, options.duration);
}

std::expected<load::plan, std::string> make_plan(const load_options& options) {
  auto to = load::parse_target(options.url);
  if (!to) return std::unexpected{"--url: " + to.error()};
  auto when = make_schedule(options);
  if (!when) return std::unexpected{"--trace: " + when.error()};
  load::plan plan;
  plan.to = std::move(*to);
  plan.when = std::move(*when);
  plan.connections = plan.when.open_loop() ? options.connections_max : options.connections;
  plan.shape.model = options.model;
  plan.shape.stream = options.stream;
  plan.shape.body_bytes = options.body_bytes;
  if (const char* key = std::getenv("TIDEGATE_API_KEY")) plan.shape.bearer = key;
  return plan;
}

}  // namespace

int run_load(const load_options& options) {
  auto plan = make_plan(options);
  if (!plan) {
    std::cerr << "tidegate load: " << plan.error() << '\n';
    return 2;
  }
  if (plan->shape.bearer.find_first_of("\r\n") != std::string::npos) {
    std::cerr << "tidegate load: TIDEGATE_API_KEY holds a line end\n";
    return 2;
  }
  const bool shows_progress = ::isatty(STDERR_FILENO) == 1;
  const auto on_progress = [shows_progress](const load::report& so_far) {
    if (shows_progress) std::cerr << "\r\033[K" << load::to_progress(so_far) << std::flush;
    return interrupted == 0;
  };
  std::signal(SIGINT, on_interrupt);
  const foundation::system_clock time;
  const auto found = load::run(std::move(*plan), time, on_progress);
  std::signal(SIGINT, SIG_DFL);
  if (shows_progress) std::cerr << "\r\033[K" << std::flush;
  if (!found) {
    std::cerr << "tidegate load: " << found.error() << '\n';
    return 1;
  }
  std::cout << (options.json ? load::to_json(*found, options.url) + "\n" : load::to_text(*found));
  return found->completed == 0 ? 1 : 0;
}

}  // namespace tidegate::app::command
