#include "storage/sqlite/tables.h"
#include "storage/trace_text.h"

namespace tidegate::storage::sqlite {
namespace {

constexpr const char* upsert_sql =
    "INSERT INTO trace (run_id, trace_id, execution_id, skill_id, mode, model, input_sealed, output_sealed, "
    "project_id, document_id, stable_prefix_hash, prompt_hash, candidate_group, started_at, completed_at, "
    "created_at, code, key_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT "
    "(run_id) DO "
    "UPDATE "
    "SET trace_id = excluded.trace_id, execution_id = excluded.execution_id, skill_id = excluded.skill_id, "
    "mode = excluded.mode, model = excluded.model, input_sealed = excluded.input_sealed, "
    "output_sealed = excluded.output_sealed, project_id = excluded.project_id, "
    "document_id = excluded.document_id, stable_prefix_hash = excluded.stable_prefix_hash, "
    "prompt_hash = excluded.prompt_hash, candidate_group = excluded.candidate_group, "
    "started_at = excluded.started_at, completed_at = excluded.completed_at, "
    "created_at = excluded.created_at, code = excluded.code, key_id = excluded.key_id";

constexpr const char* find_sql =
    "SELECT trace_id, execution_id, skill_id, mode, model, input_sealed, output_sealed, project_id, "
    "document_id, "
    "stable_prefix_hash, prompt_hash, candidate_group, started_at, completed_at, created_at, code, key_id "
    "FROM trace WHERE run_id = ?";

// Runs that gave a candidate and whose latest feedback is something else than a rejection, or none. A run
// that failed gave nothing to reject.
constexpr const char* not_rejected_sql =
    "SELECT count(*) FROM trace t WHERE t.candidate_group = ? AND t.code IS NULL AND coalesce((SELECT "
    "f.action "
    "FROM feedback f WHERE f.run_id = t.run_id ORDER BY f.row DESC LIMIT 1), '') <> 'reject'";

result<void> upsert(connection& db, const sealer* seal, trace_record& run) {
  const auto input = seal_trace_text(seal, run.run_id, "input", std::move(run.input_text));
  const auto output = seal_trace_text(seal, run.run_id, "output", std::move(run.output_text));
  query q{db, upsert_sql};
  q.bind(run.run_id).bind(run.trace_id).bind(run.execution_id).bind(run.skill_id).bind(run.mode);
  q.bind(run.model).bind_bytes(input).bind_bytes(output).bind(run.project_id).bind(run.document_id);
  if (run.diagnostics) {
    q.bind(run.diagnostics->stable_prefix_hash).bind(run.diagnostics->prompt_hash);
  } else {
    q.bind_null().bind_null();
  }
  q.bind(run.candidate_group).bind(run.started_at).bind(run.completed_at).bind(run.created_at);
  return q.bind(run.code).bind(run.key_id).run();
}

result<std::optional<trace_record>> find(connection& db, const sealer* seal, const std::string& run_id) {
  query q{db, find_sql};
  auto row = q.bind(run_id).next();
  if (!row) return pass_on(row);
  if (!*row) return std::optional<trace_record>{};
  trace_record run;
  run.run_id = run_id;
  run.trace_id = q.text(0);
  run.execution_id = q.text(1);
  run.skill_id = q.text(2);
  run.mode = q.text(3);
  run.model = q.text(4);
  run.input_text = unseal_trace_text(seal, run_id, "input", q.optional_text(5));
  run.output_text = unseal_trace_text(seal, run_id, "output", q.optional_text(6));
  run.project_id = q.optional_text(7);
  run.document_id = q.optional_text(8);
  if (!q.is_null(9)) run.diagnostics = prompt_diagnostics{q.text(9), q.text(10)};
  run.candidate_group = q.optional_text(11);
  run.started_at = q.time(12);
  run.completed_at = q.time(13);
  run.created_at = q.time(14);
  run.code = q.optional_text(15);
  run.key_id = q.optional_text(16);
  return std::optional{std::move(run)};
}

// Sets or clears the group's mark by what its runs' feedback says now.
result<bool> mark_group(connection& db, const std::string& group, wall_time at) {
  query open{db, not_rejected_sql};
  auto row = open.bind(group).next();
  if (!row) return pass_on(row);
  const bool all_rejected = open.integer(0) == 0;
  if (all_rejected) {
    query q{db, "INSERT INTO candidate_group (id, strong_negative_at) VALUES (?, ?) ON CONFLICT DO NOTHING"};
    auto ran = q.bind(group).bind(at).run();
    if (!ran) return pass_on(ran);
  } else {
    query q{db, "DELETE FROM candidate_group WHERE id = ?"};
    auto ran = q.bind(group).run();
    if (!ran) return pass_on(ran);
  }
  return all_rejected;
}

result<void> keep_feedback(connection& db, const feedback_record& feedback, const std::string& trace_id) {
  query q{db,
          "INSERT INTO feedback (run_id, trace_id, action, evidence_ref, created_at) VALUES (?, ?, ?, ?, ?)"};
  q.bind(feedback.run_id).bind(trace_id).bind(name_of(feedback.action));
  if (auto ran = q.bind(feedback.evidence_ref).bind(feedback.created_at).run(); !ran) return ran;
  query old{db,
            "DELETE FROM feedback WHERE run_id = ?1 AND row <= (SELECT row FROM feedback WHERE run_id = ?1 "
            "ORDER BY row DESC LIMIT 1 OFFSET ?2)"};
  return old.bind(feedback.run_id).bind(std::int64_t{feedback_kept_max}).run();
}

result<feedback_outcome> insert_feedback(connection& db, const feedback_record& feedback) {
  feedback_outcome outcome;
  std::optional<std::string> group;
  {
    query q{db, "SELECT trace_id, candidate_group FROM trace WHERE run_id = ?"};
    auto row = q.bind(feedback.run_id).next();
    if (!row) return pass_on(row);
    if (!*row) return fail(store_problem::not_found, "no trace of that run");
    outcome.trace_id = q.text(0);
    group = q.optional_text(1);
  }
  if (auto kept = keep_feedback(db, feedback, outcome.trace_id); !kept) return pass_on(kept);
  if (!group) return outcome;
  auto marked = mark_group(db, *group, feedback.created_at);
  if (!marked) return pass_on(marked);
  outcome.strong_negative = *marked;
  return outcome;
}

result<std::size_t> purge_before(connection& db, wall_time completed_before, std::size_t rows_max) {
  query q{
      db,
      "DELETE FROM trace WHERE row IN (SELECT row FROM trace WHERE completed_at < ? ORDER BY completed_at "
      "LIMIT ?)"};
  auto ran = q.bind(completed_before).bind(static_cast<std::int64_t>(rows_max)).run();
  if (!ran) return pass_on(ran);
  const std::size_t removed = db.changes();
  if (removed == 0) return removed;
  query groups{
      db,
      "DELETE FROM candidate_group WHERE NOT EXISTS (SELECT 1 FROM trace t WHERE t.candidate_group = "
      "candidate_group.id)"};
  if (auto cleared = groups.run(); !cleared) return pass_on(cleared);
  return removed;
}

}  // namespace

void trace_table::put(std::vector<trace_record> batch, done<void> answer) {
  std::size_t bytes = 0;
  for (const trace_record& run : batch) {
    bytes += sizeof run + (run.input_text ? run.input_text->size() : 0) +
             (run.output_text ? run.output_text->size() : 0);
  }
  auto work = [batch = std::move(batch), seal = writing_seal_](connection& db) mutable -> result<void> {
    for (trace_record& run : batch) {
      if (auto wrote = upsert(db, seal.get(), run); !wrote) return wrote;
    }
    return {};
  };
  worker_.submit<void>(durability::process, bytes, std::move(work), std::move(answer), urgency::later);
}

void trace_table::get(std::string run_id, done<std::optional<trace_record>> answer) {
  const auto read = [run_id = std::move(run_id), seal = seal_](connection& db) {
    return find(db, seal.get(), run_id);
  };
  worker_.submit<std::optional<trace_record>>(durability::process, 0, read, std::move(answer));
}

void trace_table::put_feedback(feedback_record feedback, done<feedback_outcome> answer) {
  if (feedback.evidence_ref.size() > evidence_ref_max) {
    answer(fail(store_problem::too_large, "evidenceRef is too long"));
    return;
  }
  const auto work = [feedback = std::move(feedback)](connection& db) {
    return insert_feedback(db, feedback);
  };
  worker_.submit<feedback_outcome>(durability::process, evidence_ref_max, work, std::move(answer));
}

void trace_table::feedback_of(std::string run_id, done<std::vector<stored_feedback>> answer) {
  const auto read = [run_id = std::move(run_id)](connection& db) -> result<std::vector<stored_feedback>> {
    std::vector<stored_feedback> found;
    query q{db,
            "SELECT trace_id, action, evidence_ref, created_at FROM feedback WHERE run_id = ? ORDER BY row"};
    q.bind(run_id);
    auto row = q.next();
    for (; row && *row; row = q.next()) {
      const auto action = feedback_action_named(q.text(1)).value_or(feedback_action::partial);
      found.push_back({run_id, q.text(0), action, q.text(2), q.time(3)});
    }
    if (!row) return pass_on(row);
    return found;
  };
  worker_.submit<std::vector<stored_feedback>>(durability::process, 0, read, std::move(answer));
}

void trace_table::is_strong_negative(std::string group, done<bool> answer) {
  const auto read = [group = std::move(group)](connection& db) -> result<bool> {
    query q{db, "SELECT 1 FROM candidate_group WHERE id = ?"};
    return q.bind(group).next();
  };
  worker_.submit<bool>(durability::process, 0, read, std::move(answer));
}

void trace_table::purge(wall_time completed_before, std::size_t rows_max, done<std::size_t> answer) {
  const auto work = [completed_before, rows_max](connection& db) {
    return purge_before(db, completed_before, rows_max);
  };
  worker_.submit<std::size_t>(durability::process, 0, work, std::move(answer));
}

}  // namespace tidegate::storage::sqlite
