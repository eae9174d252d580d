#include "app/configuration_text.h"

#include <string_view>

#include "app/configuration_reader.h"
#include "app/configuration_schema.h"
#include "app/configuration_values.h"

namespace tidegate::app {

namespace {

constexpr std::string_view sample_head =
    R"(# Configuration of tidegate. Every setting stands here with its default, behind a '#'.
# Take the '#' away to change one. An unknown key or a value out of range stops the start.
#
# Durations are "250ms", "30s", "15m", "24h"; sizes "64KiB", "10MiB".
# A variable TIDEGATE_<SECTION>_<KEY> in the environment overrides what stands here,
# for example TIDEGATE_SERVER_LISTEN or TIDEGATE_POLICY_DEFAULT_REQUESTS_PER_MINUTE.
# Credentials are named, never written: "env:NAME", "file:PATH" or "secret:NAME".
#
# `tidegate check` shows what this file means.
)";

constexpr std::string_view reference_head = R"(# Configuration

<!-- Made from the schema table by `tidegate init --markdown`; a test compares the two. -->

tidegate reads one TOML file: `--config FILE`, else `$TIDEGATE_CONFIG`, else `./tidegate.toml`, else the built-in
defaults. `tidegate init` writes a commented sample, `tidegate check` says what a file means.

- An unknown key or an invalid value stops the start with exit code 2 and `file:line:col: message` for every error.
- Durations are strings such as `"250ms"`, `"30s"`, `"15m"`, `"1h30m"`; sizes are strings such as `"64KiB"`, `"10MiB"`.
- Every key outside arrays of tables can be overridden by a variable `TIDEGATE_<SECTION>_<KEY>`; characters of a table's
  name that do not fit become `_`. There, bare numbers are milliseconds or bytes, and lists are separated by commas. An
  invalid value in the environment leaves the key's default and the warning `settings_json_parse_failed`.
- Credentials are named, never written: `env:NAME`, `file:PATH`, `secret:NAME`.

## Providers from the environment

| Variables | Effect |
| --- | --- |
| `TIDEGATE_AI_PROXY_ENABLED=1`, `TIDEGATE_AI_PROXY_BASE_URL`, `TIDEGATE_AI_PROXY_API_KEY` | one OpenAI-compatible proxy in place of all targets, without backup |
| `TIDEGATE_AI_PROVIDER`, `TIDEGATE_AI_BASE_URL`, `TIDEGATE_AI_API_KEY`, `TIDEGATE_AI_MODEL` | one provider for all models, where the file has none |
| `OPENAI_API_KEY`, `ANTHROPIC_API_KEY` | the vendors' own, where neither the file nor the variables above name a provider |

Providers without any `[[route]]` serve their vendors' models: `gpt-*`, `o*`, `chatgpt-*` and `text-embedding-*` go to
the first of kind `openai`, `claude-*` to the first of kind `anthropic`, all else to the first `openai-compatible` one.
)";

std::string header_of(const section_row& section, std::string_view name) {
  switch (section.shape) {
    case section_shape::table:
      return "[" + std::string{section.name} + "]";
    case section_shape::named_tables:
      return "[" + std::string{section.name} + "." + std::string{name} + "]";
    case section_shape::array_of_tables:
      return "[[" + std::string{section.name} + "]]";
  }
  return {};
}

void append_commented(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (!line.empty()) out.append("#").append(line);
    out += '\n';
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

void append_setting(std::string& out, const section_row& section, const key_row& row) {
  out.append("\n# ").append(row.summary);
  const std::string range = range_text(row);
  if (!range.empty()) out.append(" (").append(range).append(")");
  out += '\n';
  const std::string value = format_value(row, row.bind(section.defaults()));
  out.append("#").append(row.key).append(" = ").append(value);
  if (!row.note.empty()) out.append("  # ").append(row.note);
  out += '\n';
}

// Sections without defaults of their own: what the keys mean in prose, then an example.
void append_example(std::string& out, const section_row& section) {
  for (const key_row& row : section.keys) {
    out.append("#   ").append(row.key).append(": ").append(row.summary).append("\n");
  }
  append_commented(out, section.example);
}

std::string default_cell(const section_row& section, const key_row& row) {
  if (row.required && section.shape != section_shape::table) return "required";
  const std::string value = format_value(row, row.bind(section.defaults()));
  std::string cell = value.empty() ? std::string{} : "`" + value + "`";
  if (!row.note.empty()) cell += cell.empty() ? std::string{row.note} : " (" + std::string{row.note} + ")";
  return cell;
}

void append_section_reference(std::string& out, const section_row& section) {
  out.append("\n## `")
      .append(header_of(section, "<name>"))
      .append("`\n\n")
      .append(section.summary)
      .append("\n");
  if (section.shape != section_shape::array_of_tables) {
    out.append("In the environment: `").append(variable_name(section.name, {}, {}));
    out.append(section.shape == section_shape::named_tables ? "<NAME>_<KEY>`.\n" : "<KEY>`.\n");
  }
  out += "\n| Key | Default | Range | Meaning | Id |\n| --- | --- | --- | --- | --- |\n";
  for (const key_row& row : section.keys) {
    out.append("| `").append(row.key).append("` | ").append(default_cell(section, row)).append(" | ");
    out.append(range_text(row))
        .append(" | ")
        .append(row.summary)
        .append(" | ")
        .append(row.requirement)
        .append(" |\n");
  }
}

}  // namespace

std::string sample_configuration() {
  std::string out{sample_head};
  for (const section_row& section : schema()) {
    out.append("\n# ").append(section.summary).append("\n");
    if (!section.example.empty()) {
      append_example(out, section);
      continue;
    }
    out.append(header_of(section, "default")).append("\n");
    for (const key_row& row : section.keys) append_setting(out, section, row);
  }
  return out;
}

std::string configuration_reference() {
  std::string out{reference_head};
  for (const section_row& section : schema()) append_section_reference(out, section);
  return out;
}

}  // namespace tidegate::app
