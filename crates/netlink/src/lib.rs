//! Links, addresses, routes, rules, neighbours, filters and namespaces, synchronously.
