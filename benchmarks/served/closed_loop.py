"""Closed loop: so many connections, each with one request out at a time, by wrk.

Where wrk is not installed, by the open loop's own connections; that costs more of a core, and is said.
"""

import asyncio
import gc
import json
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from benchmarks.observe import BenchmarkError
from benchmarks.served.connection import Connection, connect, to_bytes
from benchmarks.served.figures import Figures, percentile
from benchmarks.served.subjects import Asked

WRK = "wrk"

_TIMEOUT_S = 30  # of a request; later answers are errors to wrk
_GRACE_S = 30  # for wrk to end
_MARK = "FIGURES "
_SCRIPT = """
local requests = {}
init = function()
%(requests)s
end
local turn = 0
request = function()
  turn = turn %% #requests + 1
  return requests[turn]
end
done = function(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '%(mark)s{"requests":%%d,"us":%%d,"p50_us":%%f,"p99_us":%%f,"codes":%%d,"sockets":%%d,"timeouts":%%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write, e.timeout))
end
"""
_REQUEST = """  do
    local file = assert(io.open(%(body)s, "rb"))
    requests[#requests + 1] = wrk.format("POST", %(path)s, {%(headers)s}, file:read("*a"))
    file:close()
  end"""


def has_wrk() -> bool:
    """Whether wrk is installed."""
    return shutil.which(WRK) is not None


def run_closed_loop(asked: Asked | Sequence[Asked], port: int, *, connections: int, seconds: float) -> Figures:
    """Ask for so long over so many connections, several requests in turn, and return what was found.

    Raises:
        BenchmarkError: wrk failed, or nothing was answered.
        OSError: nobody listens on the port.
    """
    requests = [asked] if isinstance(asked, Asked) else list(asked)
    if has_wrk():
        return run_wrk(requests, port, connections=connections, seconds=seconds)
    return run_own(requests, port, connections=connections, seconds=seconds)


def run_wrk(requests: Sequence[Asked], port: int, *, connections: int, seconds: float) -> Figures:
    """Run wrk, one thread of it, for whole seconds.

    Raises:
        BenchmarkError: it failed.
    """
    whole = max(1, round(seconds))
    with tempfile.TemporaryDirectory() as folder:
        script = write_script(requests, Path(folder))
        command = [WRK, "-t1", f"-c{connections}", f"-d{whole}s", f"--timeout={_TIMEOUT_S}s", f"-s{script}"]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=whole + _GRACE_S,
        )
    return read_wrk(done.stdout, done.stderr)


def write_script(requests: Sequence[Asked], folder: Path) -> Path:
    """Write a script for wrk that sends these in turn, and return its path; bodies are files beside it."""
    parts = []
    for number, asked in enumerate(requests):
        body = folder / f"{number}.body"
        body.write_bytes(asked.body)
        headers = ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in asked.headers.items())
        parts.append(_REQUEST % {"body": json.dumps(str(body)), "path": json.dumps(asked.path), "headers": headers})
    script = folder / "script.lua"
    script.write_text(_SCRIPT % {"requests": "\n".join(parts), "mark": _MARK})
    return script


def read_wrk(output: str, errors: str = "") -> Figures:
    """Return the figures that the script wrote; wrk's percentiles are of all answers, whatever their code.

    Raises:
        BenchmarkError: it wrote none.
    """
    lines = [line.removeprefix(_MARK) for line in output.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise BenchmarkError(f"wrk gave no figures: {(output + errors)[-1000:]}")
    found = json.loads(lines[0])
    counts = {"not 2xx": found["codes"], "broken": found["sockets"], "timed out": found["timeouts"]}
    p50_s, p99_s = (found[name] / 1e6 if found["requests"] else math.nan for name in ("p50_us", "p99_us"))
    return Figures(
        rate=(found["requests"] - found["codes"]) / (found["us"] / 1e6),
        p50_s=p50_s,
        p99_s=p99_s,
        errors={name: count for name, count in counts.items() if count},
    )


def run_own(requests: Sequence[Asked], port: int, *, connections: int, seconds: float) -> Figures:
    """Do what wrk does, in this process.

    Raises:
        BenchmarkError: nothing was answered.
        OSError: nobody listens on the port.
    """
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run([to_bytes(each, port=port) for each in requests], port, connections, seconds))
    finally:
        gc.enable()


async def _run(requests: Sequence[bytes], port: int, connections: int, seconds: float) -> Figures:
    answered: list[float] = []
    errors: dict[str, int] = {}
    sent = 0

    def send(connection: Connection) -> None:
        nonlocal sent
        connection.mark = time.perf_counter()
        connection.send(requests[sent % len(requests)])
        sent += 1

    def take(connection: Connection, code: int) -> None:
        if 200 <= code < 300:
            answered.append(time.perf_counter() - connection.mark)
        else:
            name = str(code) if code else "broken"
            errors[name] = errors.get(name, 0) + 1
        if connection.is_open:
            send(connection)

    everyone = [await connect(port, take) for _ in range(connections)]
    cpu, started = time.process_time(), time.perf_counter()
    for connection in everyone:
        send(connection)
    await asyncio.sleep(seconds)
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    for connection in everyone:
        connection.close()
    if not answered:
        raise BenchmarkError(f"nothing was answered in {took:.1f} s: {errors}")
    return Figures(
        rate=len(answered) / took,
        p50_s=percentile(answered, 0.5),
        p99_s=percentile(answered, 0.99),
        errors=errors,
        generator_share=cpu / took,
    )
