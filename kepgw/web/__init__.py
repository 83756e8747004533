"""web: what is served over HTTP. For now only the health of a provider."""
