// Prints, behind a test run, one line for each scenario id that a test bears in its name:
// "T101 scenario.T101_failing_primary ... passed". Include it in one file of a test binary.
#pragma once

#include <gtest/gtest.h>

#include <cctype>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidegate::kit {

// The ids at the head of a test's name: "T8_T9_probe_is_due" -> T8, T9.
inline std::vector<std::string> scenario_ids(std::string_view name) {
  std::vector<std::string> ids;
  for (;;) {
    const std::size_t end = name.find('_');
    const std::string_view word = name.substr(0, end);
    const bool letter = !word.empty() && (word.front() == 'S' || word.front() == 'T');
    if (!letter || word.size() < 2 || word.find_first_not_of("0123456789", 1) != std::string_view::npos)
      break;
    ids.emplace_back(word);
    if (end == std::string_view::npos) break;
    name.remove_prefix(end + 1);
  }
  return ids;
}

class scenario_table final : public testing::EmptyTestEventListener {
 public:
  void OnTestEnd(const testing::TestInfo& info) override {
    const std::string name = std::string{info.test_suite_name()} + '.' + info.name();
    const testing::TestResult& result = *info.result();
    const std::string_view word = result.Skipped() ? "skipped" : result.Passed() ? "passed" : "FAILED";
    for (const std::string& id : scenario_ids(info.name())) {
      rows_.emplace(std::pair{id.front(), std::stoi(id.substr(1))}, name + ' ' + std::string{word});
    }
  }
  void OnTestProgramEnd(const testing::UnitTest&) override {
    for (const auto& [id, row] : rows_) std::printf("%c%d %s\n", id.first, id.second, row.c_str());
  }

 private:
  std::multimap<std::pair<char, int>, std::string> rows_;
};

// GoogleTest owns the listener. `inline`: once a binary, whoever includes this.
inline const bool scenario_table_registered = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new scenario_table);
  return true;
}();

}  // namespace tidegate::kit
