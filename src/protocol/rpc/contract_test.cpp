#include "protocol/rpc/contract.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "protocol/json/json.h"
#include "protocol/rpc/contract_names.h"
#include "protocol/rpc/contract_writer.h"

namespace tidegate::protocol::rpc {
namespace {

constexpr shape text{.kind = shape_kind::string};
constexpr std::array one_field{field{.name = "a", .type = &text}};
constexpr shape good{.kind = shape_kind::object, .fields = one_field};
constexpr shape thing{.kind = shape_kind::object, .name = "Thing", .fields = one_field};
constexpr std::array thing_field{field{.name = "thing", .type = &thing}};
constexpr shape with_thing{.kind = shape_kind::object, .fields = thing_field};
constexpr std::array domains{std::string_view{"ai"}};

// A contract that a test may spoil.
struct draft {
  std::vector<channel> channels{{.name = "ai:a:one", .request = &good, .reply = &good},
                                {.name = "ai:a:two", .request = &with_thing, .reply = &good}};
  std::vector<push> pushes{{.name = "ai:a:news", .payload = &good}};
  std::vector<const shape*> shapes{&thing};

  std::string faults(std::span<const std::string_view> bound = {}) const {
    std::string all;
    for (const contract_fault& f : check_rules({domains, channels, pushes, shapes}, bound)) {
      all += std::string{f.code} + ' ' + f.message + '\n';
    }
    return all;
  }
};

// RPC-4: what is rejected.
TEST(contract, a_sound_one_has_no_faults) {
  EXPECT_EQ(draft{}.faults(), "");
  EXPECT_EQ(draft{}.faults(std::array<std::string_view, 2>{"ai:a:one", "ai:a:two"}), "");
}

TEST(contract, names_have_three_lowercase_segments) {
  for (const std::string_view name :
       {"ai:a", "ai:a:b:c", "ai::b", "AI:a:b", "ai:a:b_c", "", "ai:a:", ":a:b", "ai:a:ü"}) {
    draft d;
    d.channels.front().name = name;
    EXPECT_TRUE(d.faults().starts_with("IPC_CONTRACT_INVALID_NAME")) << name << ": " << d.faults();
  }
  draft d;
  d.pushes.front().name = "ai:alert";
  EXPECT_EQ(d.faults(), "") << "a push may leave its action out";
}

TEST(contract, a_domain_is_known) {
  draft d;
  d.channels.front().name = "disk:a:one";
  EXPECT_EQ(d.faults(), "IPC_CONTRACT_UNKNOWN_DOMAIN disk:a:one: no domain disk\n");
}

TEST(contract, T80_a_channel_is_listed_once) {
  draft d;
  d.channels.push_back(d.channels.front());
  EXPECT_TRUE(d.faults().starts_with("IPC_CONTRACT_DUPLICATED_CHANNEL ai:a:one")) << d.faults();
  draft shared;
  shared.pushes.front().name = "ai:a:one";
  EXPECT_TRUE(shared.faults().starts_with("IPC_CONTRACT_DUPLICATED_CHANNEL ai:a:one")) << shared.faults();
}

TEST(contract, every_schema_is_there) {
  draft request;
  request.channels.front().request = nullptr;
  EXPECT_EQ(request.faults(), "IPC_CONTRACT_MISSING_SCHEMA ai:a:one has no request\n");
  draft reply;
  reply.channels.front().reply = nullptr;
  EXPECT_EQ(reply.faults(), "IPC_CONTRACT_MISSING_SCHEMA ai:a:one has no reply\n");
  draft payload;
  payload.pushes.front().payload = nullptr;
  EXPECT_EQ(payload.faults(), "IPC_CONTRACT_MISSING_SCHEMA ai:a:news has no payload\n");
}

TEST(contract, a_reference_leads_to_a_listed_shape) {
  draft d;
  d.shapes.clear();
  EXPECT_TRUE(d.faults().starts_with("IPC_CONTRACT_INVALID_SCHEMA_REFERENCE ai:a:two.thing refers to Thing"))
      << d.faults();
  static constexpr std::array hollow_field{field{.name = "a"}};
  static constexpr shape hollow{.kind = shape_kind::object, .fields = hollow_field};
  static constexpr shape endless{.kind = shape_kind::array};
  static shape round{.kind = shape_kind::array};
  round.element = &round;
  static constexpr std::array<const shape*, 1> variants{&good};
  static constexpr shape untagged{.kind = shape_kind::one_of, .variants = variants, .tag = "type"};
  for (const shape* bad : {&hollow, &endless, static_cast<const shape*>(&round), &untagged}) {
    draft other;
    other.channels.front().reply = bad;
    EXPECT_TRUE(other.faults().starts_with("IPC_CONTRACT_INVALID_SCHEMA_REFERENCE")) << other.faults();
  }
}

// AiAbCd and AiABcd would be one file where case does not count.
TEST(contract, generated_names_differ_by_more_than_case) {
  draft d;
  d.channels[0].name = "ai:ab:cd";
  d.channels[1].name = "ai:a:bcd";
  EXPECT_TRUE(d.faults().starts_with("IPC_CONTRACT_NAME_COLLISION AiAbCdReply")) << d.faults();
}

TEST(contract, a_shapes_name_is_its_own) {
  static constexpr shape taken{.kind = shape_kind::object, .name = "AiAOneRequest", .fields = one_field};
  static constexpr shape reserved{.kind = shape_kind::object, .name = "ErrorCode", .fields = one_field};
  static constexpr shape folded{.kind = shape_kind::object, .name = "THING", .fields = one_field};
  for (const shape* bad : {&taken, &reserved, &folded}) {
    draft d;
    d.shapes.push_back(bad);
    EXPECT_TRUE(d.faults().starts_with("IPC_CONTRACT_NAME_COLLISION")) << d.faults();
  }
  static constexpr std::array twice_fields{field{.name = "a", .type = &text},
                                           field{.name = "a", .type = &text}};
  static constexpr shape twice{.kind = shape_kind::object, .fields = twice_fields};
  draft d;
  d.channels.front().reply = &twice;
  EXPECT_EQ(d.faults(), "IPC_CONTRACT_NAME_COLLISION ai:a:one.a is there twice\n");
}

TEST(contract, handlers_and_channels_belong_together) {
  const draft d;
  EXPECT_EQ(d.faults(std::array<std::string_view, 1>{"ai:a:one"}),
            "IPC_CONTRACT_UNREGISTERED_BINDING ai:a:two has no handler\n");
  EXPECT_EQ(d.faults(std::array<std::string_view, 3>{"ai:a:one", "ai:a:two", "ai:a:three"}),
            "IPC_CONTRACT_UNREGISTERED_BINDING ai:a:three has a handler but is no channel\n");
  EXPECT_EQ(d.faults(std::array<std::string_view, 3>{"ai:a:one", "ai:a:two", "ai:a:two"}),
            "IPC_CONTRACT_DUPLICATED_CHANNEL ai:a:two has two handlers\n");
}

TEST(contract, of_the_session_surface_is_sound) {
  const auto faults = check_rules(session_contract());
  for (const contract_fault& f : faults) ADD_FAILURE() << f.code << ' ' << f.message;
  EXPECT_EQ(session_contract().channels.size(), 26U);
  EXPECT_EQ(session_contract().pushes.size(), 8U);
}

// SEC-2
TEST(contract, says_which_channels_are_an_admins) {
  std::vector<std::string_view> names;
  for (const channel& c : session_contract().channels) {
    if (c.needs == access::admin) names.push_back(c.name);
  }
  EXPECT_EQ(names,
            (std::vector<std::string_view>{"ai:config:update", "cost:budget:reset", "cost:budget:update",
                                           "cost:pricing:update", "skill:registry:toggle"}));
}

// TMO-4
TEST(contract, says_which_channels_keep_their_own_time) {
  EXPECT_EQ(find_channel("ai:skill:run")->limit, time_class::run);
  EXPECT_EQ(find_channel("judge:quality:evaluate")->limit, time_class::judge);
  EXPECT_EQ(std::ranges::count(session_contract().channels, time_class::standard, &channel::limit), 24);
}

TEST(contract, finds_by_name) {
  EXPECT_EQ(find_channel("ai:chat:send")->name, "ai:chat:send");
  EXPECT_EQ(find_channel("ai:chat:nope"), nullptr);
  EXPECT_EQ(find_channel(""), nullptr);
  EXPECT_EQ(find_push("cost:alert")->name, "cost:alert");
  EXPECT_EQ(find_push("zz"), nullptr);
}

const contract_file& file_of(const std::vector<contract_file>& files, std::string_view path) {
  return *std::ranges::find(files, path, &contract_file::path);
}

TEST(contract_writer, writes_the_same_bytes_every_time_whatever_the_order_of_the_tables) {
  const draft d;
  draft reversed;
  std::ranges::reverse(reversed.channels);
  const auto one = write_contract({domains, d.channels, d.pushes, d.shapes});
  const auto other = write_contract({domains, reversed.channels, reversed.pushes, reversed.shapes});
  ASSERT_EQ(one.size(), other.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].path, other[i].path);
    EXPECT_EQ(one[i].text, other[i].text);
  }
  EXPECT_TRUE(std::ranges::is_sorted(one, {}, &contract_file::path));
}

TEST(contract_writer, writes_sound_text) {
  const auto files = write_contract(session_contract());
  EXPECT_GT(files.size(), 60U);
  for (const contract_file& f : files) {
    EXPECT_EQ(f.text.find('\r'), std::string::npos) << f.path;
    EXPECT_TRUE(f.text.ends_with('\n') && !f.text.ends_with("\n\n")) << f.path;
    if (f.path.ends_with(".json")) EXPECT_TRUE(json::validate(f.text)) << f.path;
  }
  const std::string& api = file_of(files, "openapi.json").text;
  const std::string& types = file_of(files, "client.ts").text;
  for (const channel& c : session_contract().channels) {
    EXPECT_NE(api.find("\"/rpc/" + std::string{c.name} + '"'), std::string::npos);
    EXPECT_NE(types.find('"' + std::string{c.name} + "\": {"), std::string::npos);
  }
}

// C5: any drift shows.
TEST(contract_writer, a_change_of_the_schemas_changes_the_files) {
  const draft before;
  const auto is = write_contract({domains, before.channels, before.pushes, before.shapes});
  static constexpr shape number{.kind = shape_kind::number};
  static constexpr std::array renamed_field{field{.name = "b", .type = &text}};
  static constexpr std::array retyped_field{field{.name = "a", .type = &number}};
  static constexpr std::array optional_field{field{.name = "a", .type = &text, .required = false}};
  static constexpr shape renamed{.kind = shape_kind::object, .fields = renamed_field};
  static constexpr shape retyped{.kind = shape_kind::object, .fields = retyped_field};
  static constexpr shape optional{.kind = shape_kind::object, .fields = optional_field};
  for (const shape* changed : {&renamed, &retyped, &optional}) {
    draft after;
    after.channels.front().reply = changed;
    const auto now = write_contract({domains, after.channels, after.pushes, after.shapes});
    for (const std::string_view path : {"openapi.json", "client.ts", "schemas/AiAOneReply.json"}) {
      EXPECT_TRUE(first_difference(file_of(is, path).text, file_of(now, path).text)) << path;
    }
  }
}

TEST(contract_writer, finds_the_first_line_that_differs) {
  EXPECT_FALSE(first_difference("a\nb\n", "a\nb\n"));
  EXPECT_FALSE(first_difference("", ""));
  struct example {
    std::string_view found;
    std::string_view wanted;
    std::size_t line;
  };
  for (const example& e :
       {example{"a\nb\n", "a\nc\n", 2}, example{"a\n", "a\nb\n", 2}, example{"a\nb\n", "a\n", 2},
        example{"a", "a\n", 1}, example{"a\r\n", "a\n", 1}, example{"", "a\n", 1}}) {
    const auto other = first_difference(e.found, e.wanted);
    ASSERT_TRUE(other) << e.found;
    EXPECT_EQ(other->line, e.line) << e.found;
  }
}

}  // namespace
}  // namespace tidegate::protocol::rpc
