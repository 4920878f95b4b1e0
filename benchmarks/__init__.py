"""Every speed and every rate that the documentation claims, runnable; figures in RESULTS.md."""
