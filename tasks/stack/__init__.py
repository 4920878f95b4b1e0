"""The local stack: what runs in the background on one machine, started, checked and stopped together."""
