#include "session/skill_registry.h"

#include <algorithm>
#include <array>
#include <utility>

#include "foundation/text.h"
#include "policy/characters.h"
#include "policy/prompt_layers.h"
#include "protocol/json/json.h"
#include "session/builtin_skills.h"
#include "session/skill_folder.h"

namespace tidegate::session {
namespace {

using foundation::error_code;
using foundation::failure;
using observe::level;

// PRM-3's pack order.
constexpr std::array<std::string_view, 10> pack_order{"chat",     "polish",    "rewrite",   "condense",
                                                      "expand",   "continue",  "summarize", "translate",
                                                      "critique", "brainstorm"};
constexpr std::string_view identity_file = "identity.md";
constexpr std::size_t leaf_characters_max = 64;

failure refusal(error_code code, std::string message, std::string details = {}) {
  failure f;
  f.code = code;
  f.message = std::move(message);
  f.details = std::move(details);
  return f;
}

std::string skill_details(std::string_view id) {
  std::string details;
  protocol::json::writer{details}.begin_object().member("skillId", id).end_object();
  return details;
}

bool is_leaf(std::string_view text) {
  const auto odd = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == ':'; };
  return foundation::is_utf8(text) && policy::trim_blanks(text) == text && !text.empty() &&
         policy::first_characters(text, leaf_characters_max) == text && std::ranges::none_of(text, odd);
}

skill skill_of(skill_scope scope, std::string_view leaf, std::string content, const std::string& shown_name) {
  skill made;
  made.id = std::string{name_of(scope)} + ':' + std::string{leaf};
  made.leaf = leaf;
  made.scope = scope;
  made.content = std::move(content);
  auto read = parse_skill_file(made.content, shown_name);
  if (read) {
    made.definition = *std::move(read);
  } else {
    made.fault = skill_fault{error_code::skill_parse_failed, read.error()};
  }
  return made;
}

std::vector<skill> builtin_skills() {
  std::vector<skill> all;
  const auto pack = embedded_skills();
  for (const std::string_view leaf : pack_order) {
    const auto file = std::ranges::find(pack, leaf, &embedded_skill::leaf);
    if (file == pack.end()) continue;
    all.push_back(skill_of(skill_scope::builtin, leaf, std::string{file->text}, std::string{leaf} + ".md"));
  }
  return all;
}

skill global_skill(std::string_view leaf, folder_file& file) {
  if (file.text) return skill_of(skill_scope::global, leaf, *std::move(file.text), file.name);
  skill unread = skill_of(skill_scope::global, leaf, {}, file.name);
  unread.fault = skill_fault{file.too_large ? error_code::skill_parse_failed : error_code::io_error,
                             file.name + ": " + file.fault};
  return unread;
}

// What one reading of the directories finds, and says of them.
class folder_reading {
 public:
  folder_reading(const observe::logger& log, std::size_t files_max) : log_{log}, files_left_{files_max} {}

  void read(const std::string& path) {
    auto content = read_skill_folder(path, files_left_, skill_file_bytes_max);
    if (!content) return complain(error_code::io_error, content.error());
    if (content->cut)
      complain(error_code::skill_parse_failed, path + ": too many files; some are passed over");
    files_left_ -= content->files.size();
    for (folder_file& file : content->files) take(path, file);
  }

  // Once: what was found is the caller's then.
  std::vector<skill> take_skills() {
    std::ranges::sort(skills_, {}, &skill::leaf);
    return std::move(skills_);
  }
  const std::optional<std::string>& identity() const { return identity_; }

 private:
  void complain(error_code code, const std::string& message) {
    log_.at(level::warn, "skill_registry_warmup_failed")
        .field("code", foundation::name_of(code))
        .field("message", message);
  }

  void take(const std::string& path, folder_file& file) {
    if (file.name == identity_file) return take_identity(path, file);
    const std::string_view leaf = std::string_view{file.name}.substr(0, file.name.size() - 3);
    const std::string where = path + '/' + file.name;
    if (!is_leaf(leaf))
      return complain(error_code::skill_parse_failed, where + ": the name cannot be a skill's id");
    if (std::ranges::find(skills_, leaf, &skill::leaf) != skills_.end()) {
      return complain(error_code::skill_parse_failed,
                      where + ": an earlier directory has a skill of this name");
    }
    skills_.push_back(global_skill(leaf, file));
  }

  void take_identity(const std::string& path, folder_file& file) {
    if (identity_) return;
    if (file.text && foundation::is_utf8(*file.text) && policy::is_whole_identity(*file.text)) {
      identity_ = *std::move(file.text);
      return;
    }
    const std::string_view why =
        file.text ? "its five tagged blocks are not all there" : std::string_view{file.fault};
    log_.at(level::warn, "context_assembly_degraded")
        .field("field", "identity")
        .field("message", path + '/' + file.name + ": " + std::string{why} + "; the built-in text is used");
  }

  const observe::logger& log_;
  std::size_t files_left_;
  std::vector<skill> skills_;
  std::optional<std::string> identity_;
};

// Why a skill that was found may not run.
std::optional<failure> refusal_of(const skill_snapshot::row& row) {
  const skill& what = *row.what;
  if (!row.enabled) return refusal(error_code::unsupported, "this skill is disabled", skill_details(what.id));
  if (what.fault) return refusal(what.fault->code, what.fault->message, skill_details(what.id));
  return std::nullopt;
}

std::optional<failure> refusal_of(policy::material_gap gap) {
  switch (gap) {
    case policy::material_gap::none:
      break;
    case policy::material_gap::blank_selection:
      return refusal(error_code::skill_input_empty, "this skill needs a text to work on");
    case policy::material_gap::no_document:
      return refusal(error_code::skill_input_empty,
                     "this skill needs context.projectId and context.documentId");
  }
  return std::nullopt;
}

failure missing(std::span<const std::string> ids) {
  std::string details;
  protocol::json::writer writer{details};
  writer.begin_array();
  for (const std::string& id : ids) writer.string(id);
  writer.end_array();
  return refusal(error_code::skill_dependency_missing, "skills that this one depends on are not available",
                 std::move(details));
}

}  // namespace

std::string_view name_of(skill_scope scope) { return scope == skill_scope::builtin ? "builtin" : "global"; }

const skill_snapshot::row* skill_snapshot::find(std::string_view id) const {
  id = policy::trim_blanks(id);
  const auto holds = [this](auto matches) -> const row* {
    const auto at = std::ranges::find_if(rows_, matches);
    return at == rows_.end() ? nullptr : &*at;
  };
  if (id.contains(':')) return holds([id](const row& each) { return each.what->id == id; });
  const row* const global = holds(
      [id](const row& each) { return each.what->scope == skill_scope::global && each.what->leaf == id; });
  return global != nullptr ? global : holds([id](const row& each) { return each.what->leaf == id; });
}

// A skill's place is its leaf id's first row; what may be chosen there is what the leaf id finds.
void skill_snapshot::rank_choices() {
  for (const row& each : rows_) {
    const row* const found = find(each.what->leaf);
    const bool shadow = found != &each && found->what->scope != skill_scope::global;
    if (shadow || !found->enabled || !found->what->valid()) continue;
    const std::string_view leaf = found->what->leaf;
    if (std::ranges::find(choosable_, leaf, &policy::choosable_skill::leaf) != choosable_.end()) continue;
    choosable_.push_back({found->what->leaf, found->what->definition.keywords});
  }
}

std::string_view skill_snapshot::choose(std::string_view text, bool has_selection) const {
  return policy::choose_skill(text, has_selection, choosable_);
}

std::expected<const skill*, failure> skill_snapshot::select(std::string_view skill_id, bool has_selection,
                                                            const policy::skill_material& given) const {
  const bool named = !policy::is_blank_text(skill_id);
  const row* const found = find(named ? skill_id : choose(given.input, has_selection));
  if (found == nullptr) return std::unexpected{refusal(error_code::not_found, "there is no such skill")};
  if (auto refused = refusal_of(*found)) return std::unexpected{*std::move(refused)};
  const auto ids = missing_dependencies(*found->what);
  if (!ids.empty()) return std::unexpected{missing(ids)};
  if (auto refused = refusal_of(policy::find_gap(found->what->definition.input, given))) {
    return std::unexpected{*std::move(refused)};
  }
  return found->what;
}

std::vector<std::string> skill_snapshot::missing_dependencies(const skill& of) const {
  std::vector<std::string> ids;
  for (const std::string& id : of.definition.depends_on) {
    const row* const found = find(id);
    if (found == nullptr || !found->enabled || !found->what->valid()) ids.push_back(id);
  }
  return ids;
}

skill_registry::skill_registry(std::vector<std::string> directories, skill_toggles toggles,
                               const observe::logger& log, skill_registry_limits limits)
    : log_{log}, limits_{limits}, directories_{std::move(directories)}, toggles_{std::move(toggles)} {
  load();
  report_pack();
}

std::shared_ptr<const skill_snapshot> skill_registry::current() const {
  const std::scoped_lock lock{mutex_};
  return current_;
}

void skill_registry::reload(std::optional<std::vector<std::string>> directories) {
  const std::scoped_lock one_at_a_time{reload_mutex_};
  if (directories) directories_ = *std::move(directories);
  load();
}

std::expected<std::string, failure> skill_registry::toggle(std::string_view id, bool enabled) {
  const std::scoped_lock lock{mutex_};
  const skill_snapshot::row* const found = current_->find(id);
  if (found == nullptr) return std::unexpected{refusal(error_code::not_found, "there is no such skill")};
  std::string full = found->what->id;
  toggles_.insert_or_assign(full, enabled);
  publish();
  return full;
}

skill_toggles skill_registry::toggles() const {
  const std::scoped_lock lock{mutex_};
  return toggles_;
}

// Needs reload_mutex_, or to be the constructor.
void skill_registry::load() {
  folder_reading reading{log_, limits_.files_max};
  for (const std::string& path : directories_) reading.read(path);
  auto all = std::make_shared<std::vector<skill>>(builtin_skills());
  std::ranges::move(reading.take_skills(), std::back_inserter(*all));

  const std::scoped_lock lock{mutex_};
  skills_ = std::move(all);
  identity_ =
      std::make_shared<const std::string>(reading.identity() ? *reading.identity() : embedded_identity());
  publish();
  const auto& rows = current_->rows();
  const auto count = [&rows](auto which) { return std::ranges::count_if(rows, which); };
  log_.at(level::info, "skill_registry_warmup_loaded")
      .field("builtin", count([](const auto& row) { return row.what->scope == skill_scope::builtin; }))
      .field("global", count([](const auto& row) { return row.what->scope == skill_scope::global; }))
      .field("invalid", count([](const auto& row) { return !row.what->valid(); }))
      .field("disabled", count([](const auto& row) { return !row.enabled; }));
}

// Needs mutex_.
void skill_registry::publish() {
  auto next = std::make_shared<skill_snapshot>();
  next->skills_ = skills_;
  next->identity_ = identity_;
  next->rows_.reserve(skills_->size());
  for (const skill& each : *skills_) {
    const auto toggled = toggles_.find(each.id);
    next->rows_.push_back({&each, toggled == toggles_.end() || toggled->second});
  }
  next->rank_choices();
  current_ = std::move(next);
}

// What an operator should know of the pack when the service starts.
void skill_registry::report_pack() const {
  const auto snapshot = current();
  const auto say = [this](std::string_view event, std::string_view leaf, error_code code,
                          std::string_view message) {
    log_.at(level::warn, event)
        .field("skillId", "builtin:" + std::string{leaf})
        .field("code", foundation::name_of(code))
        .field("message", message);
  };
  for (const std::string_view leaf : pack_order) {
    const auto* const row = snapshot->find("builtin:" + std::string{leaf});
    if (row == nullptr) {
      say("builtin_skill_missing_on_startup", leaf, error_code::not_found, "the pack has no such skill");
    } else if (row->what->fault) {
      say("builtin_skill_invalid_on_startup", leaf, row->what->fault->code, row->what->fault->message);
    } else if (!row->enabled) {
      say("builtin_skill_disabled_on_startup", leaf, error_code::unsupported, "disabled by a toggle");
    }
  }
}

}  // namespace tidegate::session
