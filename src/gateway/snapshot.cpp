#include "gateway/snapshot.h"

namespace tidegate::gateway {

bool provider::usable() const {
  if (!enabled || !has_url) return false;
  return kind == policy::provider_kind::openai_compatible || credential_configured;
}

std::string_view name_of(surface s) {
  switch (s) {
    case surface::chat:
      return "chat";
    case surface::responses:
      return "responses";
    case surface::messages:
      return "messages";
    case surface::embeddings:
      return "embeddings";
    case surface::count_tokens:
      return "count_tokens";
    case surface::session:
      return "session";
    case surface::other:
      return "other";
  }
  return "";
}

dialect::dialect_id provider::dialect_for(dialect::dialect_id caller) const {
  if (kind == policy::provider_kind::anthropic) return dialect::dialect_id::anthropic_messages;
  // Vendors that are merely compatible seldom speak Responses; all of them speak Chat Completions.
  if (kind == policy::provider_kind::openai && caller == dialect::dialect_id::openai_responses) return caller;
  return dialect::dialect_id::openai_chat;
}

const caller_policy& snapshot::policy_named(std::string_view name) const {
  const caller_policy* fallback = &policies.front();
  for (const caller_policy& p : policies) {
    if (p.name == name) return p;
    if (p.name == "default") fallback = &p;
  }
  return *fallback;
}

}  // namespace tidegate::gateway
