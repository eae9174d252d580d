// `tidegate chat`: a conversation through a running gateway, in a terminal or a pipe.
#include <unistd.h>

#include <iostream>
#include <string>
#include <utility>

#include "app/chat/client.h"
#include "app/chat/conversation.h"
#include "app/chat/input.h"
#include "app/chat/line_reader.h"
#include "app/chat/screen.h"
#include "app/command/commands.h"
#include "app/configuration_values.h"
#include "foundation/time.h"

namespace tidegate::app::command {
namespace {

constexpr int failed = 1;
constexpr int wrong_usage = 2;
constexpr int interrupted = 130;  // as a shell tells the end by SIGINT

// Where a gateway with that configuration listens, from this machine; blank where no URL says it.
std::string url_of(const configuration& settings) {
  const auto listen = parse_listen(settings.server.listen);
  if (!listen || !listen->unix_path.empty() || listen->port == 0) return {};
  std::string host = listen->host;
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";
  if (host.find(':') != std::string::npos) host = '[' + host + ']';
  return (settings.server.tls_cert.empty() ? "http://" : "https://") + host + ':' +
         std::to_string(listen->port);
}

std::expected<std::string, int> find_url(const chat_options& options, console& terminal) {
  if (options.url) return *options.url;
  const auto loaded = load_found(options.config, {}, terminal.env, terminal.read);
  if (!loaded) {
    for (const config_error& e : loaded.error()) terminal.err << to_text(e) << '\n';
    return std::unexpected{wrong_usage};
  }
  std::string url = url_of(loaded->settings);
  if (!url.empty()) return url;
  terminal.err << "tidegate chat: the configured listener has no URL; give one with --url\n";
  return std::unexpected{wrong_usage};
}

std::string key_of(const chat_options& options, const console& terminal) {
  if (options.key) return *options.key;
  const auto set = terminal.env.find("TIDEGATE_KEY");
  return set == terminal.env.end() ? std::string{} : set->second;
}

// The prompt and what is typed at it. Questions from a pipe are read without one.
class desk {
 public:
  desk(chat::interrupts& signals, console& terminal, bool asks, bool colour)
      : lines_{STDIN_FILENO, signals}, terminal_{terminal}, asks_{asks}, colour_{colour} {}

  chat::typed ask(std::string_view prompt) {
    if (asks_)
      terminal_.out << (colour_ ? "\x1b[1m" : "") << prompt << (colour_ ? "\x1b[0m" : "") << std::flush;
    chat::typed line = lines_.next();
    if (asks_ && line.how != chat::read_end::line) terminal_.out << '\n' << std::flush;
    return line;
  }
  int choose(int count) {
    const std::string range = count == 1 ? "1" : "1-" + std::to_string(count);
    for (;;) {
      const chat::typed line = ask("Go on with which, " + range + " [1]? ");
      if (line.how != chat::read_end::line) return 0;
      if (const int taken = chat::read_choice(line.text, count); taken != 0) return taken;
    }
  }
  bool asks() const { return asks_; }

 private:
  chat::line_reader lines_;
  console& terminal_;
  bool asks_;
  bool colour_;
};

int converse(desk& at, chat::conversation& talk, chat::screen& shown) {
  bool warned = false;
  bool bad = false;
  for (;;) {
    const chat::typed line = at.ask("> ");
    if (line.how == chat::read_end::end) break;
    if (line.how == chat::read_end::interrupted) {
      if (!at.asks()) return interrupted;
      if (std::exchange(warned, true)) return 0;
      shown.note("Ctrl-C again, Ctrl-D or /quit leaves.");
      continue;
    }
    warned = false;
    if (line.how == chat::read_end::too_long) {
      shown.note("The line is too long.");
      bad = true;
      continue;
    }
    const chat::input said = chat::read_input(line.text);
    if (said.what == chat::order::nothing) continue;
    const chat::outcome came = talk.handle(said);
    if (came == chat::outcome::left) break;
    bad = came == chat::outcome::failed;
  }
  return bad && !at.asks() ? failed : 0;
}

}  // namespace

int run_chat(const chat_options& options, console& terminal) {
  const auto url = find_url(options, terminal);
  if (!url) return url.error();
  auto place = chat::find_gateway(*url, key_of(options, terminal));
  if (!place) {
    terminal.err << "tidegate chat: " << *url << ": " << place.error() << '\n';
    return wrong_usage;
  }
  const auto signals = chat::interrupts::open();
  if (!signals) {
    terminal.err << "tidegate chat: " << signals.error() << '\n';
    return failed;
  }
  const bool live = ::isatty(STDOUT_FILENO) == 1;
  const bool asks = live && ::isatty(STDIN_FILENO) == 1;
  const bool colour = terminal.colour && !options.no_colour;
  const foundation::system_clock time;
  runtime::loop loop{time};
  chat::interrupts caught{loop, *signals};
  chat::client client{loop, *place};
  desk at{caught, terminal, asks, colour};
  chat::screen shown{terminal.out, live ? terminal.out : terminal.err, {.live = live, .colour = colour}};
  chat::conversation talk{client,
                          caught,
                          shown,
                          {options.project, options.session, options.model, options.candidates},
                          asks ? chat::conversation::chooser{[&at](int count) { return at.choose(count); }}
                               : chat::conversation::chooser{}};
  if (asks) shown.note("tidegate chat through " + place->url + "; /help shows what can be typed.");
  if (talk.open() != chat::outcome::good) return failed;
  return converse(at, talk, shown);
}

}  // namespace tidegate::app::command
