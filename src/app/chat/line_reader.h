// Lines from standard input, or word that Ctrl-C was pressed meanwhile.
#pragma once

#include <cstdint>
#include <string>

#include "app/chat/client.h"

namespace tidegate::app::chat {

enum class read_end : std::uint8_t { line, end, interrupted, too_long };

struct typed {
  read_end how = read_end::end;
  std::string text;
};

class line_reader {
 public:
  line_reader(int fd, interrupts& signals) : fd_{fd}, interrupts_{signals} {}
  // Waits. A last line needs no line end; a line beyond a mebibyte is passed over.
  typed next();

 private:
  bool take_line(typed& out);

  int fd_;
  interrupts& interrupts_;
  std::string kept_;
  std::size_t scanned_ = 0;
  bool ended_ = false;
  bool skipping_ = false;
};

}  // namespace tidegate::app::chat
