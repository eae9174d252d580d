// Cancellation with a reason: one source, any number of hooks. Firing runs each hook once, in the loop's
// thread.
#pragma once

#include <cstdint>

namespace tidegate::runtime {

enum class cancel_reason : std::uint8_t { none, client_left, requested, shutdown };

class cancel_source;

// An intrusive member of a source's list; removes itself when destroyed.
class cancel_hook {
 public:
  using function = void (*)(cancel_hook&);
  explicit cancel_hook(function call) noexcept : call_{call} {}
  cancel_hook(const cancel_hook&) = delete;
  cancel_hook& operator=(const cancel_hook&) = delete;
  ~cancel_hook() { detach(); }
  void detach() noexcept;

 private:
  friend class cancel_source;
  function call_;
  cancel_hook* next_ = nullptr;
  cancel_hook** link_ = nullptr;
};

class cancel_source {
 public:
  cancel_source() = default;
  cancel_source(const cancel_source&) = delete;
  cancel_source& operator=(const cancel_source&) = delete;
  ~cancel_source() {
    while (first_ != nullptr) first_->detach();
  }

  bool fired() const noexcept { return reason_ != cancel_reason::none; }
  cancel_reason reason() const noexcept { return reason_; }
  // The first reason stands; later calls do nothing.
  void fire(cancel_reason reason) {
    if (fired()) return;
    reason_ = reason;
    while (first_ != nullptr) {
      cancel_hook& hook = *first_;
      hook.detach();
      hook.call_(hook);  // may resume a coroutine and destroy the hook
    }
  }
  // The hook must not be attached elsewhere. On a fired source nothing is called: check fired() first.
  void attach(cancel_hook& hook) noexcept {
    hook.next_ = first_;
    hook.link_ = &first_;
    if (first_ != nullptr) first_->link_ = &hook.next_;
    first_ = &hook;
  }

 private:
  cancel_hook* first_ = nullptr;
  cancel_reason reason_ = cancel_reason::none;
};

inline void cancel_hook::detach() noexcept {
  if (link_ == nullptr) return;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  link_ = nullptr;
  next_ = nullptr;
}

}  // namespace tidegate::runtime
