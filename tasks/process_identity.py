"""Whether a process that was noted down still runs: a pid is used again, with its start time it is one process."""

import psutil

START_TOLERANCE_S = 2.0  # start times are told to 10 ms, and move when the clock is set


def find_process(pid: int, started_at: float) -> psutil.Process | None:
    """Return the process with this pid and start time (seconds since the epoch), None when it has ended."""
    try:
        process = psutil.Process(pid)
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        return process if is_alive and not is_pid_reused(pid, started_at) else None
    except psutil.NoSuchProcess:
        return None


def is_pid_reused(pid: int, started_at: float) -> bool:
    """Whether the pid is another process's by now; one that ended and was not collected yet still has it."""
    try:
        return abs(psutil.Process(pid).create_time() - started_at) >= START_TOLERANCE_S
    except psutil.NoSuchProcess:
        return False


def is_process_alive(pid: int, started_at: float) -> bool:
    """Whether the process with this pid and start time (seconds since the epoch) runs."""
    return find_process(pid, started_at) is not None
