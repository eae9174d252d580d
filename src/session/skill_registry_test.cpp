#include "session/skill_registry.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kit/scenario_table.h"
#include "kit/temporary_folder.h"
#include "observe/captured_log.h"
#include "policy/prompt_layers.h"
#include "session/builtin_skills.h"
#include "session/skill_folder.h"

namespace tidegate::session {
namespace {

using foundation::error_code;
using policy::skill_material;

struct world {
  kit::temporary_folder folder;
  foundation::manual_clock time;
  observe::captured_log lines;
  observe::logger log{lines, time};

  std::string path(std::string_view name = "") const {
    return name.empty() ? folder.path() : folder.path() + '/' + std::string{name};
  }
  void write(std::string_view name, std::string_view text) const {
    std::filesystem::create_directories(std::filesystem::path{path(name)}.parent_path());
    std::ofstream{path(name), std::ios::binary} << text;
  }
  void write_skill(std::string_view name, std::string_view front = "") const {
    write(name, "+++\nname = \"" + std::string{name} + "\"\n" + std::string{front} + "+++\nDo it.\n");
  }
  std::unique_ptr<skill_registry> start(skill_toggles toggles = {}) const {
    return std::make_unique<skill_registry>(std::vector<std::string>{path()}, std::move(toggles), log);
  }
};

std::vector<std::string> ids_of(const skill_snapshot& skills) {
  std::vector<std::string> ids;
  for (const auto& row : skills.rows()) ids.push_back(row.what->id);
  return ids;
}

error_code code_of(const std::expected<const skill*, foundation::failure>& chosen) {
  return chosen ? error_code::internal : chosen.error().code;
}

// What a run of that id and text gets, or "".
std::string selected(const skill_registry& registry, std::string_view id, std::string_view text,
                     std::string_view selection = "") {
  const auto skills = registry.current();
  const auto chosen = skills->select(id, !selection.empty(), {.input = text, .selection = selection});
  return chosen ? (*chosen)->id : "";
}

TEST(skill_pack, PRM_1_holds_ten_valid_skills_in_order) {
  const world w;
  const skill_registry registry{{}, {}, w.log};
  const auto skills = registry.current();
  EXPECT_EQ(ids_of(*skills),
            (std::vector<std::string>{"builtin:chat", "builtin:polish", "builtin:rewrite", "builtin:condense",
                                      "builtin:expand", "builtin:continue", "builtin:summarize",
                                      "builtin:translate", "builtin:critique", "builtin:brainstorm"}));
  for (const auto& row : skills->rows()) {
    EXPECT_TRUE(row.what->valid()) << row.what->fault->message;
    EXPECT_TRUE(row.enabled);
    EXPECT_FALSE(row.what->definition.description.empty());
    EXPECT_EQ(row.what->definition.input == policy::skill_input::chat, row.what->leaf == "chat");
    EXPECT_EQ(row.what->definition.timeout, std::nullopt) << "TMO-1: 30,000 unless a file says so";
  }
  EXPECT_EQ(embedded_skills().size(), 10U) << "no file beside the pack";
  EXPECT_EQ(w.lines.of("skill_registry_warmup_loaded").size(), 1U);
  EXPECT_FALSE(w.lines.contains("builtin_skill_"));
}

TEST(skill_pack, PRM_5_output_rules_are_as_required) {
  const world w;
  const skill_registry registry{{}, {}, w.log};
  const auto skills = registry.current();
  for (const auto& row : skills->rows()) {
    const policy::output_rules& rules = row.what->definition.output;
    const std::string_view leaf = row.what->leaf;
    if (leaf == "chat") {
      EXPECT_EQ(rules, policy::output_rules{});
      continue;
    }
    const bool wide = leaf == "continue" || leaf == "expand" || leaf == "brainstorm" || leaf == "critique";
    EXPECT_EQ(rules.max_ratio, wide ? 20 : 10) << leaf;
    EXPECT_TRUE(rules.forbid_code_fence && rules.forbid_html_tag) << leaf;
    EXPECT_TRUE(rules.forbidden_texts.empty());
  }
}

TEST(skill_pack, RTE_1_T81_summarize_is_auxiliary_and_polish_primary) {
  const world w;
  const skill_registry registry{{}, {}, w.log};
  const auto class_of = [&](std::string_view id) {
    const auto* const row = registry.current()->find(id);
    return policy::class_of_skill(row->what->id, row->what->definition.model);
  };
  EXPECT_EQ(class_of("summarize"), policy::model_class::auxiliary);
  EXPECT_EQ(class_of("polish"), policy::model_class::primary);
}

TEST(skill_pack, T145_the_texts_of_the_requirements_choose_as_required) {
  const world w;
  const skill_registry registry{{}, {}, w.log};
  EXPECT_EQ(selected(registry, "", "", "some text"), "builtin:polish");
  EXPECT_EQ(selected(registry, " ", "don't translate"), "builtin:chat");
  EXPECT_EQ(selected(registry, "", "translate"), "builtin:translate");
  EXPECT_EQ(selected(registry, "", "帮我翻译这一段"), "builtin:translate");
  EXPECT_EQ(selected(registry, "", "不要翻译，总结就好"), "builtin:summarize");
  EXPECT_EQ(selected(registry, "", "改写得冷一点", "some text"), "builtin:rewrite");
  EXPECT_EQ(selected(registry, "", "What do you think of my hero?"), "builtin:chat");
  EXPECT_EQ(selected(registry, "critique", "translate"), "builtin:critique") << "an explicit id always wins";
}

TEST(skill_pack, the_identity_is_whole) { EXPECT_TRUE(policy::is_whole_identity(embedded_identity())); }

TEST(skill_registry, global_skills_follow_the_pack_and_win_by_leaf_id) {
  const world w;
  w.write_skill("translate.md");
  w.write_skill("haiku.md", "keywords = [\"haiku\"]\n");
  const auto registry = w.start();
  const auto skills = registry->current();
  const auto ids = ids_of(*skills);
  ASSERT_EQ(ids.size(), 12U);
  EXPECT_EQ(ids[10], "global:haiku");
  EXPECT_EQ(ids[11], "global:translate");
  EXPECT_EQ(skills->find("translate")->what->id, "global:translate");
  EXPECT_EQ(skills->find(" builtin:translate ")->what->id, "builtin:translate");
  EXPECT_EQ(skills->find("polish")->what->id, "builtin:polish");
  EXPECT_EQ(skills->find("other:polish"), nullptr);
  EXPECT_EQ(skills->find(""), nullptr);
  EXPECT_EQ(selected(*registry, "", "a haiku please"), "global:haiku");
  EXPECT_EQ(selected(*registry, "", "translate"), "builtin:chat") << "the owner's translate has no keywords";
}

TEST(skill_registry, PRM_2_refusals) {
  const world w;
  w.write_skill("report.md", "input = \"document\"\n");
  const auto registry = w.start({{"builtin:expand", false}});
  const auto skills = registry->current();
  EXPECT_EQ(code_of(skills->select("nothing", false, {.input = "x"})), error_code::not_found);
  EXPECT_EQ(code_of(skills->select("expand", false, {.input = "x"})), error_code::unsupported);
  EXPECT_EQ(code_of(skills->select("polish", false, {.input = " \n"})), error_code::skill_input_empty);
  EXPECT_EQ(code_of(skills->select("report", false, {.input = "x", .project_id = "p"})),
            error_code::skill_input_empty);
  EXPECT_TRUE(skills->select("report", false, {.project_id = "p", .document_id = "d"}));
  EXPECT_TRUE(skills->select("polish", true, {.selection = "x"}));
  EXPECT_EQ(selected(*registry, "", "expand this and summarize that"), "builtin:summarize")
      << "what is disabled is not chosen";
}

TEST(skill_registry, T31_a_disabled_dependency_is_named) {
  const world w;
  w.write_skill("digest.md", "dependsOn = [\" summarize \", \"summarize\", \"polish\", \"nowhere\"]\n");
  const auto registry = w.start();
  ASSERT_TRUE(registry->toggle("summarize", false));
  const auto chosen = registry->current()->select("global:digest", false, {.input = "x"});
  ASSERT_EQ(code_of(chosen), error_code::skill_dependency_missing);
  EXPECT_EQ(chosen.error().details, R"(["summarize","nowhere"])");
}

TEST(skill_registry, T31_alone_is_told_alone) {
  const world w;
  w.write_skill("digest.md", "dependsOn = [\"summarize\"]\n");
  const auto registry = w.start({{"builtin:summarize", false}});
  EXPECT_EQ(registry->current()->select("digest", false, {.input = "x"}).error().details, R"(["summarize"])");
  ASSERT_TRUE(registry->toggle("builtin:summarize", true));
  EXPECT_TRUE(registry->current()->select("digest", false, {.input = "x"}));
}

TEST(skill_registry, T144_bad_files_are_listed_as_invalid) {
  const world w;
  w.write("broken.md", "+++\nname = \n+++\nDo it.\n");
  w.write_skill("slow.md", "timeout = \"121s\"\n");
  w.write("large.md", std::string(skill_file_bytes_max + 1, 'x'));
  w.write_skill("fine.md");
  const auto registry = w.start();
  const auto skills = registry->current();
  for (const char* id : {"global:broken", "global:slow", "global:large"}) {
    const auto* const row = skills->find(id);
    ASSERT_NE(row, nullptr) << id;
    ASSERT_FALSE(row->what->valid()) << id;
    EXPECT_EQ(row->what->fault->code, error_code::skill_parse_failed);
    EXPECT_EQ(code_of(skills->select(id, false, {.input = "x"})), error_code::skill_parse_failed);
  }
  EXPECT_EQ(skills->find("slow")->what->fault->message, "slow.md:3: timeout is over 120,000 ms");
  EXPECT_TRUE(skills->find("fine")->what->valid());
  EXPECT_EQ(w.lines.of("skill_registry_warmup_loaded").size(), 1U);
  EXPECT_TRUE(w.lines.contains("\"invalid\":3"));
}

TEST(skill_registry, nothing_outside_its_directory_is_opened) {
  const world w;
  w.write("outside/secret.md", "+++\nname = \"secret\"\n+++\nDo it.\n");
  w.write_skill("inside/fine.md");
  std::filesystem::create_symlink(w.path("outside/secret.md"), w.path("inside/linked.md"));
  std::filesystem::create_symlink("../outside/secret.md", w.path("inside/relative.md"));
  std::filesystem::create_directory_symlink(w.path("outside"), w.path("inside/folder.md"));
  std::filesystem::create_directory(w.path("inside/deep.md"));
  ASSERT_EQ(::mkfifo(w.path("inside/pipe.md").c_str(), 0600), 0);
  w.write_skill("inside/.hidden.md");
  w.write_skill("inside/notes.txt");
  const skill_registry registry{{w.path("inside")}, {}, w.log};
  const auto ids = ids_of(*registry.current());
  ASSERT_EQ(ids.size(), 11U);
  EXPECT_EQ(ids.back(), "global:fine");
}

TEST(skill_registry, unreadable_directories_and_odd_names_are_logged_and_passed_over) {
  const world w;
  w.write_skill("one/haiku.md");
  w.write_skill("two/haiku.md");
  w.write_skill("two/a:b.md");
  w.write_skill("two/诗歌.md");
  const skill_registry registry{{w.path("missing"), w.path("one"), w.path("two")}, {}, w.log};
  const auto skills = registry.current();
  EXPECT_NE(skills->find("global:诗歌"), nullptr);
  EXPECT_EQ(skills->find("haiku")->what->definition.name, "one/haiku.md") << "the earlier directory wins";
  EXPECT_EQ(ids_of(*skills).size(), 12U);
  EXPECT_EQ(w.lines.of("skill_registry_warmup_failed").size(), 3U);
  EXPECT_TRUE(w.lines.contains("IO_ERROR"));
}

TEST(skill_registry, the_number_of_files_is_bounded) {
  const world w;
  for (int i = 0; i < 8; ++i) w.write_skill("s" + std::to_string(i) + ".md");
  const skill_registry registry{{w.path()}, {}, w.log, {.files_max = 3}};
  EXPECT_EQ(ids_of(*registry.current()).size(), 13U);
  EXPECT_EQ(w.lines.of("skill_registry_warmup_failed").size(), 1U);
}

TEST(skill_registry, toggles_are_kept_for_the_store_and_change_no_snapshot_in_use) {
  const world w;
  const auto registry = w.start({{"global:gone", false}, {"builtin:chat", false}});
  const auto before = registry->current();
  EXPECT_FALSE(before->find("chat")->enabled);
  EXPECT_EQ(registry->toggle("chat", true), "builtin:chat");
  EXPECT_FALSE(before->find("chat")->enabled) << "a snapshot does not change";
  EXPECT_TRUE(registry->current()->find("chat")->enabled);
  EXPECT_EQ(registry->toggle("nothing", false).error().code, error_code::not_found);
  EXPECT_EQ(registry->toggles(), (skill_toggles{{"builtin:chat", true}, {"global:gone", false}}));
  EXPECT_EQ(w.lines.of("builtin_skill_disabled_on_startup").size(), 1U);
}

TEST(skill_registry, reload_reads_the_directories_again_and_keeps_toggles) {
  const world w;
  w.write_skill("haiku.md");
  const auto registry = w.start();
  ASSERT_TRUE(registry->toggle("haiku", false));
  const auto before = registry->current();
  std::filesystem::remove(w.path("haiku.md"));
  w.write_skill("ode.md");
  registry->reload();
  EXPECT_EQ(registry->current()->find("haiku"), nullptr);
  EXPECT_NE(registry->current()->find("ode"), nullptr);
  EXPECT_EQ(before->find("haiku")->what->content, "+++\nname = \"haiku.md\"\n+++\nDo it.\n")
      << "still readable";
  w.write_skill("haiku.md");
  registry->reload();
  EXPECT_FALSE(registry->current()->find("haiku")->enabled);
  registry->reload(std::vector<std::string>{});
  EXPECT_EQ(ids_of(*registry->current()).size(), 10U);
}

TEST(skill_registry, PRM_4_an_identity_file_is_used_when_whole_and_the_built_in_text_otherwise) {
  const world w;
  const std::string own = std::string{embedded_identity()} + "\nAlways answer in rhyme.\n";
  w.write("identity.md", own);
  const auto registry = w.start();
  EXPECT_EQ(registry->current()->identity(), own);
  EXPECT_EQ(registry->current()->find("identity"), nullptr) << "it is no skill";
  EXPECT_TRUE(w.lines.of("context_assembly_degraded").empty());
  w.write("identity.md", "You are a pirate.");
  registry->reload();
  EXPECT_EQ(registry->current()->identity(), embedded_identity());
  EXPECT_EQ(w.lines.of("context_assembly_degraded").size(), 1U);
  w.write("identity.md", std::string(skill_file_bytes_max + 1, 'x'));
  registry->reload();
  EXPECT_EQ(registry->current()->identity(), embedded_identity());
  EXPECT_EQ(w.lines.of("context_assembly_degraded").size(), 2U);
}

TEST(skill_registry, readers_need_no_lock_while_it_changes) {
  const world w;
  w.write_skill("haiku.md", "dependsOn = [\"polish\"]\n");
  const auto registry = w.start();
  std::atomic<bool> stop = false;
  std::atomic<int> bad = 0;
  std::thread reader{[&] {
    while (!stop) {
      const auto chosen = registry->current()->select("haiku", false, {.input = "x"});
      if (!chosen && chosen.error().code != error_code::skill_dependency_missing) ++bad;
    }
  }};
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(registry->toggle("polish", i % 2 == 0));
    if (i % 10 == 0) registry->reload();
  }
  stop = true;
  reader.join();
  EXPECT_EQ(bad, 0);
}

}  // namespace
}  // namespace tidegate::session
