#include "app/command/table.h"

#include <algorithm>
#include <cstddef>

#include "app/chat/text.h"

namespace tidegate::app::command {

void print_table(std::ostream& to, const std::vector<table_row>& given) {
  if (given.empty()) return;
  std::vector<table_row> rows = given;
  for (table_row& row : rows) {
    for (std::string& cell : row) cell = chat::plain_line(cell);
  }
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const table_row& row : rows) {
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  }
  for (const table_row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      to << row[i];
      if (i + 1 < row.size()) to << std::string(widths[i] - row[i].size() + 2, ' ');
    }
    to << '\n';
  }
}

}  // namespace tidegate::app::command
