#include <algorithm>
#include <map>
#include <mutex>

#include "storage/sqlite/tables.h"

namespace tidegate::storage::sqlite {
namespace {

template <typename T>
result<chat_result<T>> refuse(chat_refusal why) {
  return chat_result<T>{std::unexpected{why}};
}

struct session_row {
  std::int64_t row = 0;
  std::string id;
  bool archived = false;
  std::int64_t messages = 0;
  std::int64_t bytes = 0;
  std::int64_t places = 0;
};

result<std::optional<session_row>> find_session(connection& db, const std::string& project,
                                                const std::string& id) {
  query q{db,
          "SELECT s.row, s.id, s.archived, s.messages, s.bytes, coalesce(p.places, 0) FROM chat_session s "
          "LEFT JOIN temp.chat_place p ON p.session_id = s.id WHERE s.project_id = ? AND s.id = ?"};
  auto row = q.bind(project).bind(id).next();
  if (!row) return pass_on(row);
  if (!*row) return std::optional<session_row>{};
  return std::optional{
      session_row{q.integer(0), q.text(1), q.integer(2) != 0, q.integer(3), q.integer(4), q.integer(5)}};
}

// The only text of the only row, if there is one.
result<std::optional<std::string>> text_for(connection& db, const char* sql, const std::string& first) {
  query q{db, sql};
  auto row = q.bind(first).next();
  if (!row) return pass_on(row);
  return *row ? std::optional{q.text(0)} : std::nullopt;
}

constexpr const char* current_sql =
    "SELECT s.id FROM chat_current c JOIN chat_session s ON s.row = c.session_row WHERE c.project_id = ?";
constexpr const char* unborn_sql = "SELECT session_id FROM temp.chat_place WHERE project_id = ? AND unborn";

// Where a message goes: a session that is there, or the id under which one is to be made.
struct destination {
  std::optional<session_row> found;
  std::string id;
  std::int64_t places = 0;  // taken of one that is to be made
};

result<destination> known_session(connection& db, const std::string& project, const std::string& id) {
  auto found = find_session(db, project, id);
  if (!found) return pass_on(found);
  return destination{std::move(*found), id, 0};
}

result<destination> current_session(connection& db, const std::string& project, const std::string& fresh) {
  auto current = text_for(db, current_sql, project);
  if (!current) return pass_on(current);
  if (*current) return known_session(db, project, **current);
  query q{db, "SELECT session_id, places FROM temp.chat_place WHERE project_id = ? AND unborn"};
  auto row = q.bind(project).next();
  if (!row) return pass_on(row);
  if (!*row) return destination{std::nullopt, fresh, 0};
  return destination{std::nullopt, q.text(0), q.integer(1)};
}

// Why `wanted` more messages may not come to it, or nothing.
std::optional<chat_refusal> refusal_of(const destination& to, std::int64_t wanted, std::int64_t capacity) {
  if (!to.found) {
    return to.places + wanted > capacity ? std::optional{chat_refusal::full} : std::nullopt;
  }
  if (to.found->archived) return chat_refusal::archived;
  const bool room = to.found->messages + to.found->places + wanted <= capacity;
  const bool bytes = to.found->bytes < static_cast<std::int64_t>(chat_session_bytes_max);
  return room && bytes ? std::nullopt : std::optional{chat_refusal::full};
}

result<bool> may_make_session(connection& db, const std::string& project) {
  query q{db, "SELECT count(*) FROM chat_session WHERE project_id = ?"};
  auto row = q.bind(project).next();
  if (!row) return pass_on(row);
  return q.integer(0) < static_cast<std::int64_t>(chat_sessions_max);
}

// It becomes the project's current one.
result<std::int64_t> make_session(connection& db, const std::string& project, const std::string& id,
                                  std::string_view first_message, wall_time at) {
  std::int64_t made = 0;
  {
    query q{db,
            "INSERT INTO chat_session (id, project_id, title, created_at, updated_at) VALUES (?, ?, ?, ?, ?) "
            "RETURNING row"};
    auto row = q.bind(id).bind(project).bind(chat_title(first_message)).bind(at).bind(at).next();
    if (!row) return pass_on(row);
    made = q.integer(0);
    if (auto end = q.next(); !end) return pass_on(end);
  }
  query current{
      db,
      "INSERT INTO chat_current (project_id, session_row) VALUES (?, ?) ON CONFLICT (project_id) DO "
      "UPDATE SET session_row = excluded.session_row"};
  if (auto ran = current.bind(project).bind(made).run(); !ran) return pass_on(ran);
  query born{db, "UPDATE temp.chat_place SET unborn = 0 WHERE session_id = ? AND project_id = ?"};
  if (auto ran = born.bind(id).bind(project).run(); !ran) return pass_on(ran);
  return made;
}

struct new_message {
  const std::string& id;
  chat_role role;
  const std::string& content;
  const std::optional<std::string>& skill_id;
  const std::string& trace_id;
};

result<void> insert_message(connection& db, std::int64_t session, const new_message& message, wall_time at) {
  query q{db,
          "INSERT INTO chat_message (id, session_row, role, content, skill_id, timestamp, trace_id) "
          "VALUES (?1, ?2, ?3, ?4, ?5, max(?6, coalesce((SELECT timestamp FROM chat_message "
          "WHERE session_row = ?2 ORDER BY row DESC LIMIT 1), ?6)), ?7)"};
  q.bind(message.id).bind(session).bind(name_of(message.role)).bind(message.content);
  return q.bind(message.skill_id).bind(at).bind(message.trace_id).run();
}

result<chat_result<chat_sent>> send_message(connection& db, const chat_send& m) {
  auto to = m.new_session  ? result<destination>{destination{std::nullopt, m.fresh_session_id, 0}}
            : m.session_id ? known_session(db, m.project_id, *m.session_id)
                           : current_session(db, m.project_id, m.fresh_session_id);
  if (!to) return pass_on(to);
  if (m.session_id && !to->found) return refuse<chat_sent>(chat_refusal::unknown_session);
  if (const auto why = refusal_of(*to, 1, m.capacity)) return refuse<chat_sent>(*why);
  std::int64_t session = 0;
  if (to->found) {
    session = to->found->row;
  } else {
    auto room = may_make_session(db, m.project_id);
    if (!room) return pass_on(room);
    if (!*room) return refuse<chat_sent>(chat_refusal::too_many_sessions);
    auto made = make_session(db, m.project_id, to->id, m.content, m.at);
    if (!made) return pass_on(made);
    session = *made;
  }
  const std::optional<std::string> no_skill;
  auto wrote =
      insert_message(db, session, {m.message_id, chat_role::user, m.content, no_skill, m.trace_id}, m.at);
  if (!wrote) return pass_on(wrote);
  return chat_sent{std::move(to->id)};
}

// The session of a user message of this project.
result<std::optional<std::string>> session_of_message(connection& db, const std::string& project,
                                                      const std::string& message) {
  query q{db,
          "SELECT s.id FROM chat_message m JOIN chat_session s ON s.row = m.session_row "
          "WHERE s.project_id = ? AND m.id = ? AND m.role = 'user'"};
  auto row = q.bind(project).bind(message).next();
  if (!row) return pass_on(row);
  return *row ? std::optional{q.text(0)} : std::nullopt;
}

result<chat_result<destination>> destination_of(connection& db, const chat_claim& c) {
  std::optional<std::string> session = c.session_id;
  if (c.message_id) {
    auto of = session_of_message(db, c.project_id, *c.message_id);
    if (!of) return pass_on(of);
    if (!*of || (session && *session != **of)) return refuse<destination>(chat_refusal::unknown_session);
    session = std::move(*of);
  }
  auto to = session ? known_session(db, c.project_id, *session)
                    : current_session(db, c.project_id, c.fresh_session_id);
  if (!to) return pass_on(to);
  if (session && !to->found) return refuse<destination>(chat_refusal::unknown_session);
  return std::move(*to);
}

result<chat_result<chat_claimed>> claim_places(connection& db, const chat_claim& c) {
  auto to = destination_of(db, c);
  if (!to) return pass_on(to);
  if (!*to) return refuse<chat_claimed>(to->error());
  const destination& place = **to;
  if (const auto why = refusal_of(place, c.places, c.capacity)) return refuse<chat_claimed>(*why);
  if (!place.found) {
    auto room = may_make_session(db, c.project_id);
    if (!room) return pass_on(room);
    if (!*room) return refuse<chat_claimed>(chat_refusal::too_many_sessions);
  }
  query q{db,
          "INSERT INTO temp.chat_place (session_id, project_id, places, unborn) VALUES (?, ?, ?, ?) "
          "ON CONFLICT (session_id) DO UPDATE SET places = places + excluded.places"};
  q.bind(place.id).bind(c.project_id).bind(c.places).bind(std::int64_t{place.found ? 0 : 1});
  if (auto ran = q.run(); !ran) return pass_on(ran);
  return chat_claimed{place.id};
}

result<void> give_back(connection& db, const std::string& project, const std::string& session,
                       std::int64_t places) {
  query less{db, "UPDATE temp.chat_place SET places = places - ? WHERE session_id = ? AND project_id = ?"};
  if (auto ran = less.bind(places).bind(session).bind(project).run(); !ran) return ran;
  query none{db, "DELETE FROM temp.chat_place WHERE session_id = ? AND places <= 0"};
  return none.bind(session).run();
}

// The row to write a turn to: its session's, made now if it is still to be made.
struct turn_place {
  std::int64_t row = 0;
  bool made = false;
};

result<chat_result<turn_place>> place_of_turn(connection& db, const chat_turn& t) {
  auto found = find_session(db, t.project_id, t.session_id);
  if (!found) return pass_on(found);
  if (*found) {
    if ((*found)->archived) return refuse<turn_place>(chat_refusal::archived);
    return turn_place{(*found)->row, false};
  }
  auto unborn = text_for(db, unborn_sql, t.project_id);
  if (!unborn) return pass_on(unborn);
  if (*unborn != t.session_id || !t.user_message_id) return refuse<turn_place>(chat_refusal::unknown_session);
  auto made = make_session(db, t.project_id, t.session_id, t.user_content, t.at);
  if (!made) return pass_on(made);
  return turn_place{*made, true};
}

result<chat_result<chat_turn_added>> insert_turn(connection& db, const chat_turn& t) {
  auto to = place_of_turn(db, t);
  if (!to) return pass_on(to);
  if (!*to) return refuse<chat_turn_added>(to->error());
  if (t.user_message_id) {
    const new_message user{*t.user_message_id, chat_role::user, t.user_content, t.skill_id, t.trace_id};
    if (auto wrote = insert_message(db, (*to)->row, user, t.at); !wrote) return pass_on(wrote);
  }
  const new_message assistant{t.assistant_message_id, chat_role::assistant, t.assistant_content, t.skill_id,
                              t.trace_id};
  if (auto wrote = insert_message(db, (*to)->row, assistant, t.at); !wrote) return pass_on(wrote);
  if (auto given = give_back(db, t.project_id, t.session_id, t.places); !given) return pass_on(given);
  return chat_turn_added{(*to)->made};
}

result<void> delete_turn(connection& db, const chat_turn_removal& t) {
  // The latest first: what was written last is taken back first (CHAT-4).
  for (auto id = t.message_ids.rbegin(); id != t.message_ids.rend(); ++id) {
    query q{db,
            "DELETE FROM chat_message WHERE id = ? AND session_row = (SELECT row FROM chat_session WHERE "
            "project_id = ? AND id = ?)"};
    if (auto ran = q.bind(*id).bind(t.project_id).bind(t.session_id).run(); !ran) return ran;
  }
  if (t.session_too) {
    query q{db, "DELETE FROM chat_session WHERE project_id = ? AND id = ? AND messages = 0"};
    if (auto ran = q.bind(t.project_id).bind(t.session_id).run(); !ran) return ran;
  }
  query stamp{db,
              "UPDATE chat_session SET updated_at = coalesce((SELECT m.timestamp FROM chat_message m WHERE "
              "m.session_row = chat_session.row ORDER BY m.row DESC LIMIT 1), created_at) WHERE project_id = "
              "? AND id = ?"};
  return stamp.bind(t.project_id).bind(t.session_id).run();
}

constexpr const char* newest_first_sql =
    "SELECT m.id, m.role, m.content, m.skill_id, m.timestamp, m.trace_id FROM chat_message m "
    "JOIN chat_session s ON s.row = m.session_row WHERE s.project_id = ?1 AND s.id = ?2 AND m.row < "
    "coalesce((SELECT b.row FROM chat_message b WHERE b.id = ?3 AND b.session_row = s.row), "
    "9223372036854775807) ORDER BY m.row DESC";

result<std::vector<chat_message>> read_messages(connection& db, const std::string& project,
                                                const std::string& session,
                                                const std::optional<std::string>& before,
                                                std::size_t bytes_max) {
  std::vector<chat_message> found;
  std::size_t bytes = 0;
  query q{db, newest_first_sql};
  q.bind(project).bind(session).bind(before);
  auto row = q.next();
  for (; row && *row; row = q.next()) {
    const auto role = q.text(1) == "user" ? chat_role::user : chat_role::assistant;
    found.push_back({q.text(0), project, session, role, q.text(2), q.optional_text(3), q.time(4), q.text(5)});
    bytes += found.back().content.size();
    if (bytes_max > 0 && bytes > bytes_max) {
      found.pop_back();
      break;
    }
  }
  if (!row) return pass_on(row);
  std::ranges::reverse(found);
  return found;
}

result<chat_result<std::vector<chat_message>>> list_messages(connection& db, const std::string& project,
                                                             std::optional<std::string> session) {
  if (session) {
    query q{db, "SELECT 1 FROM chat_session WHERE project_id = ? AND id = ?"};
    auto found = q.bind(project).bind(*session).next();
    if (!found) return pass_on(found);
    if (!*found) return refuse<std::vector<chat_message>>(chat_refusal::unknown_session);
  } else {
    auto current = text_for(db, current_sql, project);
    if (!current) return pass_on(current);
    if (!*current) return std::vector<chat_message>{};
    session = std::move(**current);
  }
  auto read = read_messages(db, project, *session, std::nullopt, 0);
  if (!read) return pass_on(read);
  return std::move(*read);
}

result<chat_result<std::size_t>> clear_messages(connection& db, const std::string& project,
                                                const std::optional<std::string>& session, wall_time at) {
  if (session) {
    auto found = find_session(db, project, *session);
    if (!found) return pass_on(found);
    if (!*found) return refuse<std::size_t>(chat_refusal::unknown_session);
  }
  {
    query stamp{
        db,
        "UPDATE chat_session SET updated_at = max(updated_at, ?) WHERE project_id = ? AND messages > 0 "
        "AND id = coalesce(?, id)"};
    if (auto ran = stamp.bind(at).bind(project).bind(session).run(); !ran) return pass_on(ran);
  }
  query q{db,
          "DELETE FROM chat_message WHERE session_row IN (SELECT row FROM chat_session WHERE project_id = ? "
          "AND id = coalesce(?, id))"};
  if (auto ran = q.bind(project).bind(session).run(); !ran) return pass_on(ran);
  return db.changes();
}

constexpr const char* list_sessions_sql =
    "SELECT id, title, archived, created_at, updated_at, messages FROM chat_session WHERE project_id = ? "
    "ORDER BY updated_at DESC, row DESC";
// For connections that know has_text().
constexpr const char* search_sessions_sql =
    "SELECT s.id, s.title, s.archived, s.created_at, s.updated_at, s.messages FROM chat_session s "
    "WHERE s.project_id = ?1 AND (has_text(s.title, ?2) OR EXISTS (SELECT 1 FROM chat_message m "
    "WHERE m.session_row = s.row AND has_text(m.content, ?2))) ORDER BY s.updated_at DESC, s.row DESC";

result<std::vector<chat_session>> find_sessions(connection& db, const std::string& project,
                                                const std::string& wanted) {
  std::vector<chat_session> found;
  query q{db, wanted.empty() ? list_sessions_sql : search_sessions_sql};
  q.bind(project);
  if (!wanted.empty()) q.bind(wanted);
  auto row = q.next();
  for (; row && *row; row = q.next()) {
    found.push_back({q.text(0), project, q.text(1), q.integer(2) != 0, q.time(3), q.time(4), q.integer(5)});
  }
  if (!row) return pass_on(row);
  return found;
}

result<chat_result<void>> archive_session(connection& db, const std::string& project, const std::string& id) {
  auto found = find_session(db, project, id);
  if (!found) return pass_on(found);
  if (!*found) return refuse<void>(chat_refusal::unknown_session);
  query mark{db, "UPDATE chat_session SET archived = 1 WHERE project_id = ? AND id = ?"};
  if (auto ran = mark.bind(project).bind(id).run(); !ran) return pass_on(ran);
  query leave{db, "DELETE FROM chat_current WHERE project_id = ? AND session_row = ?"};
  if (auto ran = leave.bind(project).bind((*found)->row).run(); !ran) return pass_on(ran);
  return {};
}

result<void> remember_deleted(connection& db, const std::string& project, const std::string& id) {
  query note{db, "INSERT INTO chat_deleted (project_id, session_id) VALUES (?, ?) ON CONFLICT DO NOTHING"};
  if (auto ran = note.bind(project).bind(id).run(); !ran) return ran;
  query forget{db, "DELETE FROM chat_deleted WHERE row <= (SELECT max(row) FROM chat_deleted) - ?"};
  return forget.bind(static_cast<std::int64_t>(chat_deleted_max)).run();
}

result<chat_result<void>> erase_session(connection& db, const std::string& project, const std::string& id) {
  query q{db, "DELETE FROM chat_session WHERE project_id = ? AND id = ?"};
  if (auto ran = q.bind(project).bind(id).run(); !ran) return pass_on(ran);
  if (db.changes() > 0) {
    query places{db, "DELETE FROM temp.chat_place WHERE session_id = ? AND project_id = ?"};
    if (auto ran = places.bind(id).bind(project).run(); !ran) return pass_on(ran);
    if (auto noted = remember_deleted(db, project, id); !noted) return pass_on(noted);
    return {};
  }
  query known{db, "SELECT 1 FROM chat_deleted WHERE project_id = ? AND session_id = ?"};
  auto row = known.bind(project).bind(id).next();
  if (!row) return pass_on(row);
  if (!*row) return refuse<void>(chat_refusal::unknown_session);
  return {};
}

}  // namespace

void chat_table::send(chat_send message, done<chat_result<chat_sent>> answer) {
  if (message.content.size() > chat_content_max) {
    return answer(fail(store_problem::too_large, "the message is too long"));
  }
  const std::size_t bytes = message.content.size();
  auto work = [message = std::move(message)](connection& db) { return send_message(db, message); };
  worker_.submit<chat_result<chat_sent>>(durability::process, bytes, std::move(work), std::move(answer));
}

void chat_table::take_places(chat_claim claim, done<chat_result<chat_claimed>> answer) {
  auto work = [claim = std::move(claim)](connection& db) { return claim_places(db, claim); };
  worker_.submit<chat_result<chat_claimed>>(durability::process, 0, std::move(work), std::move(answer));
}

void chat_table::return_places(std::string project_id, std::string session_id, std::int64_t places,
                               done<void> answer) {
  auto work = [project = std::move(project_id), session = std::move(session_id), places](connection& db) {
    return give_back(db, project, session, places);
  };
  worker_.submit<void>(durability::process, 0, std::move(work), std::move(answer));
}

void chat_table::add_turn(chat_turn turn, done<chat_result<chat_turn_added>> answer) {
  if (std::max(turn.user_content.size(), turn.assistant_content.size()) > chat_content_max) {
    return answer(fail(store_problem::too_large, "the message is too long"));
  }
  const std::size_t bytes = turn.user_content.size() + turn.assistant_content.size();
  auto work = [turn = std::move(turn)](connection& db) { return insert_turn(db, turn); };
  worker_.submit<chat_result<chat_turn_added>>(durability::process, bytes, std::move(work),
                                               std::move(answer));
}

void chat_table::remove_turn(chat_turn_removal turn, done<void> answer) {
  auto work = [turn = std::move(turn)](connection& db) { return delete_turn(db, turn); };
  worker_.submit<void>(durability::process, 0, std::move(work), std::move(answer));
}

void chat_table::list(std::string project_id, std::optional<std::string> session_id,
                      done<chat_result<std::vector<chat_message>>> answer) {
  const auto read = [project = std::move(project_id), session = std::move(session_id)](connection& db) {
    return list_messages(db, project, session);
  };
  lists_.submit<chat_result<std::vector<chat_message>>>(read, std::move(answer));
}

void chat_table::history(std::string project_id, std::string session_id, std::optional<std::string> before,
                         std::size_t bytes_max, done<std::vector<chat_message>> answer) {
  const auto read = [project = std::move(project_id), session = std::move(session_id),
                     before = std::move(before), bytes_max](connection& db) {
    return read_messages(db, project, session, before, bytes_max);
  };
  // What is bounded is a short read, and a chat run waits for it.
  if (bytes_max > 0) {
    worker_.submit<std::vector<chat_message>>(durability::process, 0, read, std::move(answer));
  } else {
    lists_.submit<std::vector<chat_message>>(read, std::move(answer));
  }
}

void chat_table::clear(std::string project_id, std::optional<std::string> session_id, wall_time at,
                       done<chat_result<std::size_t>> answer) {
  auto work = [project = std::move(project_id), session = std::move(session_id), at](connection& db) {
    return clear_messages(db, project, session, at);
  };
  worker_.submit<chat_result<std::size_t>>(durability::process, 0, std::move(work), std::move(answer));
}

struct chat_table::search_places {
  std::mutex mutex;
  std::map<std::string, std::size_t> taken;  // guarded by mutex

  bool take(const std::string& project) {
    const std::scoped_lock lock{mutex};
    std::size_t& n = taken[project];
    if (n == project_searches_max) return false;
    ++n;
    return true;
  }
  void give_back(const std::string& project) {
    const std::scoped_lock lock{mutex};
    const auto at = taken.find(project);
    if (--at->second == 0) taken.erase(at);
  }
};

chat_table::chat_table(worker& on, reader& lists, reader& searches)
    : worker_{on}, lists_{lists}, searches_{searches}, places_{std::make_shared<search_places>()} {}

void chat_table::sessions(std::string project_id, std::string query, done<std::vector<chat_session>> answer) {
  reader& by = query.empty() ? lists_ : searches_;
  if (!query.empty()) {
    if (!places_->take(project_id))
      return answer(fail(store_problem::overloaded, "too many searches of this project are under way"));
    answer = [places = places_, project_id,
              answer = std::move(answer)](result<std::vector<chat_session>> found) mutable {
      places->give_back(project_id);
      answer(std::move(found));
    };
  }
  const auto read = [project = std::move(project_id), wanted = std::move(query)](connection& db) {
    return find_sessions(db, project, wanted);
  };
  by.submit<std::vector<chat_session>>(read, std::move(answer));
}

void chat_table::archive(std::string project_id, std::string session_id, done<chat_result<void>> answer) {
  auto work = [project = std::move(project_id), session = std::move(session_id)](connection& db) {
    return archive_session(db, project, session);
  };
  worker_.submit<chat_result<void>>(durability::process, 0, std::move(work), std::move(answer));
}

void chat_table::erase(std::string project_id, std::string session_id, done<chat_result<void>> answer) {
  auto work = [project = std::move(project_id), session = std::move(session_id)](connection& db) {
    return erase_session(db, project, session);
  };
  worker_.submit<chat_result<void>>(durability::process, 0, std::move(work), std::move(answer));
}

void chat_table::project_of(std::string session_id, done<std::optional<std::string>> answer) {
  const auto read = [session = std::move(session_id)](connection& db) {
    return text_for(db, "SELECT project_id FROM chat_session WHERE id = ?", session);
  };
  worker_.submit<std::optional<std::string>>(durability::process, 0, read, std::move(answer));
}

}  // namespace tidegate::storage::sqlite
