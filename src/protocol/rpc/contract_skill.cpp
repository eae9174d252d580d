// skill:registry:*.
#include <array>

#include "protocol/rpc/shapes.h"

namespace tidegate::protocol::rpc::shapes {
namespace {

constexpr std::array scope_words{std::string_view{"builtin"}, std::string_view{"global"}};
constexpr shape scope = words_of("SkillScope", scope_words);
constexpr std::array skill_fields{need("id", text),        need("name", text),        need("scope", scope),
                                  need("version", text),   need("enabled", flag),     need("valid", flag),
                                  may("error_code", code), may("error_message", text)};
constexpr shape skill = named("Skill", skill_fields, "A skill that is installed");
constexpr shape skill_list = list_of(skill);
constexpr std::array list_fields{may("includeDisabled", flag)};
constexpr shape list_request = object_of(list_fields);
constexpr std::array list_reply_fields{need("items", skill_list)};
constexpr shape list_reply = object_of(list_reply_fields);

constexpr std::array read_fields{need("id", id)};
constexpr shape read_request = object_of(read_fields);
constexpr std::array read_reply_fields{need("id", text), need("content", text, "The skill's file")};
constexpr shape read_reply = object_of(read_reply_fields);

constexpr std::array toggle_fields{may("id", id), may("skillId", id, "The same as id; one of them is given"),
                                   need("enabled", flag)};
constexpr shape toggle_request = object_of(toggle_fields);
constexpr std::array toggle_reply_fields{need("id", text), need("enabled", flag)};
constexpr shape toggle_reply = object_of(toggle_reply_fields);

constexpr std::array channels{
    channel{.name = "skill:registry:list",
            .request = &list_request,
            .reply = &list_reply,
            .summary = "Installed skills"},
    channel{.name = "skill:registry:read",
            .request = &read_request,
            .reply = &read_reply,
            .summary = "The file of a skill"},
    channel{.name = "skill:registry:toggle",
            .request = &toggle_request,
            .reply = &toggle_reply,
            .needs = access::admin,
            .summary = "Enable or disable a skill"},
};

}  // namespace

part skill_part() {
  static constexpr std::array names{&scope, &skill};
  return {.channels = channels, .shapes = names};
}

}  // namespace tidegate::protocol::rpc::shapes
