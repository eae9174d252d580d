#include "app/journal_note.h"

#include <future>

namespace tidegate::app {
namespace {

class one_answer final : public journal::commit_listener {
 public:
  bool wait() { return answer_.get_future().get(); }

 private:
  void committed(std::uint64_t) noexcept override { answer_.set_value(true); }
  void failed(std::uint64_t) noexcept override { answer_.set_value(false); }

  std::promise<bool> answer_;
};

}  // namespace

bool note_and_wait(journal::journal& to, foundation::wall_time now, std::string_view event_json,
                   journal::durability wanted) {
  if (to.stopped()) return false;
  journal::batch records;
  if (!records.add(now, event_json)) return false;
  one_answer answer;
  to.append(records, wanted, &answer, 0);
  return answer.wait();
}

}  // namespace tidegate::app
