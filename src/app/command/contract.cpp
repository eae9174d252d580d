// tidegate contract: the contract's folder, written from the schema source or compared with it (RPC-4).
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <set>
#include <system_error>

#include "app/command/commands.h"
#include "protocol/rpc/contract.h"
#include "protocol/rpc/contract_writer.h"

namespace tidegate::app::command {
namespace {

namespace fs = std::filesystem;
namespace rpc = protocol::rpc;

// Nothing for a file that cannot be read.
std::optional<std::string> text_of(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  if (!in) return std::nullopt;
  std::string text{std::istreambuf_iterator<char>{in}, {}};
  if (in.bad()) return std::nullopt;
  return text;
}

// The files below `dir` by their paths from there, sorted; none where there is no such folder.
std::expected<std::set<std::string>, std::string> files_below(const fs::path& dir) {
  std::set<std::string> found;
  std::error_code problem;
  if (!fs::exists(dir, problem)) return found;
  fs::recursive_directory_iterator at{dir, problem};
  for (; !problem && at != fs::recursive_directory_iterator{}; at.increment(problem)) {
    if (!at->is_directory(problem)) found.insert(at->path().lexically_relative(dir).generic_string());
  }
  if (problem) return std::unexpected{dir.string() + ": " + problem.message()};
  return found;
}

bool write_file(const fs::path& file, const std::string& text) {
  std::error_code problem;
  fs::create_directories(file.parent_path(), problem);
  if (problem) return false;
  std::ofstream out{file, std::ios::binary | std::ios::trunc};
  out << text;
  out.close();
  return out.good();
}

int generate(const fs::path& dir, const std::vector<rpc::contract_file>& files, console& terminal) {
  const auto before = files_below(dir / "schemas");
  if (!before) {
    terminal.err << "tidegate: " << before.error() << '\n';
    return 1;
  }
  std::size_t written = 0;
  std::set<std::string> schemas;
  for (const rpc::contract_file& file : files) {
    if (file.path.starts_with("schemas/")) schemas.insert(file.path.substr(8));
    if (text_of(dir / file.path) == file.text) continue;
    if (!write_file(dir / file.path, file.text)) {
      terminal.err << "tidegate: cannot write " << (dir / file.path).string() << '\n';
      return 1;
    }
    ++written;
  }
  // The schema of a shape that is no more.
  std::size_t removed = 0;
  for (const std::string& name : *before) {
    std::error_code problem;
    if (!schemas.contains(name) && name.ends_with(".json") && fs::remove(dir / "schemas" / name, problem))
      ++removed;
  }
  terminal.out << dir.string() << ": " << files.size() << " files, " << written << " written, " << removed
               << " removed\n";
  return 0;
}

int check(const fs::path& dir, const std::vector<rpc::contract_file>& files, console& terminal) {
  auto extra = files_below(dir);
  if (!extra) {
    terminal.err << "tidegate: " << extra.error() << '\n';
    return 1;
  }
  constexpr std::string_view advice = "run `tidegate contract generate`\n";
  for (const rpc::contract_file& file : files) {
    extra->erase(file.path);
    const fs::path place = dir / file.path;
    const std::optional<std::string> found = text_of(place);
    if (!found) {
      terminal.err << place.string() << ": missing; " << advice;
      return 1;
    }
    if (const auto other = rpc::first_difference(*found, file.text)) {
      terminal.err << place.string() << ':' << other->line << ": not what the schemas say; " << advice
                   << "  is:        " << other->found << "\n  should be: " << other->wanted << '\n';
      return 1;
    }
  }
  if (!extra->empty()) {
    terminal.err << (dir / *extra->begin()).string() << ": not a part of the contract; " << advice;
    return 1;
  }
  terminal.out << dir.string() << ": " << files.size() << " files, as the schemas say\n";
  return 0;
}

}  // namespace

int run_contract(const contract_options& options, console& terminal, const rpc::contract& source) {
  const std::vector<rpc::contract_fault> faults = rpc::check_rules(source);
  for (const rpc::contract_fault& fault : faults) terminal.err << fault.code << ": " << fault.message << '\n';
  if (!faults.empty()) return 1;
  const std::vector<rpc::contract_file> files = rpc::write_contract(source);
  return options.act == contract_act::generate ? generate(options.dir, files, terminal)
                                               : check(options.dir, files, terminal);
}

int run_contract(const contract_options& options, console& terminal) {
  return run_contract(options, terminal, rpc::session_contract());
}

}  // namespace tidegate::app::command
