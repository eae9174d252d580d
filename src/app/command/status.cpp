// `tidegate status`: what the running gateway says of itself, through the data directory's control socket.
#include <poll.h>

#include <ostream>
#include <string>

#include "app/command/commands.h"
#include "app/command/table.h"
#include "app/control_client.h"
#include "protocol/json/json.h"

namespace tidegate::app::command {
namespace {

namespace json = protocol::json;

constexpr int watch_interval_ms = 1'000;

std::string number(json::value object, std::string_view key) {
  return std::to_string(object.int_at(key).value_or(0));
}

std::string limit(json::value object) {
  const auto n = object.int_at("limit").value_or(0);
  return n == 0 ? "none" : std::to_string(n);
}

bool flag(json::value object, std::string_view key) {
  const auto v = object.find(key);
  return v && v->as_bool().value_or(false);
}

json::element_range rows_of(json::value status, std::string_view key) {
  return status.find(key).value_or(json::value{}).elements();
}

void print(json::value status, std::ostream& out) {
  out << "tidegate " << status.string_or("version", "") << "  " << status.string_or("time", "")
      << "  calls in flight: " << number(status, "inFlight") << (flag(status, "draining") ? "  DRAINING" : "")
      << (flag(status, "recording") ? "" : "  THE JOURNAL HAS STOPPED: no calls are served") << "\n\n";
  std::vector<table_row> providers{{"PROVIDER", "KIND", "STATUS", "FAILURES", "SINCE", "RESTS UNTIL", "URL"}};
  for (const json::value p : rows_of(status, "providers")) {
    const std::string state = !flag(p, "enabled")  ? "disabled"
                              : !flag(p, "usable") ? "not usable"
                                                   : p.string_or("status", "");
    providers.push_back({p.string_or("name", ""), p.string_or("kind", ""), state,
                         number(p, "consecutiveFailures"), p.string_or("degradedAt", "-"),
                         p.string_or("cooldownUntil", "-"), p.string_or("baseUrl", "")});
  }
  print_table(out, providers);
  std::vector<table_row> rates{{"RATE", "USED", "OF, IN A MINUTE"}};
  for (const json::value r : rows_of(status, "rates"))
    rates.push_back({r.string_or("name", ""), number(r, "used"), limit(r)});
  out << '\n';
  print_table(out, rates);
  std::vector<table_row> budgets{{"BUDGET", "SETTLED", "RESERVED", "LIMIT"}};
  for (const json::value b : rows_of(status, "budgets"))
    budgets.push_back({b.string_or("account", ""), number(b, "settled"), number(b, "reserved"), limit(b)});
  out << '\n';
  print_table(out, budgets);
  const auto shown = static_cast<std::int64_t>(budgets.size() - 1);
  const auto accounts = status.int_at("accounts").value_or(0);
  if (accounts > shown) out << "and " << accounts - shown << " accounts that stand lower\n";
}

}  // namespace

int run_status(const status_options& options, console& terminal) {
  std::vector<configuration_override> overrides;
  if (options.place.data) overrides.push_back({"--data", "storage", "dir", *options.place.data});
  const auto loaded = load_found(options.place.config, std::move(overrides), terminal.env, terminal.read);
  if (!loaded) {
    for (const config_error& e : loaded.error()) terminal.err << to_text(e) << '\n';
    return 2;
  }
  const std::string& dir = loaded->settings.storage.dir;
  const control_client gateway{dir};
  for (;;) {
    const auto answer = gateway.ask("GET", "/admin/v1/status", {});
    if (!answer) {
      terminal.err << "tidegate: no gateway answers for " << dir << ": " << answer.error().message << '\n';
      return 1;
    }
    if (options.json) {
      terminal.out << *answer << '\n';
    } else {
      const auto status = json::parse(*answer);
      if (!status) {
        terminal.err << "tidegate: the gateway's answer cannot be read\n";
        return 1;
      }
      if (options.watch && terminal.colour) terminal.out << "\x1b[H\x1b[2J";
      print(*status, terminal.out);
    }
    terminal.out.flush();
    if (!options.watch || !terminal.out) return 0;
    ::poll(nullptr, 0, watch_interval_ms);
  }
}

}  // namespace tidegate::app::command
