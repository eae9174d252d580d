// The skills that runs may name (PRM-1, PRM-2): the pack `builtin:` and the files of the operator's
// directories `global:`. Readers share an immutable snapshot; loading, reloading and toggling publish a new
// one.
#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"
#include "observe/log.h"
#include "session/skill_file.h"

namespace tidegate::session {

enum class skill_scope : std::uint8_t { builtin, global };
// "builtin", "global".
std::string_view name_of(skill_scope scope);

struct skill_fault {
  // SKILL_PARSE_FAILED, or IO_ERROR for a file that could not be read.
  foundation::error_code code = foundation::error_code::skill_parse_failed;
  std::string message;
};

struct skill {
  // "builtin:polish"
  std::string id;
  std::string leaf;
  skill_scope scope = skill_scope::builtin;
  // The file as it is; empty where it could not be read.
  std::string content;
  // Meaningless while `fault` is set, but for a name to list.
  skill_definition definition;
  std::optional<skill_fault> fault;

  bool valid() const { return !fault.has_value(); }
};

// By full id; what is not named is enabled.
using skill_toggles = std::map<std::string, bool, std::less<>>;

// One state of all skills. Views and pointers live as long as the snapshot.
class skill_snapshot {
 public:
  // The pack in its order, then global skills by leaf id.
  struct row {
    const skill* what = nullptr;
    bool enabled = true;
  };
  const std::vector<row>& rows() const { return rows_; }
  // A full id, or a leaf id, which finds global before builtin. Blanks around it are ignored.
  const row* find(std::string_view id) const;
  // PRM-3: the leaf id of the skill that a run without one means.
  std::string_view choose(std::string_view text, bool has_selection) const;

  // The skill a run means: `skill_id`, or where that is blank what PRM-3 makes of the text. NOT_FOUND;
  // UNSUPPORTED (disabled); SKILL_PARSE_FAILED or IO_ERROR (its file); SKILL_DEPENDENCY_MISSING, whose
  // details are a JSON array of the missing ids; SKILL_INPUT_EMPTY.
  std::expected<const skill*, foundation::failure> select(std::string_view skill_id, bool has_selection,
                                                          const policy::skill_material& given) const;
  // Ids of dependsOn that are not there, disabled or invalid, in their order.
  std::vector<std::string> missing_dependencies(const skill& of) const;
  // Layer 1 of every prompt: never blank.
  std::string_view identity() const { return *identity_; }

 private:
  friend class skill_registry;
  void rank_choices();

  std::vector<row> rows_;
  std::vector<policy::choosable_skill> choosable_;
  std::shared_ptr<const std::vector<skill>> skills_;
  std::shared_ptr<const std::string> identity_;
};

struct skill_registry_limits {
  // Over all directories.
  std::size_t files_max = 512;
};

// Thread safe. Reads files where it is told to (constructor, reload), on the caller's thread: not an event
// loop's.
class skill_registry {
 public:
  // `directories`: session.skill_dirs. Nothing in them stops the start. A file that is no skill is listed as
  // invalid; a directory that cannot be read, a file whose name cannot be a leaf id and a second file of one
  // leaf id are logged and passed over.
  // An `identity.md` in a directory takes the place of the built-in identity text; when it cannot be used,
  // the built-in one stays (context_assembly_degraded).
  skill_registry(std::vector<std::string> directories, skill_toggles toggles, const observe::logger& log,
                 skill_registry_limits limits = {});

  std::shared_ptr<const skill_snapshot> current() const;
  // Reads everything again. `directories` replaces the list where given.
  void reload(std::optional<std::vector<std::string>> directories = std::nullopt);

  // NOT_FOUND for an unknown id; leaf ids as in `find`. Answers with the full id. The owner persists first.
  std::expected<std::string, foundation::failure> toggle(std::string_view id, bool enabled);
  // What the setting store is to hold: every id that was ever toggled, also of files that are gone for now.
  skill_toggles toggles() const;

 private:
  void load();
  void publish();
  void report_pack() const;

  const observe::logger& log_;
  const skill_registry_limits limits_;

  // Held while files are read, so that reloads follow each other. Taken before mutex_.
  std::mutex reload_mutex_;
  // Guarded by reload_mutex_.
  std::vector<std::string> directories_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  skill_toggles toggles_;
  std::shared_ptr<const std::vector<skill>> skills_;
  std::shared_ptr<const std::string> identity_;
  std::shared_ptr<const skill_snapshot> current_;
};

}  // namespace tidegate::session
