#include "surface/own_host.h"

#include <arpa/inet.h>

#include <string>

#include "foundation/text.h"

namespace tidegate::surface {

std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    return end == std::string_view::npos ? std::string_view{} : authority.substr(1, end - 1);
  }
  return authority.substr(0, authority.find(':'));
}

bool is_loopback_name(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string name = foundation::to_lower(host);
  if (name == "localhost" || name.ends_with(".localhost")) return true;
  in_addr four{};
  if (::inet_pton(AF_INET, name.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six{};
  return ::inet_pton(AF_INET6, name.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

bool is_address(std::string_view host) {
  const std::string name{host};
  in6_addr either{};  // room for both
  return ::inet_pton(AF_INET, name.c_str(), &either) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), &either) == 1;
}

}  // namespace tidegate::surface
