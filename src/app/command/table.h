// Columns of text, as wide as their longest cell; the last one is not padded.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace tidegate::app::command {

using table_row = std::vector<std::string>;

// The first row is the head; every row has as many cells as it.
void print_table(std::ostream& to, const std::vector<table_row>& rows);

}  // namespace tidegate::app::command
