// GET /v1/models: providers behind globs are asked once a minute, not with every listing (GW-1).
#include "gateway/model_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/world.h"

namespace tidegate::gateway {
namespace {

using kit::P;
using kit::setup;
using kit::world;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view listed = R"({"data":[{"id":"gpt-a"},{"id":"other"},{"id":"gpt-b"}]})";

setup glob() {
  setup s = kit::without_backup();
  s.route = "gpt-*";
  s.targets[0].model = "*";
  return s;
}

runtime::detached list(world& w, runtime::cancel_source& cancel, std::vector<std::string>& out, bool& done) {
  const auto models = co_await list_models(w.shared, w.services, cancel);
  for (const auto& m : models) out.push_back(m.id);
  done = true;
}

std::vector<std::string> ids_listed(world& w) {
  runtime::cancel_source cancel;
  std::vector<std::string> out;
  bool done = false;
  list(w, cancel, out, done);
  w.settle();
  if (!done) w.advance(seconds{3});
  EXPECT_TRUE(done);
  return out;
}

TEST(model_list, a_good_answer_serves_for_a_minute) {
  world w{glob()};
  w.upstream.always(P, kit::replies(200, std::string{listed}));
  EXPECT_THAT(ids_listed(w), ElementsAre("gpt-a", "gpt-b"));
  w.advance(seconds{59});
  EXPECT_THAT(ids_listed(w), ElementsAre("gpt-a", "gpt-b"));
  EXPECT_EQ(w.upstream.count(P), 1U);
  w.advance(seconds{2});
  EXPECT_THAT(ids_listed(w), ElementsAre("gpt-a", "gpt-b"));
  EXPECT_EQ(w.upstream.count(P), 2U);
}

TEST(model_list, a_bad_answer_is_not_kept) {
  for (const kit::behavior& bad :
       {kit::status(503), kit::replies(200, "nonsense"), kit::replies(200, R"({"data":[]})"), kit::hangs()}) {
    world w{glob()};
    w.upstream.always(P, bad);
    EXPECT_THAT(ids_listed(w), IsEmpty());
    w.upstream.always(P, kit::replies(200, std::string{listed}));
    EXPECT_THAT(ids_listed(w), ElementsAre("gpt-a", "gpt-b"));
  }
}

TEST(model_list, another_credential_is_asked_anew) {
  setup s = glob();
  world w{s};
  w.upstream.always(P, kit::replies(200, std::string{listed}));
  ids_listed(w);
  s.providers[0].key = "sk-another-credential-9";
  w.publish(s);
  ids_listed(w);
  EXPECT_EQ(w.upstream.count(P), 2U);
}

TEST(model_list, two_cores_share_nothing) {  // T16
  world a{glob()};
  world b{glob()};
  a.upstream.always(P, kit::replies(200, std::string{listed}));
  b.upstream.always(P, kit::replies(200, std::string{listed}));
  ids_listed(a);
  ids_listed(b);
  EXPECT_EQ(b.upstream.count(P), 1U);
}

}  // namespace
}  // namespace tidegate::gateway
