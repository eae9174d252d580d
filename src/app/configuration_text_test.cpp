// The documents made from the schema. With TIDEGATE_UPDATE_DOCS=1 the tests write them instead of comparing.
#include "app/configuration_text.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "app/configuration.h"
#include "app/configuration_schema.h"
#include "app/configuration_values.h"

namespace tidegate::app {
namespace {

void expect_in_sync(const std::string& name, const std::string& made) {
  const std::string path = std::string{TIDEGATE_SOURCE_DIR} + "/docs/" + name;
  if (std::getenv("TIDEGATE_UPDATE_DOCS") != nullptr) {
    std::ofstream{path} << made;
    return;
  }
  std::ostringstream kept;
  kept << std::ifstream{path}.rdbuf();
  EXPECT_EQ(kept.str(), made) << path << " is stale; run this test with TIDEGATE_UPDATE_DOCS=1";
}

void expect_defaults(configuration settings) {
  for (const section_row& section : schema()) {
    const bool policy = section.name == "policy";
    if (section.shape != section_shape::table && !policy) continue;
    const record owner = policy ? record{&settings.policies.at("default")} : record{&settings};
    for (const key_row& row : section.keys) {
      EXPECT_EQ(format_value(row, row.bind(owner)), format_value(row, row.bind(section.defaults())))
          << row.key;
    }
  }
}

// Takes the '#' off every setting, and leaves prose ("# ...") alone.
std::string uncommented(const std::string& sample) {
  std::istringstream lines{sample};
  std::string out;
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ') line.erase(0, 1);
    out += line + "\n";
  }
  return out;
}

TEST(configuration_text, the_sample_loads_unchanged_and_yields_the_defaults) {
  const auto loaded = load({"tidegate.toml", sample_configuration(), {}, {}});
  ASSERT_TRUE(loaded) << to_text(loaded.error().front());
  EXPECT_TRUE(loaded->warnings.empty());
  EXPECT_TRUE(loaded->settings.providers.empty());
  EXPECT_TRUE(loaded->settings.routes.empty());
  EXPECT_TRUE(loaded->settings.keys.empty());
  expect_defaults(loaded->settings);
}

TEST(configuration_text, the_sample_with_every_setting_written_out_means_the_same) {
  const auto loaded = load({"tidegate.toml", uncommented(sample_configuration()), {}, {}});
  ASSERT_TRUE(loaded) << to_text(loaded.error().front());
  EXPECT_TRUE(loaded->warnings.empty());
  expect_defaults(loaded->settings);
  EXPECT_EQ(loaded->settings.providers.size(), 2);
  EXPECT_EQ(loaded->settings.routes.size(), 1);
  EXPECT_EQ(loaded->settings.keys.size(), 1);
  EXPECT_EQ(loaded->settings.pricing.models.size(), 1);
}

TEST(configuration_text, every_key_is_in_the_sample_and_the_reference) {
  const std::string sample = uncommented(sample_configuration());
  const std::string reference = configuration_reference();
  for (const section_row& section : schema()) {
    for (const key_row& row : section.keys) {
      const std::string key{row.key};
      EXPECT_NE(sample.find(key), std::string::npos) << key;
      EXPECT_NE(reference.find("| `" + key + "` |"), std::string::npos) << key;
    }
  }
}

TEST(configuration_text, the_sample_is_the_one_in_docs) {
  expect_in_sync("tidegate.sample.toml", sample_configuration());
}

TEST(configuration_text, the_reference_is_the_one_in_docs) {
  expect_in_sync("CONFIGURATION.md", configuration_reference());
}

}  // namespace
}  // namespace tidegate::app
