#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "app/cli.h"
#include "app/command/commands.h"
#include "protocol/rpc/contract.h"

namespace tidegate::app::command {
namespace {

namespace rpc = protocol::rpc;
using testing::HasSubstr;
using testing::StartsWith;

// A folder of the test's own, gone with it.
struct contract_folder {
  std::filesystem::path root;
  std::ostringstream out;
  std::ostringstream err;

  contract_folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tidegate-contract-XXXXXX").string();
    root = ::mkdtemp(pattern.data());
  }
  contract_folder(const contract_folder&) = delete;
  contract_folder& operator=(const contract_folder&) = delete;
  ~contract_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(root, ignored);
  }

  int run(contract_act act, const rpc::contract& source = rpc::session_contract()) {
    out.str("");
    err.str("");
    console terminal{out, err, false, {}, {}};
    return run_contract({act, (root / "contract").string()}, terminal, source);
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream{root / "contract" / name, std::ios::binary} << text;
  }
  bool has(const std::string& name) const { return std::filesystem::exists(root / "contract" / name); }
};

TEST(contract_command, what_is_generated_passes_the_check) {
  contract_folder folder;
  EXPECT_EQ(folder.run(contract_act::check), 1) << "there is nothing yet";
  EXPECT_EQ(folder.run(contract_act::generate), 0) << folder.err.str();
  EXPECT_EQ(folder.run(contract_act::check), 0) << folder.err.str();
  EXPECT_EQ(folder.run(contract_act::generate), 0);
  EXPECT_THAT(folder.out.str(), HasSubstr("0 written, 0 removed"));
}

TEST(contract_command, T80_the_check_names_the_first_line_that_differs) {
  contract_folder folder;
  folder.run(contract_act::generate);
  folder.write("openapi.json", "{\n  \"openapi\": \"3.0.0\"\n");
  EXPECT_EQ(folder.run(contract_act::check), 1);
  EXPECT_THAT(folder.err.str(), HasSubstr("openapi.json:2: "));
  EXPECT_EQ(folder.run(contract_act::generate), 0);
  EXPECT_EQ(folder.run(contract_act::check), 0);
}

TEST(contract_command, schemas_of_shapes_that_are_no_more_are_found_and_removed) {
  contract_folder folder;
  folder.run(contract_act::generate);
  folder.write("schemas/Gone.json", "{}");
  EXPECT_EQ(folder.run(contract_act::check), 1);
  EXPECT_THAT(folder.err.str(), HasSubstr("Gone.json"));
  EXPECT_EQ(folder.run(contract_act::generate), 0);
  EXPECT_FALSE(folder.has("schemas/Gone.json"));
}

// T80: neither act does anything with a contract that breaks RPC-4's rules.
TEST(contract_command, a_channel_listed_twice_stops_both_acts) {
  static constexpr rpc::shape nothing{.kind = rpc::shape_kind::object};
  static constexpr std::array domains{std::string_view{"ai"}};
  const std::array channels{rpc::channel{.name = "ai:a:b", .request = &nothing, .reply = &nothing},
                            rpc::channel{.name = "ai:a:b", .request = &nothing, .reply = &nothing}};
  const rpc::contract faulty{.domains = domains, .channels = channels, .pushes = {}, .shapes = {}};
  contract_folder folder;
  for (const contract_act act : {contract_act::generate, contract_act::check}) {
    EXPECT_EQ(folder.run(act, faulty), 1);
    EXPECT_THAT(folder.err.str(), StartsWith("IPC_CONTRACT_DUPLICATED_CHANNEL"));
    EXPECT_FALSE(folder.has("openapi.json"));
  }
}

TEST(contract_command, a_place_that_cannot_be_written_ends_with_1) {
  contract_folder folder;
  std::ofstream{folder.root / "contract"} << "a file";
  EXPECT_EQ(folder.run(contract_act::generate), 1);
  EXPECT_THAT(folder.err.str(), StartsWith("tidegate: "));
  EXPECT_EQ(folder.run(contract_act::check), 1);
}

TEST(contract_command, takes_a_folder_and_one_of_two_acts) {
  const auto line = parse_command_line({"contract", "generate", "--dir", "d"});
  ASSERT_TRUE(line && std::holds_alternative<contract_options>(*line));
  EXPECT_EQ(std::get<contract_options>(*line).act, contract_act::generate);
  EXPECT_EQ(std::get<contract_options>(*line).dir, "d");
  const auto plain = parse_command_line({"contract", "check"});
  ASSERT_TRUE(plain);
  EXPECT_EQ(std::get<contract_options>(*plain).dir, "contract");
  for (const auto& wrong :
       {std::vector<std::string>{"contract"}, {"contract", "compare"}, {"contract", "check", "x"}}) {
    const auto refused = parse_command_line(wrong);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, 2);
  }
}

}  // namespace
}  // namespace tidegate::app::command
