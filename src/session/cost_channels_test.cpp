// cost:*, and the stories behind them: usage, guards, resets, prices (COST-1 to COST-3, BUD-8).
#include "session/cost_channels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/channel_world.h"
#include "policy/price_catalogue.h"
#include "storage/memory/memory_stores.h"

namespace tidegate::session {
namespace {

using namespace std::chrono_literals;
using kit::channel_request;
using kit::json_string;
using policy::account_scope;
using policy::account_unit;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

policy::principal client(std::string id) {
  policy::principal who = policy::local_principal();
  who.id = std::move(id);
  who.name = "name-of-" + who.id;
  who.role = policy::caller_role::client;
  return who;
}

struct world : kit::channel_world {
  world() {
    bind(handlers.bindings());
    prices.on_change([this](auto done) {
      ++published;
      done();
    });
    std::vector<policy::key_entry> entries;
    for (const char* const id : {"key-a", "key-b"}) {
      policy::key_entry e;
      e.mac[0] = static_cast<std::byte>(id[4]);
      e.who = client(id);
      entries.push_back(std::move(e));
    }
    shared.callers().publish(std::make_shared<const policy::key_table>(std::move(entries)), nullptr);
  }
  // One call of a session run, at its end.
  void spend(const std::string& request, double usd, const std::string& key = "local",
             const std::string& skill = "builtin:polish", const std::string& model = "gpt-4o") {
    storage::usage_call c;
    c.id = "call-" + std::to_string(++calls);
    c.key_id = key;
    c.request_id = request;
    c.model = model;
    c.skill_id = skill;
    c.input_tokens = 1'000;
    c.output_tokens = 200;
    c.cached_tokens = 500;
    c.micro_usd = static_cast<std::int64_t>(usd * 1e6 + 0.5);
    c.created_at = clock.wall();
    usage.record(journal, c);
    charge(key, c.micro_usd);
    guards.note(key, c.micro_usd, clock.wall());
  }
  void charge(std::string_view key, std::int64_t micro_usd) {
    shared.ledger().with([&](policy::ledger& ledger) {
      ledger.charge(account_scope::guard, account_unit::micro_usd, key, micro_usd);
    });
  }
  void spend_tokens(account_scope scope, std::string_view id, std::int64_t tokens) {
    shared.ledger().with(
        [&](policy::ledger& ledger) { ledger.charge(scope, account_unit::tokens, id, tokens); });
  }
  std::int64_t tokens_of(account_scope scope, std::string_view id) {
    return shared.ledger().with(
        [&](policy::ledger& ledger) { return ledger.of(scope, account_unit::tokens, id).settled; });
  }
  const channel_request& reset(std::string_view scope, std::string_view id) {
    return call("cost:budget:reset",
                R"({"scope":)" + json_string(scope) + R"(,"id":)" + json_string(id) + '}');
  }
  const channel_request& set_guard(std::string_view warning, std::string_view stop, bool enabled = true,
                                   std::string_view key = "local") {
    return call("cost:budget:update", R"({"key":)" + json_string(key) + R"(,"policy":{"warningThreshold":)" +
                                          std::string{warning} + R"(,"hardStopLimit":)" + std::string{stop} +
                                          R"(,"enabled":)" + (enabled ? "true}}" : "false}}"));
  }

  bool broken = false;
  int calls = 0;
  int published = 0;
  std::vector<std::string> alerts;
  std::unique_ptr<storage::stores> stores = storage::memory::make(nullptr, {}, [this] { return broken; });
  usage_book usage{stores->usage(), log, clock.wall()};
  cost_guards guards{shared, stores->settings(), log, {}, [this](const cost_alert& a) {
                       alerts.push_back(std::string{policy::name_of(a.kind)} + " " + a.key_id);
                       last_alert = to_json(a);
                     }};
  std::string last_alert;
  price_desk prices{stores->settings(), log};
  cost_channels handlers{shared, usage, guards, prices};
};

// T57, T60
TEST(cost_channels, requests_are_listed_newest_first_with_their_cost) {
  world w;
  w.spend("first", 0.00525);
  w.clock.advance(5ms);
  w.spend("second", 0.01, "local", "builtin:chat", "claude");
  w.spend("first", 0.00525);
  const channel_request& r = w.call("cost:usage:list", "{}");
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(r.text({"totalCount"}), "2");
  const auto parsed = json::parse(r.data());
  const json::value newest = *parsed->find("records")->elements().begin();
  EXPECT_EQ(newest.string_or("requestId", ""), "second");
  EXPECT_EQ(newest.find("cost")->as_double(), 0.01);
  EXPECT_EQ(newest.int_at("timestamp"), w.clock.wall().time_since_epoch().count());
  EXPECT_THAT(r.data(),
              HasSubstr(R"({"requestId":"first","modelId":"gpt-4o","skillId":"builtin:polish",)"
                        R"("inputTokens":2000,"outputTokens":400,"cachedTokens":1000,"cost":0.0105,)"));
  EXPECT_EQ(w.call("cost:usage:list", R"({"skillId":"builtin:chat"})").text({"totalCount"}), "1");
  const std::string now = std::to_string(w.clock.wall().time_since_epoch().count());
  const channel_request& since = w.call("cost:usage:list", R"({"since":)" + now + '}');
  EXPECT_THAT(since.data(), HasSubstr("second"));
  EXPECT_THAT(since.data(), Not(HasSubstr("first")));
  const channel_request& one = w.call("cost:usage:list", R"({"limit":1})");
  EXPECT_THAT(one.data(), Not(HasSubstr("first")));
  EXPECT_EQ(one.text({"totalCount"}), "2");
  EXPECT_EQ(w.call("cost:usage:list", R"({"limit":0})").code(), "INVALID_ARGUMENT");
  EXPECT_EQ(w.call("cost:usage:list", R"({"limit":-5})").code(), "INVALID_ARGUMENT");
  for (const char* const odd : {"-9223372036854775808", "9223372036854775807"})
    EXPECT_TRUE(w.call("cost:usage:list", R"({"since":)" + std::string{odd} + '}').ok());
}

// T59
TEST(cost_channels, T59_totals_outlast_the_list) {
  world w;
  for (int i = 0; i < 510; ++i) w.spend("r" + std::to_string(i), 0.01);
  const channel_request& listed = w.call("cost:usage:list", "{}");
  EXPECT_THAT(listed.data(), Not(HasSubstr(R"("r9")")));
  EXPECT_THAT(listed.data(), HasSubstr(R"("r10")"));
  EXPECT_EQ(listed.text({"totalCount"}), "510");
  const channel_request& r = w.call("cost:usage:summary", "{}");
  EXPECT_EQ(r.text({"totalRequests"}), "510");
  EXPECT_EQ(r.text({"totalCost"}), "5.1");
  EXPECT_EQ(r.text({"totalInputTokens"}), "510000");
  EXPECT_EQ(r.text({"totalCachedTokens"}), "255000");
  w.spend("r3", 0.01);
  EXPECT_EQ(w.call("cost:usage:summary", "{}").text({"totalRequests"}), "510") << "its detail is gone";
}

TEST(cost_channels, a_summary_is_apart_by_model_and_skill) {
  world w;
  const auto before = w.clock.wall();
  EXPECT_EQ(w.call("cost:usage:summary", "{}").text({"sessionStartedAt"}),
            std::to_string(before.time_since_epoch().count()));
  w.clock.advance(7ms);
  w.spend("a", 0.5);
  w.spend("b", 0.25, "local", "builtin:chat", "claude");
  w.spend("c", 0.25, "local", "builtin:chat", "gpt-4o");
  const channel_request& r = w.call("cost:usage:summary", "{}");
  EXPECT_EQ(r.text({"costByModel"}),
            R"({"claude":{"cost":0.25,"requests":1},"gpt-4o":{"cost":0.75,"requests":2}})");
  EXPECT_EQ(r.text({"costBySkill"}),
            R"({"builtin:chat":{"cost":0.5,"requests":2},"builtin:polish":{"cost":0.5,"requests":1}})");
  EXPECT_EQ(r.text({"sessionStartedAt"}), std::to_string((before + 7ms).time_since_epoch().count()));
  EXPECT_EQ(w.call("cost:usage:summary", R"({"skillId":"builtin:chat"})").text({"totalCost"}), "0.5");
}

// COST-3
TEST(cost_channels, a_client_sees_its_own_and_an_admin_all) {
  world w;
  w.spend("a", 1.0, "key-a");
  w.spend("b", 2.0, "key-b");
  const auto cost = [&](policy::principal who) {
    return w.call("cost:usage:summary", "{}", std::move(who)).text({"totalCost"});
  };
  EXPECT_EQ(cost(client("key-a")), "1");
  EXPECT_EQ(cost(client("key-b")), "2");
  EXPECT_EQ(cost(client("key-c")), "0");
  EXPECT_EQ(cost(policy::local_principal()), "3");
  EXPECT_THAT(w.call("cost:usage:list", "{}", client("key-a")).data(), Not(HasSubstr(R"("b")")));
}

TEST(usage_book, a_write_fault_fails_nobody_and_nothing_is_missed) {
  world w;
  w.spend("a", 1.0);
  w.broken = true;
  w.spend("b", 1.0);
  w.spend("c", 1.0);
  EXPECT_EQ(w.count("ai_cost_record_persist_failed"), 2U);
  EXPECT_EQ(w.call("cost:usage:summary", "{}").code(), "DB_ERROR");
  w.broken = false;
  EXPECT_EQ(w.call("cost:usage:summary", "{}").text({"totalRequests"}), "3");
  w.spend("d", 1.0);
  EXPECT_EQ(w.call("cost:usage:summary", "{}").text({"totalCost"}), "4");
}

TEST(usage_book, what_waits_for_the_store_is_bounded) {
  world w;
  w.broken = true;
  storage::usage_call c;
  for (std::size_t i = 0; i < usage_book::backlog_max + 3; ++i) {
    c.id = c.request_id = std::to_string(i);
    w.usage.record(w.journal, c);
  }
  EXPECT_EQ(w.count("ai_cost_persistence_degraded"), 3U);
  w.broken = false;
  EXPECT_EQ(w.call("cost:usage:summary", "{}").text({"totalRequests"}),
            std::to_string(usage_book::backlog_max));
}

TEST(usage_book, numbers_that_make_no_sense_are_tidied) {
  world w;
  storage::usage_call c;
  c.id = "odd";
  c.input_tokens = -5;
  c.cached_tokens = 7;
  c.micro_usd = -1;
  w.usage.record(w.journal, c);
  const channel_request& r = w.call("cost:usage:summary", "{}");
  EXPECT_EQ(r.text({"totalInputTokens"}), "0");
  EXPECT_EQ(r.text({"totalCachedTokens"}), "0") << "never more than the input";
  EXPECT_EQ(r.text({"totalCost"}), "0");
}

// T58
TEST(cost_guards, T58_a_warning_then_a_hard_stop) {
  world w;
  w.spend("a", 0.95);
  EXPECT_THAT(w.alerts, IsEmpty());
  w.spend("b", 0.10);
  EXPECT_THAT(w.alerts, ElementsAre("warning local"));
  EXPECT_THAT(w.last_alert, HasSubstr(R"({"kind":"warning","currentCost":1.05,"threshold":1,"message":)"));
  EXPECT_FALSE(w.guards.check("local"));
  w.spend("c", 3.94);
  EXPECT_FALSE(w.guards.check("local")) << "4.99";
  w.spend("d", 0.01);
  EXPECT_THAT(w.alerts, ElementsAre("warning local", "hard-stop local"));
  const auto stop = w.guards.check("local");
  ASSERT_TRUE(stop);
  const auto why = stop->failure();
  EXPECT_EQ(why.code, foundation::error_code::cost_budget_exceeded);
  EXPECT_EQ(why.details, R"({"reason":"cost_guard","currentCost":5,"hardStopLimit":5})");
  EXPECT_FALSE(w.guards.check("key-a")) << "each key has its own";
  EXPECT_THAT(w.fields("cost-recorded", "budgetAlert"), ElementsAre("", "warning", "", "hard-stop"));
  EXPECT_THAT(w.fields("cost-recorded", "sessionTotalCost"), ElementsAre("0.95", "1.05", "4.99", "5"));
}

TEST(cost_guards, a_change_is_in_force_and_judged_at_once) {
  world w;
  w.spend("a", 0.5);
  EXPECT_EQ(w.call("cost:budget:get", "{}").data(),
            R"({"warningThreshold":1,"hardStopLimit":5,"enabled":true})");
  EXPECT_EQ(w.set_guard("0.25", "0.5").data(),
            R"({"warningThreshold":0.25,"hardStopLimit":0.5,"enabled":true})");
  EXPECT_THAT(w.alerts, ElementsAre("hard-stop local"));
  EXPECT_TRUE(w.guards.check("local"));
  EXPECT_TRUE(w.set_guard("0.25", "0.5", false).ok());
  EXPECT_FALSE(w.guards.check("local"));
  EXPECT_TRUE(w.set_guard("0.25", "0.5").ok());
  EXPECT_THAT(w.alerts, ElementsAre("hard-stop local", "hard-stop local"));
  EXPECT_TRUE(w.set_guard("10", "20").ok());
  EXPECT_FALSE(w.guards.check("local"));
}

TEST(cost_guards, limits_that_make_no_sense_change_nothing) {
  world w;
  for (const auto& [warning, stop] : std::vector<std::pair<std::string, std::string>>{
           {"-1", "5"}, {"6", "5"}, {"1", "-5"}, {"1", "1e12"}}) {
    EXPECT_EQ(w.set_guard(warning, stop).code(), "INVALID_ARGUMENT") << warning << ' ' << stop;
  }
  w.broken = true;
  EXPECT_EQ(w.set_guard("0", "0").code(), "DB_ERROR");
  EXPECT_EQ(w.guards.limits_of("local"), policy::cost_limits{});
}

TEST(cost_guards, limits_survive_a_restart_and_what_cannot_be_read_falls_back) {
  world w;
  ASSERT_TRUE(w.set_guard("2", "3", true, "key-a").ok());
  const auto stored = storage::wait_for<void>([&](auto answer) {
    w.stores->settings().apply({{"guard/key-b", "[1]"}, {"guard/key-c", "{"}}, {}, w.clock.wall(),
                               std::move(answer));
  });
  ASSERT_TRUE(stored);
  cost_guards again{w.shared, w.stores->settings(), w.log, {}, nullptr};
  ASSERT_TRUE(again.load());
  EXPECT_EQ(again.limits_of("key-a"), (policy::cost_limits{2'000'000, 3'000'000, true}));
  EXPECT_EQ(again.limits_of("key-b"), policy::cost_limits{});
  EXPECT_EQ(w.count("settings_json_parse_failed"), 2U);
  again.set_defaults({1, 2, true});
  EXPECT_EQ(again.limits_of("key-b"), (policy::cost_limits{1, 2, true}));
  w.charge("key-a", 2'500'000);
  again.note("key-a", 0, w.clock.wall());
  w.broken = true;
  EXPECT_FALSE(cost_guards(w.shared, w.stores->settings(), w.log, {}, nullptr).load());
}

TEST(cost_channels, a_key_is_meant_by_id_or_name_and_others_are_an_admins) {
  world w;
  ASSERT_TRUE(w.set_guard("2", "3", true, "name-of-key-a").ok());
  EXPECT_EQ(w.call("cost:budget:get", R"({"key":"key-a"})").text({"hardStopLimit"}), "3");
  EXPECT_EQ(w.call("cost:budget:get", "{}", client("key-a")).text({"hardStopLimit"}), "3");
  EXPECT_EQ(w.call("cost:budget:get", R"({"key":"key-a"})", client("key-a")).text({"hardStopLimit"}), "3");
  EXPECT_EQ(w.call("cost:budget:get", R"({"key":"key-b"})", client("key-a")).code(), "FORBIDDEN");
  EXPECT_EQ(w.call("cost:budget:get", R"({"key":"nobody"})").code(), "NOT_FOUND");
}

// T148
TEST(cost_channels, T148_a_session_is_reset_by_the_name_its_caller_knows) {
  world w;
  const auto spend = [&](std::string_view account) {
    w.spend_tokens(account_scope::session, account, 200'000);
  };
  const auto left = [&](std::string_view account) { return w.tokens_of(account_scope::session, account); };
  spend("local/s");
  spend("key-a/s");
  EXPECT_EQ(w.reset("session", "session:s").text({"previousTotal"}), "200000") << "the caller's own first";
  EXPECT_EQ(left("local/s"), 0);
  EXPECT_EQ(left("key-a/s"), 200'000);
  EXPECT_EQ(w.reset("session", "s").text({"previousTotal"}), "200000") << "then the only other one";
  EXPECT_EQ(left("key-a/s"), 0);
  spend("key-a/t");
  spend("key-b/t");
  EXPECT_EQ(w.reset("session", "t").code(), "INVALID_ARGUMENT") << "two keys have one";
  EXPECT_EQ(w.reset("session", "key-b/t").text({"previousTotal"}), "200000");
  EXPECT_EQ(left("key-a/t"), 200'000);
  spend("chat:stored");
  EXPECT_EQ(w.reset("session", "stored").text({"previousTotal"}), "200000");
  spend("key-b/project:p");
  EXPECT_EQ(w.reset("session", "project:p").text({"previousTotal"}), "200000");
  EXPECT_EQ(w.reset("session", "nothing").text({"previousTotal"}), "0");
  EXPECT_EQ(w.journal.of("budget_reset").size(), 6U);
}

TEST(cost_channels, projects_keys_and_guards_are_reset) {
  world w;
  w.spend_tokens(account_scope::project, "p", 5);
  EXPECT_EQ(w.reset("project", "p").data(), R"({"reset":true,"previousTotal":5})");
  w.spend_tokens(account_scope::key, "key-a", 7);
  EXPECT_EQ(w.reset("key", "name-of-key-a").data(), R"({"reset":true,"previousTotal":7})");
  EXPECT_EQ(w.reset("key", "nobody").code(), "NOT_FOUND");
  w.spend("r", 5.25, "key-a");
  EXPECT_TRUE(w.guards.check("key-a"));
  EXPECT_EQ(w.reset("guard", "key-a").data(), R"({"reset":true,"previousTotal":5.25})");
  EXPECT_FALSE(w.guards.check("key-a"));
  w.spend("s", 6.0, "key-a");
  EXPECT_THAT(w.alerts, ElementsAre("hard-stop key-a", "hard-stop key-a")) << "told again";
  EXPECT_EQ(w.call("cost:usage:summary", "{}").text({"totalCost"}), "11.25") << "a reset is no refund";
}

constexpr std::string_view table =
    R"({"currency":"USD","lastUpdated":"2026-11-01","prices":{"my-model":{"displayName":"Mine",)"
    R"("inputPricePer1K":0.003,"outputPricePer1K":0.015,"cachedInputPricePer1K":0.0015,)"
    R"("effectiveDate":"2026-10-01"}}})";

TEST(price_desk, the_builtin_table_is_shown_until_there_is_another) {
  world w;
  const channel_request& r = w.call("cost:pricing:get", "{}");
  EXPECT_EQ(r.text({"currency"}), "USD");
  EXPECT_EQ(r.text({"lastUpdated"}), policy::price_catalogue::dated());
  EXPECT_FALSE(r.text({"prices", "gpt-4o", "inputPricePer1K"}).empty());
}

TEST(price_desk, an_update_is_stored_served_and_survives) {
  world w;
  const channel_request& r = w.call("cost:pricing:update", R"({"table":)" + std::string{table} + '}');
  ASSERT_TRUE(r.ok()) << r.details();
  EXPECT_EQ(w.published, 1);
  const auto served = w.prices.over(w.shared.current()->prices);
  const auto price = served->find({"openai-compatible", "", "my-model"}, w.clock.wall());
  ASSERT_TRUE(price);
  EXPECT_TRUE(price->owners);
  policy::llm_usage used;
  used.input = 1'000;
  used.cached = 500;
  used.output = 200;
  EXPECT_EQ(policy::cost_of(*price, used), 5'250) << "T57";
  EXPECT_EQ(served->owners().stale_after, std::chrono::days{30});
  price_desk again{w.stores->settings(), w.log};
  ASSERT_TRUE(again.load());
  gateway::snapshot shown;
  shown.prices = again.over(std::make_shared<policy::price_book>());
  const std::string text = price_table_json(shown, w.clock.wall());
  EXPECT_THAT(text, HasSubstr(std::string{table}.substr(0, table.size() - 2))) << text.substr(0, 300);
  EXPECT_THAT(text, HasSubstr(R"("gpt-4o":{)")) << "the catalogue's are there too";
}

// T61
TEST(price_desk, T61_a_table_is_stale_after_thirty_days) {
  world w;
  ASSERT_TRUE(w.call("cost:pricing:update", R"({"table":)" + std::string{table} + '}').ok());
  const auto served = w.prices.over(w.shared.current()->prices);
  const auto updated = *date_of("2026-11-01");
  EXPECT_FALSE(served->stale(updated + std::chrono::days{30})) << "equality is not older";
  EXPECT_TRUE(served->stale(updated + std::chrono::days{31}));
}

TEST(price_desk, a_table_that_makes_no_sense_changes_nothing) {
  world w;
  const std::string good{table};
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return w.call("cost:pricing:update", R"({"table":)" + text + '}').code();
  };
  EXPECT_EQ(with("0.003", "-0.003"), "INVALID_ARGUMENT");
  EXPECT_EQ(with("0.015", "1e12"), "INVALID_ARGUMENT");
  EXPECT_EQ(with("0.0015", "-1"), "INVALID_ARGUMENT");
  EXPECT_EQ(with("2026-11-01", "2026-02-30"), "INVALID_ARGUMENT");
  EXPECT_EQ(with("2026-10-01", "1.10.2026"), "INVALID_ARGUMENT");
  EXPECT_EQ(with("my-model", "  "), "INVALID_ARGUMENT");
  EXPECT_EQ(with("my-model", "a\\nb"), "INVALID_ARGUMENT");
  EXPECT_EQ(with("my-model", std::string(300, 'm')), "INVALID_ARGUMENT");
  std::string many = R"({"currency":"USD","lastUpdated":"2026-11-01","prices":{)";
  for (int i = 0; i < 5'000; ++i) {
    many += (i > 0 ? "," : "") + json_string("model-" + std::to_string(i)) +
            R"(:{"displayName":"x","inputPricePer1K":1,"outputPricePer1K":1,"effectiveDate":"2026-11-01"})";
  }
  EXPECT_EQ(w.call("cost:pricing:update", R"({"table":)" + many + "}}}").code(), "INVALID_ARGUMENT");
  EXPECT_EQ(w.published, 0);
  w.broken = true;
  EXPECT_EQ(w.call("cost:pricing:update", R"({"table":)" + good + '}').code(), "DB_ERROR");
  EXPECT_EQ(w.published, 0);
  EXPECT_EQ(w.prices.over(w.shared.current()->prices), w.shared.current()->prices);
}

TEST(price_desk, dates_are_days_that_exist) {
  EXPECT_TRUE(date_of("2024-02-29"));
  for (const char* const text :
       {"", "2026-02-29", "2026-13-01", "2026-1-1", "2026/01/01", "2026-01-0x", "20260101"})
    EXPECT_FALSE(date_of(text)) << text;
}

}  // namespace
}  // namespace tidegate::session
