"""Target groups, rules, discovery, and what the ingress asks and tells."""
