// What every adapter promises (the ports' headers), run against each.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "kit/scenario_table.h"
#include "kit/temporary_folder.h"
#include "storage/memory/memory_stores.h"
#include "storage/sqlite/sqlite_stores.h"
#include "storage/stores.h"

namespace tidegate::storage {
namespace {

struct adapter {
  const char* name;
  std::function<std::unique_ptr<stores>(const std::string& folder, std::shared_ptr<const sealer> seal,
                                        reply_bounds bounds, std::shared_ptr<bool> broken)>
      make;
};

void PrintTo(const adapter& a, std::ostream* to) { *to << a.name; }

const adapter memory_adapter{"memory", [](const std::string&, auto seal, reply_bounds bounds, auto broken) {
                               return memory::make(std::move(seal), bounds, [broken] { return *broken; });
                             }};
const adapter sqlite_adapter{
    "sqlite", [](const std::string& folder, auto seal, reply_bounds bounds, auto broken) {
      sqlite::options where;
      where.path = folder + "/tidegate.db";
      where.replies = bounds;
      auto made =
          sqlite::open(std::move(where), std::move(seal), [broken](std::string_view) { return *broken; });
      EXPECT_TRUE(made) << made.error();
      return std::move(*made);
    }};

wall_time at(std::int64_t seconds) { return wall_time{std::chrono::seconds{1'700'000'000 + seconds}}; }

std::shared_ptr<const sealer> make_sealer() {
  return std::make_shared<const sealer>(*sealer::of(*master_key::parse(std::string(64, '7'))));
}

template <typename T>
std::optional<store_problem> problem_of(const result<T>& given) {
  return given ? std::nullopt : std::optional{given.error().problem};
}

class store_contract : public testing::TestWithParam<adapter> {
 protected:
  void SetUp() override { reopen(); }
  void reopen(std::shared_ptr<const sealer> seal = make_sealer(),
              reply_bounds bounds = {1'000, 3'000 + 4 * reply_row_bytes}) {
    all_.reset();
    all_ = GetParam().make(folder_.path(), std::move(seal), bounds, broken_);
  }

  result<void> put(const client_key& key) {
    return wait_for<void>([&](auto answer) { all_->keys().put(key, std::move(answer)); });
  }
  std::vector<client_key> keys() {
    return wait_for<std::vector<client_key>>([&](auto answer) { all_->keys().list(std::move(answer)); })
        .value();
  }
  result<client_key> revoke(const std::string& id) {
    return wait_for<client_key>([&](auto answer) { all_->keys().revoke(id, at(50), std::move(answer)); });
  }
  result<client_key> rotate(const std::string& id, mac_bytes mac) {
    return wait_for<client_key>(
        [&](auto answer) { all_->keys().rotate(id, mac, at(60), std::move(answer)); });
  }
  result<void> set(const std::string& name, const std::string& sealed, std::int64_t when = 0) {
    return wait_for<void>(
        [&](auto answer) { all_->secrets().set(name, sealed, at(when), std::move(answer)); });
  }
  std::optional<std::string> secret(const std::string& name) {
    return wait_for<std::optional<std::string>>(
               [&](auto answer) { all_->secrets().get(name, std::move(answer)); })
        .value();
  }
  result<void> put(std::vector<trace_record> batch) {
    return wait_for<void>([&](auto answer) { all_->traces().put(batch, std::move(answer)); });
  }
  std::optional<trace_record> trace(const std::string& run) {
    return wait_for<std::optional<trace_record>>(
               [&](auto answer) { all_->traces().get(run, std::move(answer)); })
        .value();
  }
  result<feedback_outcome> feedback(const std::string& run, feedback_action action) {
    return wait_for<feedback_outcome>([&](auto answer) {
      all_->traces().put_feedback({run, action, "evidence://" + run, at(70)}, std::move(answer));
    });
  }
  bool strong_negative(const std::string& group) {
    return wait_for<bool>([&](auto answer) { all_->traces().is_strong_negative(group, std::move(answer)); })
        .value();
  }
  std::size_t purge_traces(std::int64_t before, std::size_t rows_max = 1'000) {
    return wait_for<std::size_t>(
               [&](auto answer) { all_->traces().purge(at(before), rows_max, std::move(answer)); })
        .value();
  }
  result<void> keep(const reply_key& key, const kept_reply& reply) {
    return wait_for<void>([&](auto answer) { all_->replies().put(key, reply, std::move(answer)); });
  }
  std::optional<kept_reply> reply(const reply_key& key, std::int64_t made_since = 0) {
    return wait_for<std::optional<kept_reply>>(
               [&](auto answer) { all_->replies().get(key, at(made_since), std::move(answer)); })
        .value();
  }
  std::size_t purge_replies(std::int64_t before, std::size_t rows_max = 1'000) {
    return wait_for<std::size_t>(
               [&](auto answer) { all_->replies().purge(at(before), rows_max, std::move(answer)); })
        .value();
  }

  kit::temporary_folder folder_;
  std::shared_ptr<bool> broken_ = std::make_shared<bool>(false);
  std::unique_ptr<stores> all_;
};

client_key make_key(std::uint8_t n, std::string name) {
  client_key key;
  key.id = "key_" + std::to_string(n);
  key.name = std::move(name);
  key.mac.fill(n);
  key.mac.back() = 0;
  key.projects = {"a", "b c", "*"};
  key.channels = {"ai:skill:run"};
  key.created_at = at(n);
  return key;
}

trace_record make_trace(const std::string& run, std::int64_t completed = 10) {
  trace_record t;
  t.run_id = run;
  t.trace_id = "trace-" + run;
  t.execution_id = "execution";
  t.skill_id = "builtin:chat";
  t.mode = "ask";
  t.model = "gpt-4o";
  t.key_id = "key_1";
  t.input_text = "Schön, " + run;
  t.output_text = std::string("zero\0inside", 11);
  t.project_id = "p";
  t.diagnostics = prompt_diagnostics{"stable", "whole"};
  t.started_at = at(completed - 1);
  t.completed_at = at(completed);
  t.created_at = at(completed - 2);
  return t;
}

kept_reply make_reply(std::int64_t made, std::size_t bytes = 20) {
  kept_reply r;
  r.request_digest.fill(static_cast<std::uint8_t>(made));
  r.status = 201;
  r.headers = "a: b\r\n";
  r.body = std::string(bytes - r.headers.size(), 'x');
  r.created_at = at(made);
  return r;
}

TEST_P(store_contract, keys_come_back_as_they_were_put_oldest_first) {
  auto second = make_key(2, "second");
  second.enabled = false;
  second.role = "admin";
  second.policy = "bulk";
  ASSERT_TRUE(put(second));
  ASSERT_TRUE(put(make_key(1, "first")));
  EXPECT_EQ(keys(), (std::vector{make_key(1, "first"), second}));
}

TEST_P(store_contract, live_keys_have_names_ids_and_macs_of_their_own) {
  ASSERT_TRUE(put(make_key(1, "ci")));
  auto same_mac = make_key(2, "other");
  same_mac.mac = make_key(1, "").mac;
  EXPECT_EQ(problem_of(put(same_mac)), store_problem::conflict);
  EXPECT_EQ(problem_of(put(make_key(1, "other"))), store_problem::conflict);
  EXPECT_EQ(problem_of(put(make_key(3, "ci"))), store_problem::conflict);
  EXPECT_EQ(keys().size(), 1U);
  ASSERT_TRUE(revoke("key_1"));
  EXPECT_TRUE(put(make_key(3, "ci"))) << "a revoked key's name is free";
}

TEST_P(store_contract, a_revoked_key_stays_revoked) {
  ASSERT_TRUE(put(make_key(1, "ci")));
  const auto revoked = revoke("key_1");
  ASSERT_TRUE(revoked);
  EXPECT_EQ(revoked->revoked_at, at(50));
  EXPECT_FALSE(revoked->live());
  EXPECT_EQ(keys(), std::vector{*revoked});
  EXPECT_EQ(problem_of(revoke("key_1")), store_problem::not_found);
  EXPECT_EQ(problem_of(rotate("key_1", make_key(9, "").mac)), store_problem::not_found);
  EXPECT_EQ(problem_of(revoke("key_2")), store_problem::not_found);
}

TEST_P(store_contract, rotation_keeps_the_id_and_voids_the_old_mac) {
  ASSERT_TRUE(put(make_key(1, "ci")));
  ASSERT_TRUE(put(make_key(2, "other")));
  const auto rotated = rotate("key_1", make_key(9, "").mac);
  ASSERT_TRUE(rotated);
  auto expected = make_key(1, "ci");
  expected.mac = make_key(9, "").mac;
  expected.rotated_at = at(60);
  EXPECT_EQ(*rotated, expected);
  EXPECT_EQ(keys().front(), expected);
  EXPECT_EQ(problem_of(rotate("key_1", make_key(2, "").mac)), store_problem::conflict);
  EXPECT_EQ(keys().front(), expected);
  EXPECT_TRUE(put(make_key(3, "third")));
}

TEST_P(store_contract, secrets_are_set_replaced_listed_and_removed) {
  const std::string blob{"\0\xff\x01sealed", 9};
  EXPECT_EQ(secret("openai"), std::nullopt);
  ASSERT_TRUE(set("openai", "first", 1));
  ASSERT_TRUE(set("anthropic", "other", 2));
  ASSERT_TRUE(set("openai", blob, 3));
  EXPECT_EQ(secret("openai"), blob);
  const auto listed =
      wait_for<std::vector<secret_entry>>([&](auto answer) { all_->secrets().list(std::move(answer)); });
  EXPECT_EQ(listed.value(), (std::vector<secret_entry>{{"anthropic", at(2)}, {"openai", at(3)}}));
  const auto remove = [&] {
    return wait_for<void>([&](auto answer) { all_->secrets().remove("openai", std::move(answer)); });
  };
  EXPECT_TRUE(remove());
  EXPECT_EQ(problem_of(remove()), store_problem::not_found);
  EXPECT_EQ(secret("openai"), std::nullopt);
}

TEST_P(store_contract, secrets_are_bounded) {
  EXPECT_EQ(problem_of(set("big", std::string(sealed_secret_max + 1, 'x'))), store_problem::too_large);
  for (std::size_t i = 0; i < secrets_max; ++i) {
    all_->secrets().set("s" + std::to_string(i), "x", at(0), [](result<void> done) { EXPECT_TRUE(done); });
  }
  EXPECT_EQ(problem_of(set("one more", "x")), store_problem::too_large);
  EXPECT_TRUE(set("s0", "replaced"));
}

TEST_P(store_contract, settings_change_together_or_not_at_all) {
  const auto apply = [&](std::vector<setting_change> changes, std::vector<secret_change> secrets = {}) {
    return wait_for<void>(
        [&](auto answer) { all_->settings().apply(changes, secrets, at(0), std::move(answer)); });
  };
  const auto list = [&](const std::string& prefix) {
    return wait_for<std::vector<setting>>(
               [&](auto answer) { all_->settings().list(prefix, std::move(answer)); })
        .value();
  };
  ASSERT_TRUE(apply({{"provider.b", "{}"}, {"provider.a", "[1]"}, {"provider", "0"}, {"toggle.x", "true"}},
                    {{"openai", "sealed"}}));
  EXPECT_EQ(list("provider."), (std::vector<setting>{{"provider.a", "[1]"}, {"provider.b", "{}"}}));
  EXPECT_EQ(list("").size(), 4U);
  EXPECT_EQ(list("\xff").size(), 0U);
  EXPECT_EQ(secret("openai"), "sealed");
  EXPECT_EQ(
      problem_of(apply({{"provider.a", std::nullopt}, {"big", std::string(setting_text_max + 1, '1')}})),
      store_problem::too_large);
  EXPECT_EQ(problem_of(
                apply({{"provider.a", std::nullopt}}, {{"openai", std::string(sealed_secret_max + 1, '1')}})),
            store_problem::too_large);
  EXPECT_EQ(list("provider.").size(), 2U) << "a part of a refused change was made";
  EXPECT_EQ(secret("openai"), "sealed");
  ASSERT_TRUE(apply({{"provider.a", std::nullopt}, {"unknown", std::nullopt}, {"provider.b", "2"}},
                    {{"openai", std::nullopt}}));
  EXPECT_EQ(list("provider."), (std::vector<setting>{{"provider.b", "2"}}));
  EXPECT_EQ(secret("openai"), std::nullopt);
  const auto get = wait_for<std::optional<std::string>>(
      [&](auto answer) { all_->settings().get("provider.b", std::move(answer)); });
  EXPECT_EQ(get.value(), "2");
}

TEST_P(store_contract, traces_come_back_with_their_texts) {
  auto plain = make_trace("r2");
  plain.project_id.reset();
  plain.diagnostics.reset();
  plain.output_text.reset();
  plain.code = "TIMEOUT";
  plain.document_id = "d";
  plain.candidate_group = "g";
  plain.input_text = "";
  ASSERT_TRUE(put({make_trace("r1"), plain}));
  EXPECT_EQ(trace("r1"), make_trace("r1"));
  EXPECT_EQ(trace("r2"), plain);
  EXPECT_EQ(trace("r3"), std::nullopt);
}

TEST_P(store_contract, a_trace_put_again_is_replaced_and_keeps_its_feedback) {
  ASSERT_TRUE(put({make_trace("r1")}));
  ASSERT_TRUE(feedback("r1", feedback_action::accept));
  auto later = make_trace("r1", 20);
  later.code = "CANCELED";
  ASSERT_TRUE(put({later}));
  EXPECT_EQ(trace("r1"), later);
  const auto given = wait_for<std::vector<stored_feedback>>(
      [&](auto answer) { all_->traces().feedback_of("r1", std::move(answer)); });
  EXPECT_EQ(given->size(), 1U);
}

TEST_P(store_contract, without_a_sealer_texts_are_left_out) {
  reopen(nullptr);
  ASSERT_TRUE(put({make_trace("r1")}));
  auto expected = make_trace("r1");
  expected.input_text.reset();
  expected.output_text.reset();
  EXPECT_EQ(trace("r1"), expected);
  EXPECT_EQ(problem_of(keep({"k", "i"}, make_reply(1))), store_problem::no_key);
  EXPECT_EQ(reply({"k", "i"}), std::nullopt);
}

// GW-7: what was answered once is known to have been, whether or not the answer could be kept.
TEST_P(store_contract, without_a_sealer_marks_are_kept) {
  reopen(nullptr);
  kept_reply mark = make_reply(1);
  mark.status = reply_mark;
  mark.headers.clear();
  mark.body.clear();
  ASSERT_TRUE(keep({"k", "i"}, mark));
  EXPECT_EQ(reply({"k", "i"}), mark);
  EXPECT_EQ(problem_of(keep({"k", "i"}, make_reply(2))), store_problem::no_key);
}

TEST_P(store_contract, the_latest_feedback_of_a_run_is_kept_and_no_more) {
  ASSERT_TRUE(put({make_trace("r1"), make_trace("r2")}));
  ASSERT_TRUE(feedback("r2", feedback_action::accept));
  ASSERT_TRUE(feedback("r1", feedback_action::partial));
  for (std::size_t i = 0; i < feedback_kept_max; ++i) ASSERT_TRUE(feedback("r1", feedback_action::reject));
  const auto count = [&](const std::string& run) {
    return wait_for<std::vector<stored_feedback>>(
               [&](auto answer) { all_->traces().feedback_of(run, std::move(answer)); })
        .value();
  };
  EXPECT_EQ(count("r1").size(), feedback_kept_max);
  EXPECT_EQ(count("r1").front().action, feedback_action::reject) << "the oldest has left";
  EXPECT_EQ(count("r2").size(), 1U);
}

TEST_P(store_contract, long_texts_are_cut_between_characters) {
  auto t = make_trace("r1");
  std::string text;
  while (text.size() <= trace_text_max) text += "ü…";
  t.input_text = text;
  ASSERT_TRUE(put({t}));
  const std::string kept = trace("r1")->input_text.value();
  EXPECT_LE(kept.size(), trace_text_max);
  EXPECT_TRUE(kept.ends_with("…[cut]"));
  EXPECT_TRUE(text.starts_with(kept.substr(0, kept.size() - std::string_view{"…[cut]"}.size())));
  const auto last = static_cast<unsigned char>(kept[kept.size() - std::string_view{"…[cut]"}.size() - 1]);
  EXPECT_TRUE(last == 0xbc || last == 0xa6) << "a character was cut";
}

// T73
TEST_P(store_contract, T73_feedback_needs_a_trace_and_takes_its_trace_id) {
  EXPECT_EQ(problem_of(feedback("unknown", feedback_action::accept)), store_problem::not_found);
  ASSERT_TRUE(put({make_trace("r1")}));
  const auto first = feedback("r1", feedback_action::partial);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->trace_id, "trace-r1");
  EXPECT_FALSE(first->strong_negative);
  ASSERT_TRUE(feedback("r1", feedback_action::reject));
  const auto given = wait_for<std::vector<stored_feedback>>(
      [&](auto answer) { all_->traces().feedback_of("r1", std::move(answer)); });
  EXPECT_EQ(given.value(), (std::vector<stored_feedback>{
                               {"r1", "trace-r1", feedback_action::partial, "evidence://r1", at(70)},
                               {"r1", "trace-r1", feedback_action::reject, "evidence://r1", at(70)}}));
  const auto big = wait_for<feedback_outcome>([&](auto answer) {
    all_->traces().put_feedback(
        {"r1", feedback_action::accept, std::string(evidence_ref_max + 1, 'e'), at(0)}, std::move(answer));
  });
  EXPECT_EQ(problem_of(big), store_problem::too_large);
}

// TRC-6
TEST_P(store_contract, rejecting_every_candidate_marks_the_group) {
  std::vector<trace_record> runs{make_trace("c1"), make_trace("c2"), make_trace("failed"),
                                 make_trace("else")};
  for (trace_record& t : runs) t.candidate_group = "g";
  runs[2].code = "LLM_API_ERROR";  // gave no candidate
  runs[3].candidate_group = "h";
  ASSERT_TRUE(put(runs));
  EXPECT_FALSE(feedback("c1", feedback_action::reject)->strong_negative);
  EXPECT_FALSE(strong_negative("g"));
  EXPECT_TRUE(feedback("c2", feedback_action::reject)->strong_negative);
  EXPECT_TRUE(strong_negative("g"));
  EXPECT_FALSE(strong_negative("h"));
  EXPECT_FALSE(feedback("c1", feedback_action::accept)->strong_negative) << "the latest feedback counts";
  EXPECT_FALSE(strong_negative("g"));
  EXPECT_TRUE(feedback("c1", feedback_action::reject)->strong_negative);
  ASSERT_EQ(purge_traces(100), 4U);
  EXPECT_FALSE(strong_negative("g")) << "gone with its traces";
}

TEST_P(store_contract, purge_takes_the_oldest_with_their_feedback_and_stops_where_told) {
  std::vector<trace_record> runs;
  for (int i = 0; i < 10; ++i) runs.push_back(make_trace("r" + std::to_string(i), 10 + i));
  ASSERT_TRUE(put(runs));
  ASSERT_TRUE(feedback("r0", feedback_action::accept));
  EXPECT_EQ(purge_traces(18, 5), 5U);
  EXPECT_EQ(trace("r4"), std::nullopt);
  EXPECT_TRUE(trace("r5"));
  EXPECT_EQ(purge_traces(18, 5), 3U);
  EXPECT_EQ(purge_traces(18, 5), 0U);
  EXPECT_TRUE(trace("r8")) << "completed at the instant itself";
  const auto given = wait_for<std::vector<stored_feedback>>(
      [&](auto answer) { all_->traces().feedback_of("r0", std::move(answer)); });
  EXPECT_TRUE(given->empty());
}

// GW-7
TEST_P(store_contract, a_reply_is_kept_under_both_keys_and_the_first_stays) {
  ASSERT_TRUE(keep({"k1", "i"}, make_reply(1)));
  EXPECT_EQ(problem_of(keep({"k1", "i"}, make_reply(2))), store_problem::conflict);
  ASSERT_TRUE(keep({"k2", "i"}, make_reply(3)));
  EXPECT_EQ(reply({"k1", "i"}), make_reply(1));
  EXPECT_EQ(reply({"k2", "i"}), make_reply(3));
  EXPECT_EQ(reply({"k1", "j"}), std::nullopt);
}

TEST_P(store_contract, replies_are_bounded_each_and_in_all) {
  EXPECT_EQ(problem_of(keep({"k", "big"}, make_reply(1, 1'001))), store_problem::too_large);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(keep({"k", std::to_string(i)}, make_reply(10 - i, 1'000)));
  ASSERT_TRUE(keep({"k", "3"}, make_reply(20, 500)));
  EXPECT_EQ(reply({"k", "2"}), std::nullopt) << "the oldest by its time leaves";
  EXPECT_TRUE(reply({"k", "1"}));
  ASSERT_TRUE(keep({"k", "4"}, make_reply(21, 500)));
  EXPECT_TRUE(reply({"k", "1"})) << "there was room";
  ASSERT_TRUE(keep({"k", "5"}, make_reply(22, 1'000)));
  EXPECT_EQ(reply({"k", "1"}), std::nullopt);
}

TEST_P(store_contract, old_replies_are_purged_and_make_room) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(keep({"k", std::to_string(i)}, make_reply(i, 1'000)));
  EXPECT_EQ(purge_replies(2, 1), 1U) << "a part at a time, the oldest first";
  EXPECT_TRUE(reply({"k", "1"}));
  EXPECT_EQ(purge_replies(2, 5), 1U);
  ASSERT_TRUE(keep({"k", "3"}, make_reply(3, 1'000)));
  ASSERT_TRUE(keep({"k", "4"}, make_reply(4, 1'000)));
  EXPECT_TRUE(reply({"k", "2"}));
}

TEST_P(store_contract, a_reply_that_is_over_its_time_is_as_if_it_had_never_been) {
  ASSERT_TRUE(keep({"k", "i"}, make_reply(5)));
  EXPECT_TRUE(reply({"k", "i"}, 5));
  EXPECT_EQ(reply({"k", "i"}, 6), std::nullopt);
  ASSERT_TRUE(keep({"k", "i"}, make_reply(7))) << "its key is free again";
  EXPECT_EQ(reply({"k", "i"}, 6), make_reply(7));
}

// A mark of a streamed call keeps no bytes of a reply, and still is no free room.
TEST_P(store_contract, marks_without_a_reply_are_bounded_in_number) {
  reopen(make_sealer(), {1'000, 10 * reply_row_bytes});
  for (int i = 0; i < 25; ++i) {
    kept_reply mark = make_reply(i);
    mark.headers.clear();
    mark.body.clear();
    ASSERT_TRUE(keep({"k", std::to_string(i)}, mark));
  }
  int kept = 0;
  for (int i = 0; i < 25; ++i) kept += reply({"k", std::to_string(i)}).has_value() ? 1 : 0;
  EXPECT_EQ(kept, 10);
  EXPECT_TRUE(reply({"k", "24"}));
}

// T72: a store that is down says so, and goes on once it is up.
TEST_P(store_contract, a_fault_is_told_and_changes_nothing) {
  ASSERT_TRUE(put({make_trace("r1")}));
  ASSERT_TRUE(put(make_key(1, "ci")));
  *broken_ = true;
  EXPECT_EQ(problem_of(put({make_trace("r2")})), store_problem::unavailable);
  EXPECT_EQ(problem_of(put(make_key(2, "second"))), store_problem::unavailable);
  EXPECT_EQ(problem_of(revoke("key_1")), store_problem::unavailable);
  EXPECT_EQ(problem_of(set("openai", "x")), store_problem::unavailable);
  EXPECT_EQ(problem_of(feedback("r1", feedback_action::accept)), store_problem::unavailable);
  EXPECT_EQ(problem_of(keep({"k", "i"}, make_reply(1))), store_problem::unavailable);
  *broken_ = false;
  EXPECT_EQ(trace("r2"), std::nullopt);
  EXPECT_EQ(keys(), std::vector{make_key(1, "ci")});
  EXPECT_EQ(secret("openai"), std::nullopt);
  EXPECT_EQ(reply({"k", "i"}), std::nullopt);
  EXPECT_TRUE(put({make_trace("r2")}));
}

TEST_P(store_contract, many_threads_may_call_and_each_call_is_answered_once) {
  std::atomic<int> answers{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        all_->traces().put({make_trace(id)}, [&](result<void> done) { answers += done ? 1 : 0; });
        all_->traces().get(
            id, [&](result<std::optional<trace_record>> found) { answers += found && *found ? 1 : 0; });
      }
    });
  }
  for (std::thread& t : threads) t.join();
  all_.reset();
  EXPECT_EQ(answers, 800);
}

INSTANTIATE_TEST_SUITE_P(adapters, store_contract, testing::Values(memory_adapter, sqlite_adapter),
                         [](const auto& info) { return std::string{info.param.name}; });

}  // namespace
}  // namespace tidegate::storage
