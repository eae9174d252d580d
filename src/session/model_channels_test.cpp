// ai:models:list (RTE-2, RL-2).
#include "session/model_channels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/channel_world.h"

namespace tidegate::session {
namespace {

using kit::B;
using kit::C;
using kit::channel_request;
using kit::P;
using testing::ElementsAre;
using testing::IsEmpty;

struct world : kit::channel_world {
  explicit world(kit::setup s = {}) : channel_world{std::move(s)} { bind(handlers.bindings()); }
  model_channels handlers{shared};
};

// "name id provider" of each item.
std::vector<std::string> items_of(const channel_request& r) {
  std::vector<std::string> out;
  const auto parsed = json::parse(r.data());
  for (const json::value item : parsed->find("items")->elements())
    out.push_back(item.string_or("name", "") + '|' + item.string_or("id", "") + '|' +
                  item.string_or("provider", ""));
  return out;
}

// T86
TEST(model_channels, T86_ids_are_trimmed_and_listed_once_by_name) {
  world w;
  w.upstream.next(P, kit::replies(200, R"({"data":[{"id":" zeta "},{"id":""},{"id":"  "},{"id":"alpha"},
      {"id":"zeta"},{"id":"m1","name":"Beta","display_name":"no"},{"id":"m2","display_name":" Alto "},
      {"id":7},{},null,{"id":"m3","name":" "}]})"));
  w.upstream.next(B, kit::status(503));
  const channel_request& r = w.call("ai:models:list", "{}");
  ASSERT_EQ(r.code(), "OK");
  EXPECT_THAT(items_of(r), ElementsAre("Alto|m2|OpenAI", "Beta|m1|OpenAI", "alpha|alpha|OpenAI",
                                       "m3|m3|OpenAI", "zeta|zeta|OpenAI"));
  EXPECT_EQ(r.text({"source"}), "openai");
}

TEST(model_channels, every_usable_provider_is_asked_and_named) {
  world w{kit::three_targets(policy::failover_mode::after_trip)};
  w.upstream.next(P, kit::replies(200, R"({"data":[{"id":"gpt-5.2"},{"id":"both"}]})"));
  w.upstream.next(B,
                  kit::replies(200, R"({"data":[{"id":"claude","display_name":"Claude"},{"id":"both"}]})"));
  w.upstream.next(C, kit::replies(200, R"([{"id":"llama-4"}])"));
  const channel_request& r = w.call("ai:models:list", "{}");
  ASSERT_EQ(r.code(), "OK");
  EXPECT_THAT(items_of(r), ElementsAre("Claude|claude|Anthropic", "both|both|OpenAI",
                                       "gpt-5.2|gpt-5.2|OpenAI", "llama-4|llama-4|Proxy"));
  EXPECT_EQ(r.text({"source"}), "several");
}

// RL-2
TEST(model_channels, a_listing_costs_one_unit) {
  kit::setup s;
  s.adjust = [](gateway::snapshot& served) { served.policies.front().requests_per_minute = 1; };
  world w{std::move(s)};
  w.upstream.always(P, kit::replies(200, R"({"data":[{"id":"m"}]})"));
  w.upstream.always(B, kit::replies(200, R"({"data":[{"id":"n"}]})"));
  EXPECT_EQ(w.call("ai:models:list", "{}").code(), "OK") << "two providers, one unit";
  const std::size_t calls = w.upstream.calls().size();
  const channel_request& second = w.call("ai:models:list", "{}");
  EXPECT_EQ(second.code(), "AI_RATE_LIMITED");
  EXPECT_EQ(w.upstream.calls().size(), calls);
}

TEST(model_channels, where_nobody_answers_the_first_failure_is_told) {
  world w;
  w.upstream.always(P, kit::status(401));
  w.upstream.always(B, kit::status(503));
  EXPECT_EQ(w.call("ai:models:list", "{}").code(), "AI_AUTH_FAILED");
  kit::setup s;
  s.adjust = [](gateway::snapshot& served) {
    for (auto& p : served.providers) p->enabled = false;
  };
  world none{std::move(s)};
  EXPECT_EQ(none.call("ai:models:list", "{}").code(), "AI_NOT_CONFIGURED");
}

}  // namespace
}  // namespace tidegate::session
