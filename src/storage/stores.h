// One embedded store: all ports over one set of data. Adapters: storage/sqlite, storage/memory. Every port
// may be called from any thread. Destroying the store first answers all calls that were accepted.
#pragma once

#include "storage/chat_store.h"
#include "storage/key_store.h"
#include "storage/reply_store.h"
#include "storage/secret_store.h"
#include "storage/setting_store.h"
#include "storage/trace_store.h"
#include "storage/usage_store.h"

namespace tidegate::storage {

class stores {
 public:
  virtual ~stores() = default;
  virtual key_store& keys() = 0;
  virtual secret_store& secrets() = 0;
  virtual setting_store& settings() = 0;
  virtual trace_store& traces() = 0;
  virtual reply_store& replies() = 0;
  virtual chat_store& chats() = 0;
  virtual usage_store& usage() = 0;
};

}  // namespace tidegate::storage
