"""Engines: what starts, finds and stops servers. `process` runs them from this environment."""
