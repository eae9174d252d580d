// Chats in memory.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/chat_store.h"
#include "storage/memory/common.h"

namespace tidegate::storage::memory {

class memory_chats final : public chat_store {
 public:
  explicit memory_chats(common& shared) : shared_{shared} {}
  void send(chat_send message, done<chat_result<chat_sent>> answer) override;
  void take_places(chat_claim claim, done<chat_result<chat_claimed>> answer) override;
  void return_places(std::string project_id, std::string session_id, std::int64_t places,
                     done<void> answer) override;
  void add_turn(chat_turn turn, done<chat_result<chat_turn_added>> answer) override;
  void remove_turn(chat_turn_removal turn, done<void> answer) override;
  void list(std::string project_id, std::optional<std::string> session_id,
            done<chat_result<std::vector<chat_message>>> answer) override;
  void history(std::string project_id, std::string session_id, std::optional<std::string> before,
               std::size_t bytes_max, done<std::vector<chat_message>> answer) override;
  void clear(std::string project_id, std::optional<std::string> session_id, wall_time at,
             done<chat_result<std::size_t>> answer) override;
  void sessions(std::string project_id, std::string query, done<std::vector<chat_session>> answer) override;
  void archive(std::string project_id, std::string session_id, done<chat_result<void>> answer) override;
  void erase(std::string project_id, std::string session_id, done<chat_result<void>> answer) override;
  void project_of(std::string session_id, done<std::optional<std::string>> answer) override;

 private:
  struct held_session {
    chat_session facts;  // `messages` is counted when asked for
    std::vector<chat_message> messages;
    std::uint64_t order = 0;
    std::int64_t bytes() const;
  };
  struct held_places {
    std::string project_id;
    std::int64_t places = 0;
    bool unborn = false;  // the session is made by its first message
  };
  // Where a message goes: a session that is there, or the id under which one is to be made.
  struct destination {
    held_session* found = nullptr;
    std::string id;
  };

  // All of them under the lock.
  held_session* find(const std::string& project, const std::string& id);
  const held_places* unborn_of(const std::string& project, std::string* id) const;
  destination current(const std::string& project, const std::string& fresh);
  std::optional<chat_refusal> refusal_of(const destination& to, const std::string& project,
                                         std::int64_t wanted, std::int64_t capacity) const;
  held_session& make(const std::string& project, const std::string& id, const std::string& first_message,
                     wall_time at);
  static void append(held_session& to, chat_message message);
  void give_back(const std::string& project, const std::string& id, std::int64_t places);
  chat_result<destination> destination_of(const chat_claim& claim);
  chat_result<chat_sent> do_send(chat_send& m);
  chat_result<chat_claimed> do_claim(const chat_claim& c);
  chat_result<chat_turn_added> do_add(chat_turn& t);
  void do_remove(const chat_turn_removal& t);

  common& shared_;
  std::map<std::string, held_session> sessions_;  // by id
  std::map<std::string, std::string> current_;    // project to session
  std::map<std::string, held_places> places_;     // by session id
  std::set<std::pair<std::string, std::string>> deleted_;
  std::uint64_t made_ = 0;
};

}  // namespace tidegate::storage::memory
