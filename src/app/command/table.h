// Columns of text, as wide as their longest cell; the last one is not padded.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace tidegate::app::command {

using table_row = std::vector<std::string>;

// The first row is the head; every row has as many cells as it. Cells may bear names that callers chose:
// control characters are left out, so that none of them moves an operator's terminal.
void print_table(std::ostream& to, const std::vector<table_row>& given);

}  // namespace tidegate::app::command
