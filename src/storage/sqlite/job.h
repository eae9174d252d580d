// One call of a port, on its way to a thread that has a connection.
#pragma once

#include <utility>

#include "storage/result.h"
#include "storage/sqlite/connection.h"

namespace tidegate::storage::sqlite {

class job {
 public:
  virtual ~job() = default;
  // In a transaction; false: what it changed is undone.
  virtual bool run(connection& db) = 0;
  // After the transaction. `failed` is null, or why it never took place or was lost.
  virtual void answer(const store_failure* failed) = 0;
};

// `work(connection&) -> result<T>`, then `answer` with its result.
template <typename T, typename Work>
class typed_job final : public job {
 public:
  typed_job(Work work, done<T> answer) : work_{std::move(work)}, answer_{std::move(answer)} {}
  bool run(connection& db) override {
    outcome_ = work_(db);
    return outcome_.has_value();
  }
  void answer(const store_failure* failed) override {
    answer_(failed != nullptr ? result<T>{std::unexpected{*failed}} : std::move(outcome_));
  }

 private:
  Work work_;
  done<T> answer_;
  result<T> outcome_ = std::unexpected{store_failure{}};
};

}  // namespace tidegate::storage::sqlite
