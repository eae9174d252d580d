#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <expected>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/command/commands.h"
#include "app/command/verify_journal.h"
#include "app/configuration_values.h"
#include "foundation/text.h"
#include "foundation/time.h"
#include "journal/audit.h"
#include "journal/posix_files.h"
#include "protocol/json/json.h"

namespace tidegate::app::command {

namespace {

namespace json = protocol::json;
using journal::record_view;

constexpr std::string_view checkpoint_event = "journal_checkpoint";

// --- one record, for people and for programs

bool is_word(std::string_view text) {
  constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/@+-";
  return !text.empty() && text.find_first_not_of(plain) == std::string_view::npos;
}

// What may hold blanks or escape sequences stays in its JSON quotes.
void append_value(std::string& out, const json::value& value) {
  const auto text = value.as_plain_string();
  out += text && is_word(*text) ? *text : value.raw();
}

std::string to_text(const record_view& record) {
  std::string line = foundation::to_rfc3339(record.time);
  line += "  " + std::to_string(record.sequence) + "  ";
  const auto payload = json::parse(record.payload);
  if (!payload || !payload->is_object()) return line + "?";
  if (record.type == journal::record_type::checkpoint) {
    line += checkpoint_event;
  } else {
    const auto event = payload->find("event");
    append_value(line, event.value_or(json::value{}));
  }
  for (const json::member& member : payload->members()) {
    if (member.key_is("event")) continue;
    line += "  ";
    line += member.raw_key;
    line += '=';
    append_value(line, member.content);
  }
  return line;
}

std::string to_json(const record_view& record) {
  std::string line;
  json::writer writer{line};
  writer.begin_object().member("sequence", static_cast<std::int64_t>(record.sequence));
  writer.member("time", std::string_view{foundation::to_rfc3339(record.time)});
  writer.member("type", journal::name_of(record.type)).key("data");
  if (json::validate(record.payload)) {
    writer.raw(record.payload);
  } else {
    writer.string(record.payload);
  }
  writer.end_object();
  return line;
}

bool is_about(const record_view& record, std::string_view id) {
  if (record.type != journal::record_type::event || record.payload.find(id) == std::string_view::npos) {
    return false;
  }
  const auto payload = json::parse(record.payload);
  if (!payload) return false;
  for (const std::string_view key : {"traceId", "runId"}) {
    const auto member = payload->find(key);
    if (member && member->equals(id)) return true;
  }
  return false;
}

// --- where the journal is

// Whether a gateway holds the data directory: then records may be in flight.
bool held_by_gateway(const std::string& data) {
  const int lock = ::open((data + "/lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) return false;
  const bool held = ::flock(lock, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(lock);
  return held;
}

struct place {
  std::string data;
  std::string journal;
};

std::expected<place, int> find_journal(const audit_options& options, journal::file_system& files,
                                       console& terminal) {
  std::vector<configuration_override> overrides;
  const desk_place& given = options.place;
  if (given.data) overrides.push_back({"--data", "storage", "dir", *given.data});
  const auto loaded = load_found(given.config, std::move(overrides), terminal.env, terminal.read);
  if (!loaded) {
    for (const config_error& error : loaded.error()) terminal.err << to_text(error) << '\n';
    return std::unexpected{2};
  }
  place found{loaded->settings.storage.dir, loaded->settings.storage.dir + "/journal"};
  if (const auto listed = files.list(found.journal); !listed) {
    terminal.err << "tidegate audit: " << listed.error().what << '\n';
    return std::unexpected{1};
  }
  return found;
}

// --- verify

std::string fault_json(const journal::finding& fault) {
  std::string text;
  json::writer writer{text};
  writer.begin_object().member("file", std::string_view{fault.file});
  writer.member("offset", static_cast<std::int64_t>(fault.offset));
  writer.member("sequence", static_cast<std::int64_t>(fault.sequence));
  writer.member("what", std::string_view{fault.what}).end_object();
  return text;
}

std::string to_json(const std::string& where, const journal::survey& seen, bool live) {
  std::string text;
  json::writer writer{text};
  const auto count = [&](std::string_view key, std::uint64_t n) {
    writer.member(key, static_cast<std::int64_t>(n));
  };
  writer.begin_object().member("ok", !seen.fault.has_value()).member("journal", std::string_view{where});
  count("records", seen.records);
  count("first", seen.first);
  count("last", seen.last);
  count("segments", seen.segments_read);
  count("checkpoints", seen.checkpoints);
  count("shipped", seen.shipped_checked);
  writer.member("head", std::string_view{journal::to_hex(seen.head)}).member("live", live);
  writer.key("notes").begin_array();
  for (const std::string& note : seen.notes) writer.string(note);
  writer.end_array();
  if (seen.fault) writer.key("fault").raw(fault_json(*seen.fault));
  writer.end_object();
  return text;
}

void print_verdict(const std::string& where, const journal::survey& seen, bool live, std::ostream& out) {
  out << "journal: " << where << (live ? " (in use)" : "") << '\n';
  out << "records: " << seen.records;
  if (seen.records > 0) out << " (" << seen.first << " to " << seen.last << ')';
  out << ", segments: " << seen.segments_read << ", checkpoints: " << seen.checkpoints
      << ", shipped checkpoints: " << seen.shipped_checked << '\n';
  out << "head: " << journal::to_hex(seen.head) << '\n';
  for (const std::string& note : seen.notes) out << "note: " << note << '\n';
  out << (seen.fault ? "broken: " + to_text(*seen.fault) : "ok") << '\n';
}

std::expected<std::vector<journal::checkpoint>, std::string> read_checkpoints(journal::file_system& files,
                                                                              const std::string& path) {
  constexpr std::uint64_t size_max = std::uint64_t{1} << 30;
  const auto text = journal::read_whole(files, path, size_max);
  if (!text) return std::unexpected{text.error().what};
  auto shipped = journal::read_shipped(*text);
  if (shipped) return std::move(*shipped);
  return std::unexpected{path + ':' + std::to_string(shipped.error().line) + ": " + shipped.error().what};
}

int verify(const audit_options& options, const place& where, journal::file_system& files, console& terminal) {
  journal::survey_request request;
  request.dir = where.journal;
  if (options.checkpoint) {
    auto shipped = read_checkpoints(files, *options.checkpoint);
    if (!shipped) {
      terminal.err << shipped.error() << '\n';
      return 2;
    }
    request.shipped = std::move(*shipped);
  }
  const auto [seen, live] =
      verify_journal(files, std::move(request), [&] { return held_by_gateway(where.data); });
  if (options.json) {
    terminal.out << to_json(where.journal, seen, live) << '\n';
  } else {
    print_verdict(where.journal, seen, live, terminal.out);
  }
  return seen.fault ? 1 : 0;
}

// --- show, tail, export

int failed(const std::string& what, console& terminal) {
  terminal.err << "tidegate audit: " << what << '\n';
  return 1;
}

void print(const record_view& record, bool as_json, std::ostream& out) {
  out << (as_json ? to_json(record) : to_text(record)) << '\n';
}

int show(const audit_options& options, journal::walker& walk, console& terminal) {
  bool any = false;
  const auto done = walk.go_on([&](const record_view& record) {
    if (is_about(record, options.id)) {
      any = true;
      print(record, options.json, terminal.out);
    }
    return terminal.out.good();
  });
  if (!done) return failed(done.error(), terminal);
  return any ? 0 : failed("no record of " + options.id, terminal);
}

// "2026-11-23", "2026-11-23T09:13:34Z" or "2026-11-23T09:13:34.123Z": what the other commands print.
std::optional<foundation::wall_time> parse_time(std::string_view text) {
  constexpr std::string_view form = "dddd-dd-ddTdd:dd:dd.dddZ";
  const bool fraction = text.size() == form.size();
  if (text.size() != 10 && text.size() != 20 && !fraction) return std::nullopt;
  std::string full{text};
  if (text.size() == 10) full += "T00:00:00.000Z";
  if (text.size() == 20) full.replace(19, 1, ".000Z");
  for (std::size_t i = 0; i < form.size(); ++i) {
    const bool digit = full[i] >= '0' && full[i] <= '9';
    if (form[i] == 'd' ? !digit : full[i] != form[i]) return std::nullopt;
  }
  const auto number = [&full](std::size_t at, std::size_t digits) {
    return static_cast<int>(foundation::parse_u64(std::string_view{full}.substr(at, digits)).value_or(0));
  };
  const std::chrono::year_month_day date{std::chrono::year{number(0, 4)},
                                         std::chrono::month{static_cast<unsigned>(number(5, 2))},
                                         std::chrono::day{static_cast<unsigned>(number(8, 2))}};
  if (!date.ok() || number(11, 2) > 23 || number(14, 2) > 59 || number(17, 2) > 60) return std::nullopt;
  return foundation::wall_time{std::chrono::sys_days{date}} + std::chrono::hours{number(11, 2)} +
         std::chrono::minutes{number(14, 2)} + std::chrono::seconds{number(17, 2)} +
         milliseconds{number(20, 3)};
}

// A time, or how long ago: "24h".
std::optional<foundation::wall_time> parse_since(const std::string& text, foundation::wall_time now) {
  if (const auto ago = parse_duration(text)) return now - *ago;
  return parse_time(text);
}

int export_all(const audit_options& options, journal::walker& walk, console& terminal) {
  std::optional<foundation::wall_time> since;
  if (options.since) {
    since = parse_since(*options.since, foundation::system_clock{}.wall());
    if (!since) {
      terminal.err << "--since: expected a time such as \"2026-11-23T09:00:00Z\", a date, or a duration such "
                      "as \"24h\"\n";
      return 2;
    }
  }
  const auto done = walk.go_on([&](const record_view& record) {
    if (!since || record.time >= *since) print(record, true, terminal.out);
    return terminal.out.good();
  });
  return done ? 0 : failed(done.error(), terminal);
}

// Wakes when something in the directory changes, or after a second.
class directory_watch {
 public:
  explicit directory_watch(const std::string& path) : descriptor_{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)} {
    if (descriptor_ < 0) return;
    static_cast<void>(::inotify_add_watch(descriptor_, path.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO));
  }
  ~directory_watch() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  directory_watch(const directory_watch&) = delete;
  directory_watch& operator=(const directory_watch&) = delete;

  void wait() {
    pollfd watched{descriptor_, POLLIN, 0};
    if (::poll(&watched, 1, 1000) <= 0) return;
    alignas(inotify_event) char events[4096];
    while (::read(descriptor_, events, sizeof events) > 0) {
    }
  }

 private:
  int descriptor_;
};

int tail(const audit_options& options, const place& where, journal::walker& walk, console& terminal) {
  directory_watch watch{where.journal};
  const auto last = walk.last();
  if (!last) return failed(last.error(), terminal);
  const std::uint64_t behind = *last - std::min(*last, options.count);
  if (const auto found = walk.seek(behind + 1); !found) return failed(found.error(), terminal);
  do {
    const auto done = walk.go_on([&](const record_view& record) {
      if (record.sequence > behind) print(record, options.json, terminal.out);
      return terminal.out.good();
    });
    if (!done) return failed(done.error(), terminal);
    terminal.out.flush();
    if (options.follow) watch.wait();
  } while (options.follow && terminal.out.good());
  return 0;
}

}  // namespace

int run_audit(const audit_options& options, console& terminal) {
  journal::posix_files files;
  const auto where = find_journal(options, files, terminal);
  if (!where) return where.error();
  journal::walker walk{files, where->journal};
  switch (options.act) {
    case audit_act::verify:
      return verify(options, *where, files, terminal);
    case audit_act::show:
      return show(options, walk, terminal);
    case audit_act::tail:
      return tail(options, *where, walk, terminal);
    case audit_act::export_records:
      return export_all(options, walk, terminal);
  }
  return 2;
}

}  // namespace tidegate::app::command
