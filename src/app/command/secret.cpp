// `tidegate secret`: names may be shown, contents never are.
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ostream>
#include <system_error>
#include <utility>

#include "app/command/commands.h"
#include "app/command/desk.h"
#include "app/command/table.h"
#include "foundation/text.h"
#include "protocol/json/json.h"

namespace tidegate::app::command {
namespace {

namespace json = protocol::json;
using surface::key_desk;

// A credential is at most 64 KiB; the rest of a longer one need not be read to refuse it.
constexpr std::size_t input_max = 128UL * 1024;

constexpr char ctrl_c = 3;

// Echo is off while this lives. Signals wait that long, so that none leaves a terminal without echo; Ctrl-C
// comes as a character that ends the line.
class silent_terminal {
 public:
  silent_terminal() {
    sigset_t held;
    sigemptyset(&held);
    for (const int s : {SIGTERM, SIGHUP}) sigaddset(&held, s);
    pthread_sigmask(SIG_BLOCK, &held, &signals_before_);
    silent_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
    if (!silent_) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
    quiet.c_lflag |= ECHONL;
    quiet.c_cc[VEOL] = ctrl_c;
    silent_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
  }
  ~silent_terminal() {
    if (silent_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    pthread_sigmask(SIG_SETMASK, &signals_before_, nullptr);
  }
  silent_terminal(const silent_terminal&) = delete;
  silent_terminal& operator=(const silent_terminal&) = delete;
  bool silent() const { return silent_; }

 private:
  termios before_{};
  sigset_t signals_before_{};
  bool silent_ = false;
};

// Until the end of input, or of its first line.
std::expected<std::string, std::string> read_input(bool one_line) {
  std::string text;
  char block[4096];
  while (text.size() <= input_max) {
    const ssize_t count = ::read(STDIN_FILENO, block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected{std::generic_category().message(errno)};
    if (count == 0) break;
    text.append(block, static_cast<std::size_t>(count));
    if (one_line && text.find(ctrl_c) != std::string::npos)
      return std::unexpected{std::string{"interrupted"}};
    if (one_line && text.find('\n') != std::string::npos) break;
  }
  return text;
}

void prompt() {
  constexpr std::string_view question = "Secret (not shown): ";
  static_cast<void>(!::write(STDERR_FILENO, question.data(), question.size()));
}

int set(key_desk& desk, const std::string& name, std::string value, console& terminal) {
  const bool clears = foundation::trim(value).empty();
  const auto done = ask<surface::secret_outcome>(
      [&](auto answer) { desk.set_secret(name, std::move(value), std::move(answer)); });
  if (!done) return report(done.error(), terminal);
  if (!done->warning.empty()) terminal.err << "tidegate: warning: " << done->warning << '\n';
  const std::string_view ended =
      clears ? (done->changed ? "removed" : "there was none") : (done->changed ? "changed" : "as before");
  terminal.out << name << ": " << ended << '\n';
  return 0;
}

int list(key_desk& desk, bool as_json, console& terminal) {
  const auto entries =
      ask<std::vector<storage::secret_entry>>([&](auto answer) { desk.list_secrets(std::move(answer)); });
  if (!entries) return report(entries.error(), terminal);
  if (as_json) {
    std::string text;
    json::writer w{text};
    w.begin_object().key("secrets").begin_array();
    for (const auto& entry : *entries) {
      w.begin_object().member("name", entry.name);
      w.member("updatedAt", foundation::to_rfc3339(entry.updated_at)).end_object();
    }
    w.end_array().end_object();
    terminal.out << text << '\n';
    return 0;
  }
  if (entries->empty()) {
    terminal.err << "no secrets\n";
    return 0;
  }
  std::vector<table_row> rows{{"NAME", "UPDATED"}};
  for (const auto& entry : *entries) rows.push_back({entry.name, foundation::to_rfc3339(entry.updated_at)});
  print_table(terminal.out, rows);
  return 0;
}

int remove(key_desk& desk, const secret_options& options, console& terminal) {
  const auto gone = ask<void>([&](auto answer) { desk.remove_secret(options.name, std::move(answer)); });
  if (!gone) return report(gone.error(), terminal);
  terminal.out << options.name << ": removed\n";
  return 0;
}

}  // namespace

std::expected<std::string, std::string> read_secret_from_input() {
  if (::isatty(STDIN_FILENO) != 1) return read_input(false);
  const silent_terminal quiet;
  if (!quiet.silent()) return std::unexpected{std::string{"the terminal's echo cannot be turned off"}};
  prompt();
  return read_input(true);
}

int run_secret(const secret_options& options, console& terminal, const secret_source& read) {
  // Read before the directory is taken: nobody waits for someone who types.
  std::string value;
  if (options.action == secret_action::set) {
    auto given = read();
    if (!given) {
      terminal.err << "tidegate: the secret cannot be read: " << given.error() << '\n';
      return 1;
    }
    value = std::move(*given);
  }
  const desk_use use = options.action == secret_action::set    ? desk_use::make
                       : options.action == secret_action::list ? desk_use::look
                                                               : desk_use::change;
  auto opened = opened_desk::open(options.place, use, terminal);
  if (!opened) return opened.error();
  key_desk& desk = ***opened;
  switch (options.action) {
    case secret_action::set:
      return set(desk, options.name, std::move(value), terminal);
    case secret_action::list:
      return list(desk, options.json, terminal);
    case secret_action::remove:
      return remove(desk, options, terminal);
  }
  return 1;
}

}  // namespace tidegate::app::command
