// Which names a request to a listener of this machine may bear.
#pragma once

#include <string_view>

namespace tidegate::surface {

// The host of "name:port", "[::1]:port", "name".
std::string_view host_of(std::string_view authority);

// A name that a browser resolves to this machine without asking anybody: localhost and what is below it, an
// address of the loopback. Any other name that leads here may be a stranger's who points it where he likes
// (DNS rebinding).
bool is_loopback_name(std::string_view host);

// An IPv4 or IPv6 address, whose owner no name server decides.
bool is_address(std::string_view host);

}  // namespace tidegate::surface
