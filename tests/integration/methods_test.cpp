// A path asked with another method than its own says which it takes (RFC 9110, 15.5.6).
#include <gtest/gtest.h>

#include "kit/gateway.h"

namespace tidegate {
namespace {

using kit::raw_client;
using kit::raw_reply;
using kit::test_gateway;

TEST(methods, a_405_names_what_the_path_takes) {
  const test_gateway gateway;
  for (const std::string_view path : {"/v1/chat/completions", "/v1/responses", "/v1/messages",
                                      "/v1/messages/count_tokens", "/v1/embeddings"}) {
    raw_client caller = gateway.connect();
    const raw_reply r = caller.exchange("GET", path);
    EXPECT_EQ(r.status, 405) << path;
    EXPECT_EQ(r.header("allow"), "POST") << path;
    EXPECT_EQ(kit::code_of(r.body), "INVALID_ARGUMENT") << path;
  }
  for (const std::string_view path : {"/v1/models", "/v1/models/gpt-t"}) {
    const raw_reply r = gateway.post(path, "{}");
    EXPECT_EQ(r.status, 405) << path;
    EXPECT_EQ(r.header("allow"), "GET, HEAD") << path;
  }
  EXPECT_EQ(gateway.seen().total, 0) << "no call went upstream";
}

TEST(methods, the_admin_listener_says_so_too) {
  const test_gateway gateway;
  for (const std::string_view path : {"/metrics", "/admin/v1/providers"}) {
    const raw_reply r = gateway.admin("POST", path);
    EXPECT_EQ(r.status, 405) << path;
    EXPECT_EQ(r.header("allow"), "GET, HEAD") << path;
  }
  const raw_reply reload = gateway.admin("GET", "/admin/v1/reload");
  EXPECT_EQ(reload.status, 405);
  EXPECT_EQ(reload.header("allow"), "POST");
  EXPECT_EQ(gateway.admin("GET", "/admin/v1/nothing").status, 404);
}

}  // namespace
}  // namespace tidegate
