// `tidegate key` and `tidegate secret`, with nobody serving from the directory and with a gateway that does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "app/command/commands.h"
#include "app/command/desk.h"
#include "app/process.h"
#include "kit/temporary_folder.h"
#include "protocol/json/json.h"
#include "runtime/net/address.h"
#include "runtime/server/server.h"
#include "storage/sqlite/sqlite_stores.h"

namespace tidegate::app::command {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace json = protocol::json;

struct captured {
  int code = 0;
  std::string out;
  std::string err;
};

template <typename Run>
captured capture(Run run, environment env = {}) {
  std::ostringstream out;
  std::ostringstream err;
  console terminal{out, err, false, std::move(env), read_system_file};
  const int code = run(terminal);
  return {code, out.str(), err.str()};
}

// A configuration file of its own: a tidegate.toml where the tests run is none of their business.
struct place {
  place() : dir{folder.file("data")} { configure(""); }
  void configure(std::string_view text) {
    std::ofstream{folder.file("c.toml")} << "[storage]\ndir = \"" << dir << "\"\n" << text;
  }
  key_options key(key_action action) const {
    key_options options;
    options.action = action;
    options.place.config = folder.file("c.toml");
    options.name = "ci";
    return options;
  }
  captured run(const key_options& options) const {
    return capture([&](console& terminal) { return run_key(options, terminal); });
  }
  captured run(key_action action, std::string id = {}) const {
    key_options options = key(action);
    options.id = std::move(id);
    return run(options);
  }
  captured secret(secret_action action, std::string name, const std::string& value = {}) const {
    const secret_options options{action, {folder.file("c.toml"), {}}, std::move(name), false};
    return capture([&](console& terminal) {
      return run_secret(options, terminal, [&] { return std::expected<std::string, std::string>{value}; });
    });
  }
  std::string id_of_first() const {
    key_options options = key(key_action::list);
    options.json = true;
    const std::string text = run(options).out;
    const auto parsed = json::parse(text);
    if (!parsed) return {};
    for (const json::value& item : parsed->find("keys")->elements()) return item.string_or("id", "");
    return {};
  }
  std::string all_bytes() const {
    std::string bytes;
    for (const auto& file : std::filesystem::recursive_directory_iterator{dir}) {
      if (!file.is_regular_file()) continue;
      std::ifstream in{file.path(), std::ios::binary};
      bytes.append(std::istreambuf_iterator<char>{in}, {});
    }
    return bytes;
  }

  kit::temporary_folder folder;
  std::string dir;
};

std::string line_of(const std::string& text) { return text.substr(0, text.find('\n')); }

TEST(key_command, create_prints_the_key_once_and_stores_no_part_of_it) {
  const place p;
  const auto made = p.run(key_action::create);
  ASSERT_EQ(made.code, 0) << made.err;
  const std::string key = line_of(made.out);
  EXPECT_EQ(made.out, key + "\n");
  EXPECT_TRUE(storage::well_formed_client_key(key));
  EXPECT_THAT(made.err, HasSubstr("ci"));
  EXPECT_THAT(made.err, Not(HasSubstr(key)));
  EXPECT_EQ(p.all_bytes().find(key.substr(3, 20)), std::string::npos);
  const auto listed = p.run(key_action::list);
  EXPECT_EQ(listed.code, 0);
  EXPECT_THAT(listed.out, HasSubstr("ci"));
  EXPECT_THAT(listed.out, HasSubstr("live"));
  EXPECT_THAT(listed.out, Not(HasSubstr("tg-")));
}

TEST(key_command, json_holds_the_hash_for_a_configuration) {
  const place p;
  key_options options = p.key(key_action::create);
  options.json = true;
  options.projects = {"a", "b"};
  options.role = "admin";
  const auto made = p.run(options);
  ASSERT_EQ(made.code, 0) << made.err;
  const auto parsed = json::parse(made.out);
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(storage::well_formed_client_key(parsed->string_or("key", "")));
  EXPECT_TRUE(storage::parse_mac(parsed->string_or("hash", "")));
  EXPECT_EQ(parsed->string_or("role", ""), "admin");
  const auto mac =
      storage::key_mac::of(*storage::find_master_key({std::nullopt, p.dir + "/master.key"}).value());
  EXPECT_EQ(storage::format_mac(mac->of_text(parsed->string_or("key", ""))), parsed->string_or("hash", ""));
}

TEST(key_command, rotate_and_revoke_name_the_key_by_its_id) {
  const place p;
  const std::string first = p.run(key_action::create).out;
  const std::string id = p.id_of_first();
  const auto rotated = p.run(key_action::rotate, id);
  ASSERT_EQ(rotated.code, 0) << rotated.err;
  EXPECT_NE(rotated.out, first);
  EXPECT_EQ(p.id_of_first(), id);
  const auto revoked = p.run(key_action::revoke, id);
  EXPECT_EQ(revoked.code, 0);
  EXPECT_EQ(revoked.out, "revoked " + id + " (ci)\n");
  const auto again = p.run(key_action::revoke, id);
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("NOT_FOUND"));
  EXPECT_THAT(p.run(key_action::list).out, HasSubstr("revoked"));
}

TEST(key_command, changes_are_in_the_journal) {
  const place p;
  ASSERT_EQ(p.run(key_action::create).code, 0);
  ASSERT_EQ(p.run(key_action::revoke, p.id_of_first()).code, 0);
  ASSERT_EQ(p.secret(secret_action::set, "openai", "sk-openai-byok-secret").code, 0);
  const std::string bytes = p.all_bytes();
  for (const char* event : {"client_key_created", "client_key_revoked", "secret_set"}) {
    EXPECT_NE(bytes.find("{\"event\":\"" + std::string{event}), std::string::npos) << event;
  }
}

TEST(key_command, wrong_wishes_are_wrong_usage_and_make_nothing) {
  const place p;
  key_options options = p.key(key_action::create);
  options.policy = "unknown";
  const auto unknown = p.run(options);
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("policy"));
  ASSERT_EQ(p.run(key_action::create).code, 0);
  const auto twice = p.run(key_action::create);
  EXPECT_EQ(twice.code, 1);
  EXPECT_THAT(twice.err, HasSubstr("CONFLICT"));
}

TEST(key_command, a_look_at_nothing_makes_nothing) {
  const place p;
  EXPECT_EQ(p.run(key_action::list).code, 0);
  EXPECT_EQ(p.run(key_action::revoke, "key_0").code, 1);
  EXPECT_EQ(p.secret(secret_action::list, "").code, 0);
  EXPECT_FALSE(std::filesystem::exists(p.dir));
}

TEST(key_command, a_broken_configuration_is_refused_with_its_place) {
  place p;
  p.configure("[sever]\n");
  const auto refused = p.run(key_action::list);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("c.toml:3:"));
}

TEST(key_command, without_a_master_key_nothing_is_made) {
  const place p;
  std::filesystem::create_directories(p.dir);
  std::ofstream{p.dir + "/master.key"} << std::string(64, 'a');
  ASSERT_EQ(::chmod((p.dir + "/master.key").c_str(), 0644), 0);
  const auto refused = p.run(key_action::create);
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("UNSUPPORTED"));
  EXPECT_THAT(p.run(key_action::list).out, Not(HasSubstr("ci")));
}

TEST(key_command, configured_keys_are_listed_too) {
  place p;
  p.configure("[[key]]\nname = \"fixed\"\nhash = \"hmac-sha256:" + std::string(64, 'a') + "\"\n");
  EXPECT_THAT(p.run(key_action::list).out, HasSubstr("config:fixed"));
}

TEST(secret_command, an_empty_input_removes_and_says_so) {
  const place p;
  EXPECT_EQ(p.secret(secret_action::set, "openai", "\n").out, "openai: there was none\n");
  ASSERT_EQ(p.secret(secret_action::set, "openai", "sk-openai-byok-secret").code, 0);
  EXPECT_EQ(p.secret(secret_action::set, "openai", " \n").out, "openai: removed\n");
  EXPECT_THAT(p.secret(secret_action::list, "").out, Not(HasSubstr("openai")));
}

// T68
TEST(secret_command, sets_lists_and_removes_without_showing) {
  const place p;
  const auto set = p.secret(secret_action::set, "openai", "sk-openai-byok-secret\n");
  ASSERT_EQ(set.code, 0) << set.err;
  EXPECT_EQ(set.out, "openai: changed\n");
  EXPECT_EQ(p.secret(secret_action::set, "openai", "sk-openai-byok-secret").out, "openai: as before\n");
  const auto listed = p.secret(secret_action::list, "");
  EXPECT_THAT(listed.out, HasSubstr("openai"));
  EXPECT_EQ(p.all_bytes().find("byok"), std::string::npos);
  for (const std::string& text : {set.out, set.err, listed.out, listed.err})
    EXPECT_THAT(text, Not(HasSubstr("byok")));
  EXPECT_EQ(p.secret(secret_action::remove, "openai").out, "openai: removed\n");
  EXPECT_EQ(p.secret(secret_action::remove, "openai").code, 1);
}

// T69, T139
TEST(secret_command, a_vendors_malformed_key_is_refused_anothers_is_warned_of) {
  const place p;
  const auto refused = p.secret(secret_action::set, "openai", "plain-text-key");
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, Not(HasSubstr("plain-text")));
  const auto warned = p.secret(secret_action::set, "local", "plain-text-key");
  EXPECT_EQ(warned.code, 0);
  EXPECT_THAT(warned.err, HasSubstr("warning"));
}

// What a gateway does with its control socket.
class control_server final : public runtime::request_handler {
 public:
  control_server(surface::key_desk& desk, const std::string& path)
      : keys_{desk}, loop_{time_}, server_{loop_, *this, {}, budget_} {
    const auto at = runtime::parse_address("unix:" + path);
    const auto fd = runtime::open_listener(*at);
    EXPECT_TRUE(fd) << fd.error();
    if (!fd) return;
    server_.listen(*fd, nullptr);
    thread_ = std::thread{[this] {
      while (!stopping_ || !server_.quiet()) loop_.turn(std::chrono::minutes{1});
    }};
  }
  ~control_server() override {
    loop_.post([this] {
      server_.drain();
      stopping_ = true;
    });
    if (thread_.joinable()) thread_.join();
  }
  runtime::task<void> handle(runtime::downstream& exchange) override {
    const std::string_view path = exchange.request().path_query;
    if (surface::admin_keys::owns(path.substr(0, path.find('?')))) co_await keys_.handle(exchange);
  }
  std::string refusal_body(const runtime::http_refusal&, std::string_view, std::string&) override {
    return {};
  }

 private:
  surface::admin_keys keys_;
  foundation::system_clock time_;
  runtime::connection_budget budget_{16};
  runtime::loop loop_;
  runtime::server server_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// A directory that is served from: its lock is held, its keyring in use.
struct served_place : place {
  served_place() { start(); }
  void start() {
    directory.emplace(data_directory::take(dir).value());
    stores = storage::sqlite::open({.path = directory->database()}, nullptr).value();
    ring = keyring::open(*stores, {std::nullopt, dir + "/master.key"}, {}, time, nullptr).value();
    path.emplace(control_path::of(dir).value());
    server = std::make_unique<control_server>(*ring, path->path());
  }

  foundation::system_clock time;
  std::optional<data_directory> directory;
  std::unique_ptr<storage::stores> stores;
  std::unique_ptr<keyring> ring;
  std::optional<control_path> path;
  std::unique_ptr<control_server> server;
};

TEST(control_socket, a_change_holds_in_the_running_gateway_at_once) {
  const served_place p;
  const auto made = p.run(key_action::create);
  ASSERT_EQ(made.code, 0) << made.err;
  const std::string key = line_of(made.out);
  auto live = p.ring->access_keys();
  ASSERT_EQ(live.size(), 1U);
  EXPECT_EQ(live.front().mac, p.ring->mac()->of_text(key));
  const std::string id = p.id_of_first();
  EXPECT_EQ(id, live.front().id);
  const auto rotated = p.run(key_action::rotate, id);
  ASSERT_EQ(rotated.code, 0) << rotated.err;
  EXPECT_EQ(p.ring->access_keys().front().mac, p.ring->mac()->of_text(line_of(rotated.out)));
  EXPECT_EQ(p.run(key_action::revoke, id).code, 0);
  EXPECT_FALSE(p.ring->access_keys().front().enabled);
  EXPECT_THAT(p.run(key_action::list).out, HasSubstr("revoked 20"));
  const auto set = p.secret(secret_action::set, "openai", "sk-openai-byok-secret");
  EXPECT_EQ(set.out, "openai: changed\n") << set.err;
  EXPECT_EQ(p.ring->secret("openai"), "sk-openai-byok-secret");
  EXPECT_THAT(p.secret(secret_action::list, "").out, HasSubstr("openai"));
  EXPECT_EQ(p.secret(secret_action::remove, "openai").code, 0);
  EXPECT_EQ(p.ring->secret("openai"), std::nullopt);
}

TEST(control_socket, failures_keep_their_code_and_exit_code) {
  const served_place p;
  ASSERT_EQ(p.run(key_action::create).code, 0);
  EXPECT_THAT(p.run(key_action::create).err, HasSubstr("CONFLICT"));
  key_options options = p.key(key_action::create);
  options.name = "two words";
  EXPECT_EQ(p.run(options).code, 2);
  EXPECT_THAT(p.run(key_action::revoke, "key_unknown").err, HasSubstr("NOT_FOUND"));
  EXPECT_THAT(p.run(key_action::revoke, "../secrets/openai").err, HasSubstr("NOT_FOUND"));
  EXPECT_EQ(p.secret(secret_action::set, "openai", "plain-text-key").code, 2);
  EXPECT_EQ(p.secret(secret_action::set, "no name", "plain-text-key").code, 2);
  EXPECT_EQ(p.secret(secret_action::set, "local", "plain-text-key").code, 0);
  EXPECT_EQ(p.secret(secret_action::remove, "unknown").code, 1);
}

TEST(control_socket, malformed_requests_are_refused) {
  const served_place p;
  const control_client client{p.dir};
  const auto code = [&](std::string_view method, std::string_view target, std::string_view body) {
    const auto reply = client.ask(method, target, body);
    return reply ? std::string{"ok"} : std::string{foundation::name_of(reply.error().code)};
  };
  EXPECT_EQ(code("POST", "/admin/v1/keys", "{"), "VALIDATION_ERROR");
  EXPECT_EQ(code("POST", "/admin/v1/keys", "[]"), "VALIDATION_ERROR");
  EXPECT_EQ(code("POST", "/admin/v1/keys", "{}"), "INVALID_ARGUMENT");
  EXPECT_EQ(code("POST", "/admin/v1/keys", R"({"name":1})"), "INVALID_ARGUMENT");
  EXPECT_EQ(code("POST", "/admin/v1/keys", R"({"name":"a","projects":"b"})"), "INVALID_ARGUMENT");
  EXPECT_EQ(code("POST", "/admin/v1/keys", R"({"name":"a","projects":[1]})"), "INVALID_ARGUMENT");
  EXPECT_EQ(code("POST", "/admin/v1/keys", R"({"name":"a","id":"b"})"), "INVALID_ARGUMENT");
  EXPECT_EQ(code("POST", "/admin/v1/keys", std::string(300'000, ' ')), "IPC_PAYLOAD_TOO_LARGE");
  EXPECT_EQ(code("PUT", "/admin/v1/secrets/a", "{}"), "INVALID_ARGUMENT");
  EXPECT_EQ(code("PUT", "/admin/v1/secrets/a", R"({"value":1})"), "INVALID_ARGUMENT");
  for (const auto& [method, target] :
       std::initializer_list<std::pair<const char*, const char*>>{{"PUT", "/admin/v1/keys"},
                                                                  {"GET", "/admin/v1/keys/"},
                                                                  {"GET", "/admin/v1/keys/a"},
                                                                  {"POST", "/admin/v1/keys/a/b"},
                                                                  {"POST", "/admin/v1/keys/a/revoke/c"},
                                                                  {"GET", "/admin/v1/secrets/a"},
                                                                  {"POST", "/admin/v1/secrets"}}) {
    EXPECT_EQ(code(method, target, ""), "NOT_FOUND") << method << ' ' << target;
  }
  EXPECT_EQ(code("DELETE", "/admin/v1/keys/key_0", ""), "NOT_FOUND");
  EXPECT_TRUE(p.ring->access_keys().empty());
}

TEST(control_socket, a_directory_with_a_long_name_is_reached_as_well) {
  place p;
  p.dir = p.folder.file(std::string(120, 'd'));
  p.configure("");
  std::filesystem::create_directories(p.dir);
  auto directory = data_directory::take(p.dir).value();
  const auto stores = storage::sqlite::open({.path = directory.database()}, nullptr).value();
  const foundation::system_clock time;
  const auto ring = keyring::open(*stores, {std::nullopt, p.dir + "/master.key"}, {}, time, nullptr).value();
  const auto path = control_path::of(p.dir).value();
  const control_server server{*ring, path.path()};
  EXPECT_EQ(p.run(key_action::create).code, 0);
  EXPECT_EQ(ring->access_keys().size(), 1U);
}

TEST(control_socket, a_gateway_that_does_not_answer_is_told) {
  served_place p;
  p.server.reset();
  const auto refused = p.run(key_action::create);
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("control socket"));
}

// A gateway that stops, or a command at work: it holds the lock and nobody answers, for a moment.
TEST(control_socket, a_directory_that_is_let_go_meanwhile_is_taken) {
  place p;
  ASSERT_EQ(p.run(key_action::create).code, 0);
  auto directory = std::make_optional(data_directory::take(p.dir).value());
  std::jthread leaving{[&] {
    // As long as one try takes.
    EXPECT_FALSE(data_directory::take(p.dir));
    directory.reset();
  }};
  const auto made = p.run(key_action::list);
  EXPECT_EQ(made.code, 0) << made.err;
}

TEST(control_socket, commands_that_race_for_a_directory_all_get_their_turn) {
  const place p;
  ASSERT_EQ(p.run(key_action::create).code, 0);
  std::atomic<int> done{0};
  std::vector<std::jthread> all;
  for (int i = 0; i < 4; ++i) {
    all.emplace_back([&] { done += p.run(key_action::list).code == 0 ? 1 : 0; });
  }
  all.clear();
  EXPECT_EQ(done, 4);
}

TEST(data_directory, belongs_to_one_at_a_time) {
  const kit::temporary_folder folder;
  {
    const auto first = data_directory::take(folder.file("data"));
    ASSERT_TRUE(first) << first.error().message;
    const auto second = data_directory::take(folder.file("data"));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().problem, directory_problem::held);
    struct stat facts{};
    ASSERT_EQ(::stat(folder.file("data").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0700U);
  }
  EXPECT_TRUE(data_directory::take(folder.file("data")));
  const auto unusable = data_directory::take("/proc/no-such-place");
  ASSERT_FALSE(unusable);
  EXPECT_EQ(unusable.error().problem, directory_problem::unusable);
}

}  // namespace
}  // namespace tidegate::app::command
